"""Damaged input of every kind at every port, beside a stream: whatever breaks a parser or a state machine ends a node here, or has a
sanitizer say so. What is sent follows from the numbers in the failure: mutate(BASES, seed)."""
import os
import random
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

import rtmp
from abuse import SANITIZED, aside
from harness import TOP, process_state

WINDOW_S = 30  # the stream is judged after so much of it
SILENCE_S = 0.05  # what is waited for an answer
CORPUS = os.path.join(TOP, "tests", "fuzz", "corpus")


# ---- damage

def mutate(bases, seed):
    """One of them with a few of its bytes changed, left out, doubled, or put into another; one in eight as it is."""
    r = random.Random(seed)
    data = bytearray(r.choice(bases))
    for _ in range(r.choice((0, 1, 1, 1, 2, 3, 5, 20))):
        at = r.randrange(len(data) + 1)
        length = min(r.choice((1, 1, 2, 4, 4, 16, 300)), len(data) - at)
        how = r.randrange(7)
        if how == 0:
            data[at:at + length] = r.randbytes(length)
        elif how == 1:
            data[at:at + length] = r.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
        elif how == 2:
            del data[at:at + length]
        elif how == 3:
            data[at:at] = data[at:at + length] * r.choice((1, 2, 50))
        elif how == 4:
            data[at:at] = r.choice(bases)[:r.choice((4, 40, 4000))]
        elif how == 5 and length:
            data[at] ^= 1 << r.randrange(8)
        else:
            del data[at:]
    return bytes(data)


# ---- what is sent where

class Recorder(rtmp.Connection):
    """What an encoder would send, without a server."""

    def __init__(self, stream):  # no connection: the base's is not wanted
        self.app, self.stream, self.tc_url, self.chunk_size, self.caps, self.sent = "live", stream, "rtmp://x/live", 128, {}, b""

    def send(self, data):
        self.sent += data


def rtmp_bases(source):
    out = []
    headers = [tag for tag in rtmp.flv_tags(source)][:60]
    for stream in ("mutated", "no/such name", "mutated2"):
        c = Recorder(stream)
        c.send(b"\x03" + bytes(1536) + bytes(1536))
        c.command("connect", 1, {"app": c.app, "type": "nonprivate", "flashVer": "test", "tcUrl": c.tc_url})
        c.command("releaseStream", 2, None, c.stream)
        c.command("createStream", 4, None)
        c.command("publish", 5, None, c.stream, "live", message_stream=1)
        out.append(c.sent)
        metadata = rtmp.amf("@setDataFrame") + rtmp.amf("onMetaData") + rtmp.amf({"width": 320, "encoder": "x"})
        c.message(rtmp.DATA, metadata, message_stream=1)
        rtmp.publish_tags(c, headers)
        c.command("deleteStream", 6, None, 1)
        out.append(c.sent)
    return out


def http_bases(*paths):
    files = [os.path.join(CORPUS, "path", name) for name in sorted(os.listdir(os.path.join(CORPUS, "path")))]
    lines = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() for path in paths]
    lines += [b"GET " + open(path, "rb").read().split(b"\0")[0][:2000] + b" HTTP/1.1\r\nHost: localhost\r\n" for path in files]
    more = (b"\r\n", b"Range: bytes=0-99,200-\r\n\r\n", b"Authorization: Bearer a.b.c\r\nCookie: t=x; t=y\r\n\r\n",
            b"Content-Length: 5\r\nContent-Type: application/json\r\n\r\n{\"a\":",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n",
            b"If-None-Match: *\r\nX-Forwarded-For: 1.2.3.4\r\nExpect: 100-continue\r\n\r\n")
    return [line.replace(b"GET", method) + rest for line in lines for method in (b"GET", b"POST") for rest in more]


def nng_bases():
    """A REQ socket's greeting, and requests."""
    greeting, folder = b"\0SP\0\0\x30\0\0", os.path.join(CORPUS, "wire")
    files = [os.path.join(folder, name) for name in sorted(os.listdir(folder))]
    messages = [open(path, "rb").read() for path in files]
    framed = [struct.pack(">Q", len(m) + 4) + struct.pack(">I", 0x80000001) + m for m in messages]
    return [greeting + one for one in framed] + [greeting + b"".join(framed)]


def send(where, data):
    try:
        with socket.create_connection(where, timeout=5) as s:
            s.sendall(data)
            s.settimeout(SILENCE_S)
            while s.recv(1 << 16):
                pass
    except OSError:
        pass


def send_all(ports, bases, first, seconds):
    """Round robin over the ports, from seed `first` on."""
    end, seed = time.monotonic() + seconds, first
    while time.monotonic() < end:
        send(ports[seed % len(ports)], mutate(bases, seed))
        seed += 1


def target(cluster, stream, source, kind):
    """(ports, bases)"""
    def of(node, *keys):
        config = cluster.config(node)
        return [(config.get("bind", "127.0.0.1"), config[key]) for key in keys]
    session = cluster.stream(stream)["session"]
    media = f"/live/{stream}/{session}/v180"
    if kind == "rtmp":
        url = urlsplit(cluster.rtmp("x"))
        return [(url.hostname, url.port)], rtmp_bases(source)
    if kind == "http":
        return of("edge-1", "http_port") + of("origin-1", "http_port"), http_bases(
            "/", f"{media}/0.m4s", f"{media}/init.mp4", f"/live/{stream}/manifest.mpd", "/api/streams", "/live/none/x/v1/1.m4s", "/time")
    if kind == "admin":
        nodes = [urlsplit(n["admin"]) for n in cluster.nodes().values()]
        return [(n.hostname, n.port) for n in nodes], http_bases("/healthz", "/metrics", "/api/node", "/api/log_level", "/api/nothing")
    return (of("transcoder-1", "port") + of("origin-1", "port", "fetch_port") + of("edge-1", "fetch_port")), nng_bases()


@pytest.mark.parametrize("kind", ["rtmp", "http", "admin", "nng"])
def test_damaged_input_ends_no_node(cluster, healthy, table, source, kind, load):
    seconds = load(4, 600 if SANITIZED else 60)
    ports, bases = target(cluster, healthy.start(), source, kind)
    first = random.SystemRandom().randrange(1 << 40) if load(False, True) else 0
    worst, sent_s = 0, 0
    while sent_s < seconds:
        window = min(WINDOW_S, seconds - sent_s)
        with healthy.watched() as seen:
            attacker = aside(send_all, ports, bases, first + (sent_s << 20), window)
            attacker.join(window + 60)
            assert attacker.exitcode == 0
        worst = max(worst, seen["wait_ms"])
        sent_s += window
        for name, node in cluster.nodes().items():
            assert process_state(node), f"{name} has ended; damage from seed {first + (sent_s << 20)} on"
    assert not cluster.reports(), cluster.reports()
    table.row(f"{seconds} s of damaged {kind}", "no node ends", f"none, the stream waited {worst} ms")
