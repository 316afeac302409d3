"""The same ports in a cluster with certificates: what strangers do below TLS, and what a node does with another role's certificate."""
import os
import ssl
import time

import sp
from abuse import cpu, fds, forget_most_rss, metric, mib, most_rss, pid, rss
from harness import wait_until

FLAGS = ["--secure"]


def errors(cluster, node, reason):
    return metric(cluster, node, "freshet_peer_errors_total", reason=reason)


def wearing(cluster, name):
    trust = os.path.join(cluster.dir, "trust")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(os.path.join(trust, "ca.crt"))
    context.load_cert_chain(os.path.join(trust, f"{name}.crt"), os.path.join(trust, f"{name}.key"))
    return context.wrap_socket


def test_another_roles_certificate_opens_nothing(cluster, healthy, table):
    """With the token even, as who has broken into an edge has it."""
    with open(os.path.join(cluster.dir, "trust", "cluster.token"), encoding="ascii") as f:
        token = f.read().strip()
    port = cluster.config("origin-1")["port"]
    with healthy.watched(), sp.Connection(port, wearing(cluster, "edge-1")).begun() as c:
        live = [s["id"] for s in cluster.get("/api/streams").json()["streams"]]
        kinds = [c.prove(sp.TRANSCODERD, "transcoder-1", token)[1][0], *(c.ask(sp.claim(s, generation=2**32 - 1))[0] for s in live)]
    table.row("an edge's certificate, HELLO of a transcoder, CLAIM: answers", "refused", sorted(set(kinds)))
    assert live and set(kinds) == {sp.REFUSED}


def test_long_messages_under_tls_before_hello(cluster, healthy, table, load):
    port, process, count = cluster.config("origin-1")["port"], pid(cluster, "origin-1"), load(16, 64)
    before, refused = rss(process), errors(cluster, "origin-1", "hello_bytes")
    forget_most_rss(process)
    with healthy.watched():
        for _ in range(count):
            with sp.Connection(port, wearing(cluster, "edge-1")).begun() as c:
                c.announce(sp.MESSAGE_MAX - 1)
                try:
                    for _ in range(16):
                        c.socket.sendall(bytes(1 << 20))
                except OSError:
                    pass
        wait_until(lambda: errors(cluster, "origin-1", "hello_bytes") >= refused + count, "each to be refused")
    most = most_rss(process) - before
    table.row(f"TLS: {count} connections announce and send 16 MiB less a byte before HELLO", "24 MiB", mib(most))
    assert most <= 24 << 20


def test_those_who_never_finish_the_handshake_have_five_seconds(cluster, healthy, table, load):
    port, process = cluster.config("origin-1")["port"], pid(cluster, "origin-1")
    before, late = fds(process), errors(cluster, "origin-1", "hello_late")
    with healthy.watched():
        began = time.monotonic()
        silent = [sp.Connection(port, source=f"127.0.6.{i % 10 + 1}", begin=False) for i in range(load(300, 2000))]
        last = time.monotonic()
        wait_until(lambda: all(c.over() for c in silent), "all of them to be ended")
        took = time.monotonic() - last
    for c in silent:
        c.socket.close()
    wait_until(lambda: fds(process) <= before + 5, "descriptors to be given back")
    waited = errors(cluster, "origin-1", "hello_late") - late
    table.row(f"TLS: {len(silent)} silent connections: so many had their five seconds, the last has ended after", "256, 5 s", f"{waited}, {took:.1f} s")
    assert 0 < waited <= 256 or last - began >= 5  # who came so slowly had them before the next one came
    assert took <= 7 + (last - began)


def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


def is_answered(port, hello, source):
    with sp.Connection(port, source=source, begin=False) as c:
        try:
            c.socket.sendall(hello)
            return c.socket.recv(1) != b""
        except OSError:
            return False


def test_who_only_begins_handshakes_has_few_of_them_answered(cluster, healthy, table, load):
    """Each would cost a signature."""
    port, process, hello, seconds = cluster.config("origin-1")["port"], pid(cluster, "origin-1"), client_hello(), load(3, 15)
    used, tried, answered = cpu(process), 0, 0
    refused, of_all = errors(cluster, "origin-1", "handshakes"), metric(cluster, "origin-1", "freshet_peer_errors_total")
    with healthy.watched():
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            tried += 1
            answered += is_answered(port, hello, "127.0.7.1")
        took, used = time.monotonic() - began, cpu(process) - used
        with sp.Connection(port, wearing(cluster, "edge-1"), source="127.0.7.2").begun() as c:  # others have their own
            assert c.ask(sp.hello(sp.EDGED, "edge-1"))[0] == sp.CHALLENGE
    table.row(f"TLS: {tried} ClientHellos of one address within {took:.1f} s: answered; processor time", f"{100 + 100 * took:.0f}; told",
              f"{answered}; {used:.2f} s")
    assert 0 < answered <= 101 + 100 * took
    # each is counted, with one reason or another: of those that nng has not closed yet an address may have only so many
    wait_until(lambda: metric(cluster, "origin-1", "freshet_peer_errors_total") >= of_all + tried - answered, "those refused to be counted")
    assert errors(cluster, "origin-1", "handshakes") > refused


def test_a_connection_that_ends_before_it_begins_does_not_end_the_port(cluster, healthy, load):
    port = cluster.config("origin-1")["port"]
    with healthy.watched():
        for _ in range(load(300, 5000)):
            sp.ends_before_it_begins(port)
        with sp.Connection(port, wearing(cluster, "edge-1")).begun() as c:
            assert c.ask(sp.hello(sp.EDGED, "edge-1"))[0] == sp.CHALLENGE
