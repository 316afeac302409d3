"""Strangers at an edge's port that speaks TLS: they begin handshakes and do not end them, make the edge sign, and send records that hold
nothing. Whoever watches does it by the port without TLS, on the same threads."""
import contextlib
import os
import socket
import ssl
import struct
import tempfile
import time

import pytest

from abuse import Said, cpu, fds, forget_most_rss, metric, mib, most_rss, pid, rss
from harness import make_certificate, wait_until
from test_nng_tls import client_hello

CERTS = tempfile.TemporaryDirectory(prefix="freshet-abuse-certs-")
make_certificate(CERTS.name, "tls", "localhost")
HEADERS_MS = 6000  # honest clients have their request ready by then, however busy this machine is
OF_ONE, BURST_S = 1, 5  # handshakes: so few that this machine can ask for more, however busy it is
SILENT_MAX = 32 << 10  # bytes in which there is none of HTTP
SETS = [f"edged.https_certs={CERTS.name}", "edged.proxy_from=127.0.9.9", f"edged.header_deadline_ms={HEADERS_MS}",
        f"edged.handshakes_of_one_per_s={OF_ONE}", "edged.connections_max=3000", "edged.connections_of_one=1000"]
HANDSHAKE, ALERT, DATA = 22, 21, 23
TIME = b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def port(cluster):
    return cluster.config("edge-1")["https_port"]


def plain(port, source):
    s = socket.socket()
    s.bind((source, 0))
    s.settimeout(30)
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def record(kind, body):
    return struct.pack(">BHH", kind, 0x0303, len(body)) + body


def over(s):
    """Closed at the other end, whatever was said before."""
    s.setblocking(False)
    try:
        while s.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def is_answered(port, hello, source):
    with contextlib.closing(plain(port, source)) as s:
        try:
            s.sendall(hello)
            return s.recv(1) != b""
        except OSError:
            return False


