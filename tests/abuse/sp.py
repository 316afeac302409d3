"""Who speaks to a node's nng ports by hand: nng's REQ, and HELLO with the proof of the cluster's token."""
import hashlib
import hmac
import os
import re
import socket
import struct
import time

from harness import TOP

HELLO, HELLO_REPLY, CHALLENGE, OPEN, CLAIM, PUT, FETCH, REFUSED = 1, 2, 3, 10, 20, 22, 30, 99
INGESTD, TRANSCODERD, ORIGIND, EDGED = 1, 2, 3, 4
BEGINS = bytes.fromhex("0053500000300000")
MESSAGE_MAX = 16 << 20
with open(os.path.join(TOP, "proto", "message.h"), encoding="utf-8") as f:
    VERSION = int(re.search(r"#define PROTO_VERSION (\d+)", f.read()).group(1))


def text(s):
    return struct.pack(">H", len(s)) + s.encode()


def hello(role, name, token="", asks=bytes(16), answers=bytes(16)):
    now = int(time.time() * 1e6)
    fields = struct.pack(">HB", VERSION, role) + text(name) + struct.pack(">qIB", 1, 0, 0) + text("") + struct.pack(">qq", 0, now) + asks
    said = text("freshet hello") + b"a" + asks + answers + bytes(32) + fields
    return bytes([HELLO]) + fields + (hmac.new(token.encode(), said, hashlib.sha256).digest() if token else bytes(32))


def claim(stream, session="20260101T000000Z-00000000", node="stranger", generation=0):
    return (bytes([CLAIM]) + text(stream) + text(session) + struct.pack(">q", 1) + text(node) + text("")
            + struct.pack(">IBI", 1000, 0, generation))


class Connection:
    def __init__(self, port, wrap=None, source="127.0.0.1", begin=True):
        self.socket = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
        if wrap:
            self.socket = wrap(self.socket)
        self.number = 0x80000000
        if begin:
            self.socket.sendall(BEGINS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, n):
        out = b""
        while len(out) < n:
            got = self.socket.recv(n - len(out))
            if not got:
                raise ConnectionError("closed")
            out += got
        return out

    def begun(self):
        assert self.take(8) == bytes.fromhex("0053500000310000")
        return self

    def ask(self, body):
        self.number += 1
        self.socket.sendall(struct.pack(">QI", len(body) + 4, self.number) + body)
        length, number = struct.unpack(">QI", self.take(12))
        assert number == self.number
        return self.take(length - 4)

    def announce(self, length):
        self.socket.sendall(struct.pack(">Q", length))

    def prove(self, role, name, token):
        """HELLO, the challenge, and HELLO with the proof: what that was, and its answer."""
        asks = os.urandom(16)
        challenge = self.ask(hello(role, name, token, asks))
        assert challenge[0] == CHALLENGE
        said = hello(role, name, token, asks, challenge[1:17])
        return said, self.ask(said)

    def over(self):
        """Whether the other side has ended it; what it says is read away."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(20)


def answers(port):
    """Whether a stranger who is polite is answered: the port lives."""
    with Connection(port).begun() as c:
        return c.ask(bytes([FETCH]) + bytes(20))[0] == REFUSED


def ends_before_it_begins(port):
    """FIN and RST, before the node has said a word."""
    s = socket.create_connection(("127.0.0.1", port), 20)
    s.shutdown(socket.SHUT_WR)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
