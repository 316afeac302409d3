"""What a stranger can send: the connection is closed with a counted, logged reason; every other stream goes on; memory
comes back."""
import random
import re
import socket
import struct
import time
from datetime import datetime
from urllib.parse import urlsplit

import pytest

import media
import rtmp
from harness import Cluster, TINY_LADDER, request, wait_until

MEMORY_KB = 60_000  # what a node may keep after an attack: caches, arenas; far less than what the attack sends


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """With a stream on it that must not notice anything."""
    with Cluster(tmp_path_factory.mktemp("cluster"), ladder=TINY_LADDER, sets=["ingestd.log_level=debug"]) as made:
        made.publish_test_picture("witness", size="320x180")
        made.session = made.wait_playable("witness")["session"]
        yield made


@pytest.fixture(autouse=True)
def everything_else_goes_on(cluster):
    """Around each test: no node died, none kept the memory, and the witness has the very next segments."""
    pids = {name: node["pid"] for name, node in cluster.nodes().items()}
    before = {name: cluster.rss_kb(name) for name in pids}
    yield
    assert cluster.publishers[0].running(), cluster.publishers[0].said()
    entry = cluster.stream("witness")
    assert entry["state"] == "live" and entry["session"] == cluster.session
    started = wait_until(lambda: re.search(rb'availabilityStartTime="([^"]+)"', cluster.get("/live/witness/manifest.mpd").body),
                         "the witness's manifest")
    assert started
    now = int(time.time() - _iso_seconds(started.group(1).decode()))
    for n in (now, now + 1):
        assert cluster.segment("witness", cluster.session, "v180", n)
    for name in pids:
        wait_until(lambda: cluster.rss_kb(name) < before[name] + MEMORY_KB, f"{name}'s memory to come back", 20)


