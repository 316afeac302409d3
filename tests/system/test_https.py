"""The viewers' port that speaks TLS: who is let in, by which certificate, and how often. What goes through it is test_wire.py's."""
import os
import re
import signal
import socket
import ssl

import pytest

from harness import make_certificate, reserve_port, run, wait_until
from test_edge_tier import BIN, Tier, body_of, metric, tier  # noqa: F401
from test_wire import CLIENT, Wire

TIME = b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n"


def start(tier, **settings):
    certs = os.path.join(tier.dir, "certs")
    if not os.path.isdir(certs):
        os.mkdir(certs)
        make_certificate(certs, "tls", "localhost")
    edge = tier.edge(tier.origin(), https_certs=certs, https_port=(port := reserve_port()), **settings)
    edge.certs, edge.port, edge.secure = certs, port, f"https://127.0.0.1:{port}"
    return edge


def connect(edge, session=None):
    plain = socket.create_connection(("127.0.0.1", edge.port), timeout=60)
    return CLIENT.wrap_socket(plain, server_hostname="localhost", session=session)


def is_answered(connection):
    connection.sendall(TIME)
    return connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


def handshakes(edge, result):
    return metric(edge, "edged_tls_handshakes_total", f'"{result}"')


def turned_away(edge, limit):
    return metric(edge, "edged_turned_away_total", f'"{limit}"')


