"""An RTMP publisher that can misbehave: every byte it sends is the test's choice."""
import os
import socket
import ssl
import struct
import threading
import time
from urllib.parse import urlsplit

AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20


# ---- AMF0

def amf(value):
    if isinstance(value, bool):
        return struct.pack(">BB", 1, value)
    if isinstance(value, (int, float)):
        return struct.pack(">Bd", 0, value)
    if isinstance(value, str):
        data = value.encode()
        return struct.pack(">BH", 2, len(data)) + data
    if value is None:
        return b"\x05"
    out = b"\x03"
    for key, item in value.items():
        out += struct.pack(">H", len(key)) + key.encode() + amf(item)
    return out + b"\0\0\x09"


def nested(depth):
    """Objects in objects, never closed."""
    return b"\x03\0\x01a" * depth


def unverified():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    def __init__(self, url, timeout=10, caps_ex=None, header=b"", source=None):
        """header: what a load balancer sends first. source: the address it comes from."""
        parts = urlsplit(url)
        self.app, _, self.stream = parts.path.lstrip("/").partition("/")
        self.stream += f"?{parts.query}" if parts.query else ""
        self.tc_url = f"{parts.scheme}://{parts.hostname}:{parts.port}/{self.app}"
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout,
                                               (source, 0) if source else None)
        self.socket.sendall(header)
        if parts.scheme == "rtmps":
            self.socket = unverified().wrap_socket(self.socket, server_hostname=parts.hostname)
        self.chunk_size = 128
        self.caps = {} if caps_ex is None else {"capsEx": caps_ex}

    # ---- bytes

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def reset(self):
        """Closed as by a crash: a RST, no goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def wait_closed(self, seconds=30):
        """Reads whatever comes until the server closes. False: it does not."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    # ---- protocol

    def handshake(self):
        self.send(b"\x03" + struct.pack(">II", 0, 0) + os.urandom(1528))
        answer = self._read(1 + 1536)
        assert answer[0] == 3
        self.send(answer[1:])
        self._read(1536)

    def _read(self, n):
        out = b""
        while len(out) < n:
            got = self.socket.recv(n - len(out))
            if not got:
                raise ConnectionError("closed by the server")
            out += got
        return out

    @staticmethod
    def header(kind, length, timestamp=0, message_stream=0, csid=3):
        extended = timestamp >= 0xFFFFFF
        head = struct.pack(">B", csid) + (0xFFFFFF if extended else timestamp).to_bytes(3, "big") + length.to_bytes(3, "big")
        head += struct.pack(">B", kind) + struct.pack("<I", message_stream)
        return head + (struct.pack(">I", timestamp) if extended else b"")

    def message(self, kind, payload, timestamp=0, message_stream=0, csid=3):
        timestamp %= 1 << 32
        out = self.header(kind, len(payload), timestamp, message_stream, csid)
        again = bytes([0xC0 | csid]) + (struct.pack(">I", timestamp) if timestamp >= 0xFFFFFF else b"")
        for at in range(0, len(payload), self.chunk_size):
            if at:
                out += again
            out += payload[at:at + self.chunk_size]
        self.send(out)

    def command(self, *values, message_stream=0):
        self.message(COMMAND, b"".join(amf(v) for v in values), message_stream=message_stream)

    def connect(self):
        self.handshake()
        self.command("connect", 1, {"app": self.app, "type": "nonprivate", "flashVer": "test", "tcUrl": self.tc_url, **self.caps})

    def publish(self):
        """Up to and with `publish`; answers are read until it is accepted or refused. Returns the status code."""
        self.connect()
        self.command("releaseStream", 2, None, self.stream)
        self.command("createStream", 4, None)
        self.command("publish", 5, None, self.stream, "live", message_stream=1)
        return self.answer()

    def answer(self):
        """The next status code of the stream; NetStream.Publish.Closed: the server closed the connection without a word more."""
        self.said = b""
        self.socket.settimeout(20)
        while True:
            at = self.said.find(b"NetStream.Publish.")
            if at >= 2:
                length = int.from_bytes(self.said[at - 2:at], "big")
                if len(self.said) >= at + length:
                    return self.said[at:at + length].decode()
            got = self.socket.recv(65536)
            if not got:
                return "NetStream.Publish.Closed"
            self.said += got

    def tag(self, kind, timestamp, payload):
        self.message(kind, payload, timestamp, message_stream=1, csid={AUDIO: 4, VIDEO: 6}.get(kind, 5))


def flv_tags(path):
    """(type, timestamp in ms, payload) of each tag of an FLV file."""
    with open(path, "rb") as f:
        data = f.read()
    at = 13
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        timestamp = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        yield data[at], timestamp, data[at + 11:at + 11 + size]
        at += 11 + size + 4


def publish_tags(connection, tags, shift_ms=0):
    """As fast as the server takes them."""
    for kind, timestamp, payload in tags:
        if kind in (AUDIO, VIDEO):
            connection.tag(kind, timestamp + shift_ms, payload)


class Caster(threading.Thread):
    """Sends the tags in real time until it is told to stop, or the server closes: `trouble` says why."""

    def __init__(self, connection, tags):
        super().__init__(daemon=True)
        self.connection, self.tags, self.over, self.trouble = connection, tags, threading.Event(), None
        self.start()

    def run(self):
        began = time.monotonic()
        for kind, ms, payload in self.tags:
            if self.over.wait(max(began + ms / 1000 - time.monotonic(), 0)):
                return
            try:
                self.connection.tag(kind, ms, payload)
            except OSError as error:
                self.trouble = error
                return

    def stop(self):
        self.over.set()
        self.join(60)