class Client:
    """TLS whose records are the test's to make: OpenSSL has the other end of two arrays of bytes."""

    def __init__(self, port, source, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version:
            context.maximum_version = version
        self.socket, self.incoming, self.outgoing = plain(port, source), ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.more()
        self.flush()

    def flush(self):
        if self.outgoing.pending:
            self.socket.sendall(self.outgoing.read())

    def more(self):
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionError("closed")
        self.incoming.write(got)

    def answer(self):
        """What the edge says to a request."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.more()

    def sealed(self, data):
        """One record, as it goes over the wire."""
        self.tls.write(data)
        return self.outgoing.read()


def turned_away(cluster, limit):
    return metric(cluster, "edge-1", "edged_turned_away_total", reason=limit)


def test_those_who_never_finish_the_handshake_have_as_long_as_headers_have(cluster, healthy, table, load, port):
    """Some say nothing, some half a ClientHello, some one and nothing more: the last ones have cost a signature, and their answer is not read."""
    process, hello, count = pid(cluster, "edge-1"), client_hello(), load(300, 2000)
    before, kept = fds(process), rss(process)
    forget_most_rss(process)
    with healthy.watched():
        silent = [plain(port, f"127.0.6.{i % 100 + 1}") for i in range(count)]
        for i, s in enumerate(silent):
            with contextlib.suppress(OSError):
                s.sendall((b"", hello[:len(hello) // 2], hello)[i % 3])
        last = time.monotonic()
        wait_until(lambda: all(over(s) for s in silent), "all of them to be closed")
        took = time.monotonic() - last
    for s in silent:
        s.close()
    most = most_rss(process) - kept
    wait_until(lambda: fds(process) <= before + 5, "descriptors to be given back")
    table.row(f"HTTPS: {count} that do not finish their handshake: the last was closed after", f"{HEADERS_MS / 1000} s and a look", f"{took:.1f} s")
    table.row(f"HTTPS: {count} that do not finish their handshake: the edge grew by", "64 KiB each", mib(most))
    assert most <= count * (64 << 10)


def test_a_storm_of_client_hellos_has_as_many_signatures_as_there_may_be(cluster, healthy, table, load, port):
    process, hello, most = pid(cluster, "edge-1"), client_hello(), load(60, 5000)
    tried = answered = 0
    refused, used = turned_away(cluster, "handshakes_of_one_per_s"), cpu(process)
    with healthy.watched(), Said(cluster, "edge-1") as said:
        began = time.monotonic()
        while tried - answered < most:
            tried += 1
            answered += is_answered(port, hello, "127.0.7.1")
        took, used = time.monotonic() - began, cpu(process) - used
        assert is_answered(port, hello, "127.0.7.2")  # which has its own
    bound = OF_ONE * (BURST_S + took) + 1
    table.row(f"HTTPS: {tried} ClientHellos of one address in {took:.1f} s: answered; processor time of the edge", f"{bound:.0f}; told",
              f"{answered}; {used:.2f} s")
    table.row(f"HTTPS: {tried} ClientHellos of one address: lines in the log", 10, len(said.lines()))
    assert 0 < answered <= bound
    assert turned_away(cluster, "handshakes_of_one_per_s") - refused >= tried - answered
    assert len(said.lines()) <= 10


NO_HANDSHAKES = {  # what is sent first, and again and again
    "a handshake without end, in records of one byte": (record(HANDSHAKE, b"\x01\x00\xff\xff\x03\x03"), record(HANDSHAKE, b"\x01")),
    "empty records": (b"", record(HANDSHAKE, b"")),
    "data before the handshake": (b"", record(DATA, b"\x00")),
    "alerts, one after the other": (b"", record(ALERT, b"\x01\x5a"))}


def taken(port, source, beginning, one):
    """How many bytes of it, until the connection was closed."""
    sent = 0
    with contextlib.closing(plain(port, source)) as s:
        with contextlib.suppress(OSError):
            s.sendall(beginning)
            while not over(s) and sent < 64 * SILENT_MAX:
                s.setblocking(True)
                s.sendall(one * 100)
                sent += 100 * len(one)
        wait_until(lambda: over(s), "it to be closed")
    return sent


def test_what_is_no_handshake_is_closed_before_it_is_long(cluster, healthy, table, port):
    process = pid(cluster, "edge-1")
    before = rss(process)
    forget_most_rss(process)
    with healthy.watched():
        seen = {what: taken(port, f"127.0.5.{10 + n}", *sent) for n, (what, sent) in enumerate(NO_HANDSHAKES.items())}
    grown = most_rss(process) - before
    for what, sent in seen.items():
        table.row(f"HTTPS: {what}: taken until it was closed", f"{SILENT_MAX >> 10} KiB and what is under way", f"{sent >> 10} KiB")
        assert sent < 64 * SILENT_MAX, what
    table.row("HTTPS: what is no handshake: the edge grew by", "4 MiB", mib(grown))
    assert grown <= 4 << 20


def test_a_renegotiation_is_refused_and_costs_no_second_signature(cluster, healthy, table, load, port):
    """Of TLS 1.2, by a client that does not ask OpenSSL: a HelloRequest is the server's, so what it sends is a ClientHello in the middle."""
    c = Client(port, "127.0.5.2", ssl.TLSVersion.TLSv1_2)
    c.tls.write(TIME)
    c.flush()
    assert c.answer().startswith(b"HTTP/1.1 200")
    full, tries = metric(cluster, "edge-1", "edged_tls_handshakes_total", result="full"), load(50, 1000)
    with healthy.watched():
        for _ in range(tries):
            with contextlib.suppress(OSError):
                c.socket.sendall(record(HANDSHAKE, client_hello()[5:]))
        wait_until(lambda: over(c.socket), "it to be closed")
    table.row(f"HTTPS: {tries} ClientHellos in the middle of a connection: handshakes", 0,
              f"{metric(cluster, 'edge-1', 'edged_tls_handshakes_total', result='full') - full:.0f}")
    assert metric(cluster, "edge-1", "edged_tls_handshakes_total", result="full") == full
    c.socket.close()


def test_a_request_in_records_of_one_byte_is_answered_and_one_without_end_is_closed(cluster, healthy, table, load, port):
    count = load(20, 200)
    with healthy.watched():
        clients = []
        for i in range(count):
            clients.append(c := Client(port, f"127.0.4.{i + 1}"))
            c.socket.sendall(b"".join(c.sealed(bytes([byte])) for byte in TIME))
            assert c.answer().startswith(b"HTTP/1.1 200")
        for c in clients:
            c.socket.sendall(b"".join(c.sealed(bytes([byte])) for byte in b"GET /time HTTP/1.1\r\nX-"))
        begin = time.monotonic()
        while not all(over(c.socket) for c in clients):
            for c in clients:
                with contextlib.suppress(OSError):
                    c.socket.setblocking(True)
                    c.socket.sendall(c.sealed(b"a"))
            time.sleep(0.1)
        took = time.monotonic() - begin
    table.row(f"HTTPS: {count} that trickle headers, a byte a record: closed after", f"{HEADERS_MS / 1000} s and a look", f"{took:.1f} s")
    for c in clients:
        c.socket.close()


def test_records_that_do_not_open_end_the_connection(cluster, healthy, table, port):
    """The first one that does not open ends it."""
    c = Client(port, "127.0.5.3")
    c.socket.sendall(c.sealed(TIME))
    assert c.answer().startswith(b"HTTP/1.1 200")
    sent = 0
    with healthy.watched():
        with contextlib.suppress(OSError):
            while not over(c.socket) and sent < 64 * SILENT_MAX:
                c.socket.setblocking(True)
                junk = record(DATA, os.urandom(100))  # which does not open: the first one ends it
                c.socket.sendall(junk)
                sent += len(junk)
        wait_until(lambda: over(c.socket), "it to be closed")
    table.row("HTTPS: records that do not open: taken until it was closed", f"{SILENT_MAX >> 10} KiB", f"{sent} bytes")
    assert sent <= 64 * SILENT_MAX
    c.socket.close()
