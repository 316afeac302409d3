"""However much strangers cause, a log grows slowly, and says by itself how much it left out."""
import os
import re
import socket
import time
from urllib.parse import urlsplit

import pytest

import sp
from abuse import Said, metric
from harness import TOP, wait_until

WINDOW_S = 10  # of the limiter: LOG_WINDOW_US
OF_A_PLACE = 200  # LOG_SITE_LINES
TOLD_S = 2 * WINDOW_S


def place(cluster, node, key):
    config = cluster.config(node)
    return config.get("bind", "127.0.0.1"), config[key]


def knock(where, what):
    with socket.create_connection(where, timeout=20) as s:
        s.sendall(what)
        try:
            s.recv(100)
        except ConnectionError:
            pass


def lines_that_may_be(seconds, places):
    """Of so many places in the source, in so many seconds; the windows are each place's own."""
    return places * OF_A_PLACE * (int(seconds / WINDOW_S) + 2)


def wait_told(said, least):
    """What was left out is told though nothing follows: the sum of it."""
    def told():
        return sum(int(n) for line in said.lines() for n in re.findall(r" more=(\d+) ", line))
    wait_until(lambda: told() >= least, f"{least} lines that were left out are told", TOLD_S)
    return told()


def test_http_at_the_rtmp_port(cluster, healthy, table, load):
    count, url = load(1000, 20000), urlsplit(cluster.rtmp("x"))
    before = metric(cluster, "ingest-1", "ingestd_closed_total", reason="handshake")
    with healthy.watched(), Said(cluster, "ingest-1") as said:
        began = time.monotonic()
        for _ in range(count):
            knock((url.hostname, url.port), b"GET / HTTP/1.1\r\n\r\n")
        took_s = time.monotonic() - began
        wait_until(lambda: metric(cluster, "ingest-1", "ingestd_closed_total", reason="handshake") == before + count, "all are counted")
    most, seen = lines_that_may_be(took_s, 1), len(said.lines())
    table.row(f"{count} times HTTP at the RTMP port in {took_s:.1f} s: lines", most, seen)
    assert seen <= most


def corpus(name):
    with open(os.path.join(TOP, "tests", "fuzz", "corpus", "wire", name), "rb") as f:
        return f.read()


def test_puts_of_a_session_that_is_not_there(cluster, healthy, table, load):
    """Over one connection, as fast as they are answered."""
    count = load(3000, 60000)
    with healthy.watched(), Said(cluster, "origin-1") as said, sp.Connection(cluster.config("origin-1")["port"]) as asker:
        asker.begun()
        message = corpus("put")
        began = time.monotonic()
        for _ in range(count):
            asker.ask(message)
        took_s = time.monotonic() - began
    most, seen = lines_that_may_be(took_s, 1), len(said.lines())
    table.row(f"{count} PUTs of an unknown session in {took_s:.1f} s: lines", most, seen)
    assert seen <= most
    if count > most:  # each was a line
        left_out = wait_told(said, 1)
        table.row("  of which were left out, and told as that", "all", left_out)


@pytest.mark.parametrize("node, key", [("origin-1", "port"), ("origin-1", "fetch_port"), ("transcoder-1", "port"),
                                       ("edge-1", "fetch_port"), ("origin-1", "http_port"), ("edge-1", "http_port")])
def test_rubbish_at_a_port(cluster, healthy, table, node, key, load):
    count, where = load(300, 5000), place(cluster, node, key)
    with healthy.watched(), Said(cluster, node) as said:
        began = time.monotonic()
        for n in range(count):
            try:
                with socket.create_connection(where, timeout=20) as s:
                    s.sendall((b"\x16\x03\x01\0\xff" if n % 2 else b"\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\5\x80\0\0\1\xfe") + bytes(40))
            except OSError:
                pass
        took_s = time.monotonic() - began
    most, seen = lines_that_may_be(took_s, 2), len(said.lines())
    table.row(f"{count} times rubbish at {node}'s {key} in {took_s:.1f} s: lines", most, seen)
    assert seen <= most