def test_a_slow_reader_gets_every_byte_of_a_large_object_and_of_one_that_is_being_made(tier):
    edge = start(tier)
    for path in ("whole_2000000", "grow_2000000_8_100"):
        wire = Wire(edge.secure)
        wire.socket.sendall(f"GET /live/{path}/s/v720/3.m4s HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: metric(edge, "edged_cache_bytes") > 1000000, "all of it is here, and the kernel full")
        status, _, body = wire.answer(None)
        assert status == 200 and body == body_of(2000000)
        wire.socket.close()


def test_a_new_certificate_is_for_new_connections_and_old_ones_go_on(tier):
    edge = start(tier)
    old = connect(edge)
    before = old.getpeercert(binary_form=True)
    make_certificate(edge.certs, "tls", "localhost")
    edge.signal(signal.SIGHUP)

    def is_new():
        with connect(edge) as c:
            return c.getpeercert(binary_form=True) != before
    wait_until(is_new, "the new one is shown")
    assert is_answered(old)
    with open(f"{edge.certs}/tls.crt", "w", encoding="ascii") as f:
        f.write("nothing")
    edge.signal(signal.SIGHUP)
    wait_until(lambda: "certificate not used" in edge.said(), "that is told")
    assert is_new() and is_answered(connect(edge))  # the last good one stays


def test_who_comes_again_shows_a_ticket(tier):
    edge = start(tier)
    first = connect(edge)
    assert is_answered(first) and handshakes(edge, "full") == 1
    second = connect(edge, first.session)
    assert is_answered(second) and second.session_reused
    assert (handshakes(edge, "full"), handshakes(edge, "resumed")) == (1, 1)


def test_a_ticket_is_good_at_all_edges_that_share_a_secret(tier, tmp_path):
    (tmp_path / "tickets").write_text("5f1d" * 16 + "\n", encoding="ascii")
    secret = {"https_ticket_secret_file": tmp_path / "tickets"}
    one, other, alone = start(tier, **secret), start(tier, **secret), start(tier)
    first = connect(one)
    assert is_answered(first)
    second = connect(other, first.session)
    assert is_answered(second) and second.session_reused and handshakes(other, "resumed") == 1
    third = connect(alone, second.session)
    assert is_answered(third) and not third.session_reused
    (tmp_path / "tickets").write_text("c0de" * 16 + "\n", encoding="ascii")
    other.signal(signal.SIGHUP)

    def is_forgotten():
        with connect(other, first.session) as c:
            return not c.session_reused
    wait_until(is_forgotten, "the new secret is used")


def test_a_ticket_secret_that_can_be_guessed_is_refused(tmp_path):
    made = run(os.path.join(BIN, "edged"), "-n", "--set", "https_ticket_secret=0123456789", check=False)
    assert made.returncode == 2
    assert b"https_ticket_secret" in made.stderr and b"32 characters" in made.stderr and b"0123456789" not in made.stderr


def test_http_1_1_is_what_is_chosen(tier):
    edge = start(tier)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", edge.port), timeout=60)) as c:
        assert c.selected_alpn_protocol() == "http/1.1" and c.version() == "TLSv1.3"


def test_http_without_tls_is_told_what_this_port_speaks(tier):
    edge = start(tier)
    wire = Wire(edge.secure.replace("https", "http"))
    wire.socket.sendall(TIME)
    status, _, body = wire.answer(None)
    assert status == 400 and b"this port speaks TLS" in body
    assert wire.more() == b""
    assert metric(edge, "edged_bad_requests_total", '"plain_http"') == 1


def test_what_is_no_tls_is_told_so_counted_and_closed(tier):
    edge = start(tier)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("AES256-SHA:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as c, pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        old.wrap_socket(c)
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as c:
        c.sendall(bytes(range(128, 228)))
        while c.recv(1000):
            pass
    wait_until(lambda: handshakes(edge, "failed") == 2, "both are counted")
    assert metric(edge, "edged_closed_total", '"unread"') == 0
    assert is_answered(connect(edge))


def test_a_handshake_that_does_not_come_to_its_end_has_as_long_as_a_head(tier):
    edge = start(tier, header_deadline_ms=1000)
    silent, half = (socket.create_connection(("127.0.0.1", edge.port), timeout=60) for _ in range(2))
    half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert silent.recv(1) == b"" and half.recv(1) == b""
    assert metric(edge, "edged_closed_total", '"slow_headers"') == 2


def test_an_address_has_so_many_handshakes_and_who_is_connected_goes_on(tier):
    edge = start(tier, proxy_from="", handshakes_of_one_per_s=1)
    kept = connect(edge)
    with pytest.raises(OSError):
        for _ in range(1000):  # five at once, and one a second
            connect(edge).close()
    assert turned_away(edge, "handshakes_of_one_per_s") >= 1
    assert is_answered(kept)
    assert is_answered(wait_until(lambda: try_to_connect(edge), "a second later there is one more"))
    plain = Wire(edge.url)  # which costs no handshake
    assert is_answered(plain.socket)


def try_to_connect(edge):
    try:
        return connect(edge)
    except OSError:
        return None


def test_all_addresses_together_have_so_many(tier):
    edge = start(tier, handshakes_per_s=1)  # who comes by a balancer has no address
    with pytest.raises(OSError):
        for _ in range(1000):
            connect(edge).close()
    assert turned_away(edge, "handshakes_per_s") >= 1
    wait_until(lambda: "limit=handshakes_per_s" in edge.said(), "it is told in the log")


def test_who_asks_for_the_last_answer_is_told_that_it_is_the_end(tier):
    edge = start(tier)
    wire = Wire(edge.secure)  # which takes no end of the connection for the end of what is said
    wire.socket.sendall(b"GET /live/grow_10000_4_50/s/v720/3.m4s HTTP/1.0\r\n\r\n")
    status, _, body = wire.answer("raw")
    assert status == 200 and body == body_of(10000)


def test_an_edge_that_ends_finishes_what_it_was_asked(tier):
    edge = start(tier, drain_ms=300)
    wire = Wire(edge.secure)
    wire.socket.sendall(b"GET /live/late_50000_1000/s/v720/3.m4s HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: metric(edge, "edged_held") >= 1, "it is held")
    edge.signal(signal.SIGTERM)
    status, _, body = wire.answer(None)
    assert status == 200 and body == body_of(50000)
    assert edge.process.wait(60) == 0


def test_certificates_that_cannot_be_used_are_said_in_words_before_anything_starts(tmp_path):
    made = run(os.path.join(BIN, "edged"), "-n", "--set", f"https_certs={tmp_path}", check=False)
    assert made.returncode == 2
    assert re.search(rb"https_certs: given .*no NAME.crt with NAME.key", made.stderr + made.stdout)


def test_memory_of_a_connection_that_rests(tier):
    """What OpenSSL keeps beside: a bound that shows a leak or buffers that are not given back, and no more."""
    edge = start(tier)
    first = [connect(edge) for _ in range(20)]
    assert all(is_answered(c) for c in first)
    before = rss_kib(edge)
    more = [c for _ in range(150) if is_answered(c := connect(edge))]
    assert len(more) == 150
    assert (rss_kib(edge) - before) / 150 < 40
    for c in first + more:
        c.close()


def rss_kib(edge):
    with open(f"/proc/{edge.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def test_a_port_that_another_process_has_is_named_as_that(tmp_path):
    make_certificate(tmp_path, "tls", "localhost")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = {"https_certs": tmp_path, "https_port": port, **{key: reserve_port() for key in ("http_port", "fetch_port", "admin_port")}}
        done = run(os.path.join(BIN, "edged"), *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")), check=False)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert f"port={port} " in said and "address already in use" in said.lower(), said