def _iso_seconds(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def closed(cluster, reason):
    return cluster.metric("ingest-1", "ingestd_closed_total", reason=reason)




class counted:
    """with counted(cluster, "amf_depth"): … – the counter rises while the block runs, and the log has the label."""

    def __init__(self, cluster, *reasons):
        self.cluster, self.reasons = cluster, reasons

    def __enter__(self):
        self.before = sum(closed(self.cluster, r) for r in self.reasons)

    def __exit__(self, kind, *_):
        if kind is None:
            wait_until(lambda: sum(closed(self.cluster, r) for r in self.reasons) > self.before,
                       f"ingestd_closed_total for {self.reasons}", 20)
            # Its address may have said so much in the last ten seconds that only the number of lines is told.
            wait_until(lambda: any(r in self.cluster.log("ingest-1") for r in (*self.reasons, "more of these lines")), "the log has it", 20)


def open_rtmp(cluster, stream="bad"):
    return rtmp.Connection(cluster.rtmp(stream))


def test_a_flood_of_strangers_leaves_the_log_readable(cluster):
    def lines():
        return sum("level=debug" not in line for line in cluster.log("ingest-1").splitlines())

    before, lines_before = closed(cluster, "handshake"), lines()
    for _ in range(1000):
        with socket.create_connection((urlsplit(cluster.rtmp("x")).hostname, urlsplit(cluster.rtmp("x")).port)) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            s.recv(100)
    wait_until(lambda: closed(cluster, "handshake") == before + 1000, "all are counted")
    assert lines() - lines_before <= 150  # 10 in 10 s


# ---- RTMP

def test_random_bytes_instead_of_a_handshake(cluster):
    with counted(cluster, "handshake"):
        for seed in range(20):
            c = open_rtmp(cluster)
            try:
                c.send(bytes([7]) + random.Random(seed).randbytes(4000))
            except ConnectionError:
                pass
            assert c.wait_closed()


def test_random_bytes_after_the_handshake(cluster):
    with counted(cluster, "chunk", "chunk_streams", "message_size", "partial_bytes", "amf", "amf_depth", "command",
                 "publish_timeout"):
        for seed in range(20):
            c = open_rtmp(cluster)
            c.handshake()
            try:
                c.send(random.Random(seed).randbytes(200_000))
            except ConnectionError:
                pass
            assert c.wait_closed()


def test_five_hundred_half_open_handshakes_keep_nobody_out(cluster):
    # from several places: one alone may not have so many
    idle = [rtmp.Connection(cluster.rtmp("bad"), source=f"127.0.1.{i % 5 + 1}") for i in range(500)]
    for c in idle:
        c.send(b"\x03" + bytes(100))
    publisher = rtmp.Connection(cluster.rtmp("between"))
    assert publisher.publish() == "NetStream.Publish.Start"
    publisher.close()
    with counted(cluster, "publish_timeout"):
        for c in idle:
            assert c.wait_closed(30)


def test_a_message_of_16_mb_is_refused_when_it_is_declared(cluster):
    with counted(cluster, "message_size"):
        c = open_rtmp(cluster)
        c.handshake()
        c.send(c.header(rtmp.VIDEO, 0xFFFFFF) + bytes(128))
        assert c.wait_closed()


def test_many_unfinished_messages_are_bounded(cluster):
    with counted(cluster, "partial_bytes"):
        c = publish(cluster, "unfinished")
        c.message(1, struct.pack(">I", 65536), csid=2)
        try:
            for part in range(8):
                for csid in range(3, 60):
                    head = c.header(rtmp.VIDEO, 7_000_000, message_stream=1, csid=csid) if part == 0 else bytes([0xC0 | csid])
                    c.send(head + bytes(65536))
        except ConnectionError:
            pass
        assert c.wait_closed()


def test_a_chunk_cut_off_in_the_middle(cluster):
    with counted(cluster, "peer_closed", "io"):
        c = open_rtmp(cluster)
        assert c.publish() == "NetStream.Publish.Start"
        c.send(c.header(rtmp.VIDEO, 5000, message_stream=1, csid=6) + bytes(60))
        c.close()


def test_an_amf_nesting_bomb(cluster):
    with counted(cluster, "amf_depth"):
        c = open_rtmp(cluster)
        c.handshake()
        c.message(rtmp.COMMAND, rtmp.amf("connect") + rtmp.amf(1) + rtmp.nested(500))
        assert c.wait_closed()


@pytest.mark.parametrize("name", ["", "..", "a b", "x" * 65, "naïve", "a%2fb"])
def test_a_bad_stream_name_is_refused_before_publishing_starts(cluster, name):
    with counted(cluster, "bad_name"):
        c = rtmp.Connection(cluster.rtmp("x"))
        c.stream = name
        assert c.publish() in ("NetStream.Publish.BadName", "NetStream.Publish.Rejected", "NetStream.Publish.Denied")
        assert c.wait_closed()


# ---- media

@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "s.flv"
    media.make_stamped(path, "30", 4, size="320x180")
    return list(rtmp.flv_tags(path))


def publish(cluster, stream):
    c = rtmp.Connection(cluster.rtmp(stream))
    assert c.publish() == "NetStream.Publish.Start"
    return c


def finish(cluster, c, stream):
    """Whatever the garbage did, the stream's name can be used again."""
    try:
        c.command("deleteStream", 6, None, 1)
    except ConnectionError:
        pass
    c.close()


def test_garbage_nal_units_end_at_most_their_own_stream(cluster, tags):
    c = publish(cluster, "garbage")
    noise = random.Random(1)
    try:
        for kind, timestamp, payload in tags:
            if kind == rtmp.VIDEO and len(payload) > 60 and payload[1] == 1 and noise.random() < 0.5:
                payload = payload[:5] + noise.randbytes(len(payload) - 5)
            if kind in (rtmp.AUDIO, rtmp.VIDEO):
                c.tag(kind, timestamp, payload)
    except ConnectionError:
        pass
    finish(cluster, c, "garbage")


def test_a_picture_of_size_zero_or_beyond_reason(cluster, tags):
    config = next(p for k, _, p in tags if k == rtmp.VIDEO and p[1] == 0)
    at = config.index(b"\x67")
    for seed in range(8):
        c = publish(cluster, f"size-{seed}")
        noise = random.Random(seed)
        bad = bytearray(config)
        for i in range(at + 4, min(at + 14, len(bad))):
            bad[i] = noise.randrange(256)
        try:
            c.tag(rtmp.VIDEO, 0, bytes(bad))
            for kind, timestamp, payload in tags[:80]:
                if kind == rtmp.VIDEO and payload[1] == 1:
                    c.tag(kind, timestamp, payload)
        except ConnectionError:
            pass
        finish(cluster, c, f"size-{seed}")


def test_pixels_of_a_shape_that_no_camera_has_are_refused_in_words(cluster, tmp_path):
    path = tmp_path / "s.flv"
    media.make_stamped(path, "30", 5, size="320x180", more=["-bsf:v", "h264_metadata=sample_aspect_ratio=64/1"])
    before = cluster.metric("transcoder-1", "transcoderd_encoding_failed_total", reason="source")
    publisher = cluster.publish_file("stripe", path)
    assert publisher.wait(20) != 0
    words = "pictures of 320x180 with pixels of 64:1"
    assert words in cluster.log("transcoder-1") and words in cluster.log("ingest-1")
    assert cluster.metric("transcoder-1", "transcoderd_encoding_failed_total", reason="source") > before


def test_timestamps_that_run_backwards_and_jump(cluster, tags):
    c = publish(cluster, "backwards")
    noise = random.Random(3)
    try:
        for kind, timestamp, payload in tags:
            if kind in (rtmp.AUDIO, rtmp.VIDEO):
                is_config = payload[1] == 0
                c.tag(kind, 0 if is_config else noise.choice([timestamp, 4000 - timestamp, timestamp + 0xFFFFFF00, 5]), payload)
    except ConnectionError:
        pass
    finish(cluster, c, "backwards")


def test_empty_and_tiny_media_messages(cluster, tags):
    c = publish(cluster, "tiny")
    try:
        for n in range(6):
            for kind in (rtmp.AUDIO, rtmp.VIDEO, rtmp.DATA):
                c.tag(kind, n, (b"\x17\x01\0\0\0\0")[:n] if kind == rtmp.VIDEO else (b"\xaf\x01\0\0\0\0")[:n])
    except ConnectionError:
        pass
    finish(cluster, c, "tiny")


def test_an_unknown_codec_is_refused_in_words(cluster):
    with counted(cluster, "codec"):
        c = publish(cluster, "sorenson")
        c.tag(rtmp.VIDEO, 0, b"\x12" + bytes(50))  # FLV codec 2, Sorenson H.263
        c.socket.settimeout(10)
        said = b""
        while True:
            got = c.socket.recv(65536)
            if not got:
                break
            said += got
        assert b"NetStream.Publish." in said and b"error" in said


# ---- nng ports

def internal_ports(cluster):
    return [cluster.config("transcoder-1")["port"], cluster.config("origin-1")["port"], cluster.config("origin-1")["fetch_port"]]


SP_REQ = b"\0SP\0\0\x30\0\0"


def exchange(port, *pieces):
    """Sends and reads until the other side closes or has nothing to say for a second."""
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.settimeout(1)
        got = b""
        try:
            for piece in pieces:
                s.sendall(piece)
            while True:
                more = s.recv(65536)
                if not more:
                    return got, True
                got += more
        except TimeoutError:
            return got, False
        except ConnectionError:
            return got, True


def test_an_nng_peer_that_claims_eight_gigabytes_is_closed(cluster):
    for port in internal_ports(cluster):
        _, was_closed = exchange(port, SP_REQ, struct.pack(">Q", 8 << 30), bytes(1000))
        assert was_closed, f"port {port}"


def test_an_nng_peer_that_sends_garbage_is_closed_or_refused(cluster):
    noise = random.Random(4)
    for port in internal_ports(cluster):
        for kind in list(range(0, 40)) + [99, 255]:
            body = struct.pack(">I", 0x80000001) + bytes([kind]) + noise.randbytes(noise.randrange(200))
            exchange_once(port, SP_REQ + struct.pack(">Q", len(body)) + body)
        exchange_once(port, noise.randbytes(4096))


def exchange_once(port, data):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            s.settimeout(2)
            while s.recv(65536):
                pass
        except OSError:
            pass  # closed already, or silent: both are answers


# ---- HTTP

def raw_http(cluster, data, seconds=20):
    """The answer's first bytes, and whether the server closed."""
    host, port = re.match(r"http://([\d.]+):(\d+)", cluster.url("")).groups()
    with socket.create_connection((host, int(port)), 5) as s:
        s.settimeout(seconds)
        got = b""
        try:
            s.sendall(data)
            while more := s.recv(65536):
                got += more
        except TimeoutError:
            return got, False
        except ConnectionError:
            pass
        return got, True


@pytest.mark.parametrize("path", ["/../../../etc/passwd", "/live/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd",
                                  "/watch/../../../etc/passwd", "/live/a%00b/manifest.mpd", "//etc/passwd"])
def test_paths_out_of_the_tree_get_a_client_error(cluster, path):
    got, _ = raw_http(cluster, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1\.1 4\d\d ", got) and b"root:" not in got


def test_headers_of_64_kb_are_refused(cluster):
    got, _ = raw_http(cluster, b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 65536 + b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 4\d\d ", got) or got == b""


def test_garbage_instead_of_http_is_closed(cluster):
    for seed in range(10):
        _, was_closed = raw_http(cluster, random.Random(seed).randbytes(3000) + b"\r\n\r\n")
        assert was_closed


def test_unknown_methods_and_streams_are_told_so(cluster):
    assert request(cluster.url("/live/nobody/manifest.mpd")).status == 404
    assert request(cluster.url("/nothing/here")).status == 404
    answer = request(cluster.url("/api/streams"), method="DELETE")
    assert answer.status in (405, 501) and b"error" in answer.body


def test_a_client_of_two_bytes_a_second_is_put_off(cluster):
    host, port = re.match(r"http://([\d.]+):(\d+)", cluster.url("")).groups()
    with socket.create_connection((host, int(port)), 5) as s:
        s.settimeout(0.5)
        text = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 200
        started = time.monotonic()
        was_closed = False
        for at in range(0, len(text), 1):
            try:
                s.sendall(text[at:at + 1])
                if s.recv(1000) == b"":
                    was_closed = True
                    break
            except TimeoutError:
                continue  # half a second has passed: the next byte
            except ConnectionError:
                was_closed = True
                break
        assert was_closed, "still open after all bytes"
        assert time.monotonic() - started < 40
