"""What somebody who has only an address can do to the RTMP port."""
import contextlib
import socket
import struct
import time
from urllib.parse import urlsplit

import pytest

import abuse
import media
import rtmp
from harness import wait_until

STRANGERS_BYTES = 32 << 20  # what all connections that do not publish may keep together
SPARE = 48 << 20  # what a node may have more afterwards: 32 MiB are not worth giving back
LIVE_BYTES = 1000 * (256 << 10)  # 256 KiB for each of max_publishers
CHUNK = 4096
SETS = ["ingestd.publish_timeout_ms=60000", "ingestd.publishers_of_address=60"]


def ingest(cluster):
    return abuse.pid(cluster, "ingest-1")


def closed(cluster, reason):
    return cluster.metric("ingest-1", "ingestd_closed_total", reason=reason)


def source(n):
    """One of many addresses: one alone may not have so many connections."""
    return f"127.0.{1 + n // 250}.{1 + n % 250}"


def unfinished(connection, csid, length, sent):
    """A message of which the last chunks never come."""
    head = connection.header(rtmp.COMMAND, length, message_stream=1, csid=csid)
    connection.send(head + bytes([0xC0 | csid]).join([bytes(CHUNK)] * (sent // CHUNK)))


def larger_chunks(connection):
    connection.message(1, struct.pack(">I", CHUNK), csid=2)


def gone(connection):
    try:
        connection.socket.setblocking(False)
        return connection.socket.recv(1 << 20) == b"" or gone(connection)
    except BlockingIOError:
        return False
    except OSError:
        return True


def wait_given_back(cluster, name, before):
    of = abuse.pid(cluster, name)
    wait_until(lambda: abuse.rss(of) < before + SPARE, f"{name}'s memory to come back", 30)
    return abuse.rss(of) - before


# ---- memory

def test_unfinished_messages_before_publish_cost_one_message_each(cluster, healthy, table, load):
    """60 messages each that never end."""
    connections = load(150, 600)
    of = ingest(cluster)
    before, refused = abuse.rss(of), closed(cluster, "partial_bytes")
    with healthy.watched():
        abuse.forget_most_rss(of)
        held = []
        for n in range(connections):
            c = rtmp.Connection(cluster.rtmp(f"half-{n}"), source=source(n % 500))
            held.append(c)
            with contextlib.suppress(ConnectionError):
                c.connect()
                larger_chunks(c)
                for k in range(60):
                    unfinished(c, 3 + k, 65536, 61440)
        wait_until(lambda: closed(cluster, "partial_bytes") - refused == connections, "all of them are closed")
        most = abuse.most_rss(of) - before
        for c in held:
            c.close()
    table.row(f"{connections} connections, 60 unfinished messages of 64 kB each", "one message each, 32 MiB in all", abuse.mib(most))
    assert most < STRANGERS_BYTES + (16 << 20)


def test_one_message_each_of_many_strangers_is_bounded_in_sum(cluster, healthy, table, load):
    """Each is within its own bound. The largest go, the one who just came with a small one does not."""
    connections = load(600, 3000)
    of = ingest(cluster)
    before, refused = abuse.rss(of), closed(cluster, "memory")
    with healthy.watched():
        abuse.forget_most_rss(of)
        small = rtmp.Connection(cluster.rtmp("patient"), source="127.0.200.1")
        small.connect()
        held = []
        for n in range(connections):
            c = rtmp.Connection(cluster.rtmp(f"one-{n}"), source=source(n))
            held.append(c)
            with contextlib.suppress(ConnectionError):
                c.connect()
                larger_chunks(c)
                unfinished(c, 3, 65536, 61440)
        wait_until(lambda: closed(cluster, "memory") - refused >= connections - STRANGERS_BYTES // 65536, "the largest are closed")
        kept = cluster.metric("ingest-1", "ingestd_kept_bytes", of="strangers")
        most = abuse.most_rss(of) - before
        assert not gone(small)
        small.socket.setblocking(True)
        small.close()
        for c in held:
            c.close()
        assert cluster.metric("ingest-1", "ingestd_kept_bytes", of="strangers") <= STRANGERS_BYTES
    table.row(f"{connections} strangers with a message of 64 kB each", abuse.mib(STRANGERS_BYTES), abuse.mib(kept))
    table.row("… resident", abuse.mib(STRANGERS_BYTES + (32 << 20)), abuse.mib(most))
    assert kept <= STRANGERS_BYTES
    assert most < STRANGERS_BYTES + (32 << 20)
    assert abuse.lines(cluster, "ingest-1", "RTMP connection turned away", "keep too much")


def test_what_those_who_publish_leave_unfinished_is_bounded_and_comes_back(cluster, healthy, table, load):
    connections, messages = load(30, 150), 60
    of = ingest(cluster)
    before = abuse.rss(of)
    with healthy.watched():
        abuse.forget_most_rss(of)
        held = []
        for n in range(connections):
            c = rtmp.Connection(cluster.rtmp(f"live-{n}"), source=source(n))
            assert c.publish() == "NetStream.Publish.Start"
            held.append(c)
            with contextlib.suppress(ConnectionError):
                larger_chunks(c)
                for k in range(messages):
                    unfinished(c, 3 + k, 65536, 61440)
        kept = cluster.metric("ingest-1", "ingestd_kept_bytes", of="broadcasters")
        most = abuse.most_rss(of) - before
        for c in held:
            c.close()
        left = wait_given_back(cluster, "ingest-1", before)
    table.row(f"{connections} that publish, {messages} unfinished messages each", abuse.mib(LIVE_BYTES), abuse.mib(kept))
    table.row("… 30 s after they have gone", abuse.mib(SPARE), abuse.mib(left))
    assert kept <= LIVE_BYTES
    assert most < LIVE_BYTES * 5 // 4


# ---- time

def feed_without_end(number, port, data, prologue, source_address):
    """Sends data for ever; connects again when it is closed."""
    while True:
        try:
            s = socket.create_connection(("127.0.0.1", port), 10, (source_address, 0))
            s.settimeout(None)
            s.sendall(prologue)
            while True:
                s.sendall(data)
                with contextlib.suppress(BlockingIOError):
                    while s.recv(1 << 16, socket.MSG_DONTWAIT):
                        pass
        except OSError:
            pass


def recorded(cluster, publish):
    """The bytes that an encoder sends until it has connected, or publishes."""
    c = rtmp.Connection(cluster.rtmp("recorded"))
    sent = []
    real = c.send
    c.send = lambda data: (sent.append(data), real(data))
    if publish:
        assert c.publish() == "NetStream.Publish.Start"
    else:
        c.connect()
    c.close()
    return b"".join(sent)


class Bytes(rtmp.Connection):
    """What a connection would send."""

    def __init__(self, chunk_size=128):
        self.chunk_size, self.bytes = chunk_size, b""

    def send(self, data):
        self.bytes += data


def commands(name, count):
    b = Bytes()
    for n in range(count):
        b.command(name, n + 2, None)
    return b.bytes


def tiny_chunks(count):
    """Chunks of one byte, of 60 messages in turn."""
    b = Bytes()
    b.message(1, struct.pack(">I", 1), csid=2)
    heads = b"".join(b.header(rtmp.AUDIO, 60000, message_stream=1, csid=3 + k) + b"x" for k in range(60))
    return b.bytes + heads + b"".join(bytes([0xC0 | (3 + k)]) + b"x" for _ in range(count // 60) for k in range(60))


def attack(cluster, healthy, load, data, publish=False, connections=(8, 100), seconds=(2, 20)):
    port = urlsplit(cluster.rtmp("x")).port
    prologue = recorded(cluster, publish)
    with healthy.watched() as seen:
        before = cluster.metric("ingest-1", "ingestd_bytes_total")
        with contextlib.ExitStack() as stack:
            for n in range(load(*connections)):
                mine = prologue.replace(b"recorded", b"tiny%04d" % n)
                stack.enter_context(abuse.attackers(1, feed_without_end, port, data, mine, source(n)))
            time.sleep(load(*seconds) / 2)
            newcomer = rtmp.Connection(cluster.rtmp("newcomer"), source="127.0.200.2")
            assert newcomer.publish() == "NetStream.Publish.Start"
            newcomer.close()
            time.sleep(load(*seconds) / 2)
        seen["bytes"] = cluster.metric("ingest-1", "ingestd_bytes_total") - before
    return seen


TINY = {
    "commands that are answered": lambda: commands("createStream", 1000),
    "commands of no use": lambda: commands("x", 2000),
    "empty messages": lambda: (b"\x03" + bytes(6) + b"\x04" + bytes(4)) * 5000,
    "chunks of one byte": lambda: tiny_chunks(50000),
}


@pytest.mark.parametrize("what", TINY)
def test_tiny_messages_of_strangers_have_a_share_of_each_turn(cluster, healthy, load, what):
    data = TINY[what]()
    seen = attack(cluster, healthy, load, data)
    assert seen["bytes"] > 100_000


def test_tiny_frames_of_those_who_publish_have_a_share_of_each_turn(cluster, healthy, load):
    b = Bytes()
    b.message(rtmp.AUDIO, b"\xaf\0\x12\x10", message_stream=1, csid=4)
    for n in range(3000):
        b.message(rtmp.DATA, b"\x02\0\0", message_stream=1, csid=4)
    behind = cluster.metric("ingest-1", "ingestd_behind_total")
    seen = attack(cluster, healthy, load, b.bytes, publish=True)
    assert seen["bytes"] > 100_000
    assert cluster.metric("ingest-1", "ingestd_behind_total") > behind


# ---- the log

def get(number, port, source_address):
    while True:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), 5, (source_address, 0)) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                s.recv(100)


def test_a_flood_of_what_is_not_rtmp_neither_fills_the_log_nor_takes_the_thread(cluster, healthy, table, load):
    port = urlsplit(cluster.rtmp("x")).port
    connections = load(300, 20000)
    before = closed(cluster, "handshake")
    with healthy.watched():
        began = time.monotonic()
        with abuse.Said(cluster, "ingest-1") as said:
            with abuse.attackers(2, get, port, "127.0.0.9"):
                wait_until(lambda: closed(cluster, "handshake") - before > connections, "so many to be turned away", 120)
        seconds = time.monotonic() - began
    lines, count = len(said.lines("level=")), closed(cluster, "handshake") - before
    most = 100 + 10 * int(seconds + 1)
    table.row(f"GET / at the RTMP port, {seconds:.1f} s: lines of the log for {count:.0f} connections", most, lines)
    assert lines <= most
    wait_until(lambda: abuse.lines(cluster, "ingest-1", "more of these lines"), "what was left out is told", 20)


# ---- streams

@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    path = tmp_path_factory.mktemp("second") / "s.flv"
    media.make_stamped(path, "30", 1, size="320x180")
    return list(rtmp.flv_tags(path))


def test_one_connection_that_publishes_two_hundred_names_begins_few(cluster, healthy, table, tags):
    refused = closed(cluster, "streams")
    with healthy.watched():
        c = rtmp.Connection(cluster.rtmp("many-0"))
        begun = [c.publish()]
        with contextlib.suppress(ConnectionError):
            for n in range(1, 200):
                if begun[-1] != "NetStream.Publish.Start":
                    break
                rtmp.publish_tags(c, tags)
                c.command("deleteStream", 6, None, 1)
                c.command("publish", 5, None, f"many-{n}", "live", message_stream=1)
                begun.append(c.answer())
        wait_until(lambda: closed(cluster, "streams") == refused + 1, "the connection is closed")
        c.close()
    table.row("200 names on one connection, one after the other", "4, and one every 5 s", begun.count("NetStream.Publish.Start"))
    assert begun.count("NetStream.Publish.Start") <= 6
    assert begun[-1] == "NetStream.Publish.Rejected" and b"too many streams were begun" in c.said


def test_one_address_that_publishes_two_hundred_names_begins_ten_a_second(cluster, healthy, table, load):
    """Each on a connection of its own, all at once. Nobody sends a picture: what is counted is who was let in."""
    count = load(80, 200)
    refused = cluster.metric("ingest-1", "ingestd_refused_total", reason="rate")
    with healthy.watched():
        held, answers = [], []
        began = time.monotonic()
        for n in range(count):
            c = rtmp.Connection(cluster.rtmp(f"crowd-{n}"), source="127.0.150.1")
            c.connect()
            c.command("createStream", 4, None)
            c.command("publish", 5, None, c.stream, "live", message_stream=1)
            held.append(c)
        asked_s = time.monotonic() - began
        for c in held:
            answers.append(c.answer())
        took_s = time.monotonic() - began
        for c in held:
            c.close()
    begun = answers.count("NetStream.Publish.Start")
    denied = [c for c, answer in zip(held, answers) if answer == "NetStream.Publish.Denied"]
    table.row(f"{count} names of one address at once: begun in {took_s:.1f} s", f"{10 + 10 * took_s:.0f}", begun)
    assert 10 <= begun <= 10 + 10 * (took_s + 1)
    assert begun + len(denied) == count
    assert all(b"too many streams are begun from this address" in c.said or b"as many streams as one address" in c.said for c in denied)
    assert cluster.metric("ingest-1", "ingestd_refused_total", reason="rate") > refused
    if asked_s < 2:
        assert denied, "more than ten a second and four seconds' worth were asked for"


@pytest.mark.long
def test_streams_of_one_address_at_once_are_bounded(cluster, healthy, table):
    with healthy.watched():
        held, answers = [], []
        for n in range(65):
            c = rtmp.Connection(cluster.rtmp(f"at-once-{n}"), source="127.0.150.2")
            answers.append(c.publish())
            held.append(c)
        for c in held:
            c.close()
    begun = answers.count("NetStream.Publish.Start")
    table.row("65 streams of one address, which may have 60", 60, begun)
    assert begun == 60 and answers[60:] == ["NetStream.Publish.Denied"] * 5
    assert b"as many streams as one address may" in held[-1].said


def test_streams_that_each_address_may_begin_leave_the_others_alone(cluster, healthy, tags, load):
    """A crowd of broadcasters that send half a second and go: none of them reaches a transcoder faster than its address may."""
    addresses = load(2, 6)

    def crowd(number, port):
        n = 0
        while True:
            with contextlib.suppress(OSError, AssertionError):
                c = rtmp.Connection(f"rtmp://127.0.0.1:{port}/live/crowd{number}-{n}", source=source(300 + number))
                n += 1
                if c.publish() == "NetStream.Publish.Start":
                    rtmp.publish_tags(c, tags)
                    c.command("deleteStream", 6, None, 1)
                c.close()

    with healthy.watched():
        with abuse.attackers(addresses, crowd, urlsplit(cluster.rtmp("x")).port):
            time.sleep(load(2, 20))
