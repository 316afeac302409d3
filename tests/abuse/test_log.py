"""However much strangers cause, a log grows slowly, and says how much it left out."""
import socket
from urllib.parse import urlsplit

from abuse import Said, metric
from harness import wait_until


def knock(where, what):
    with socket.create_connection(where, timeout=20) as s:
        s.sendall(what)
        try:
            s.recv(100)
        except ConnectionError:
            pass


def test_http_at_the_rtmp_port(cluster, healthy, table, load):
    count, url = load(500, 20000), urlsplit(cluster.rtmp("x"))
    before = metric(cluster, "ingest-1", "ingestd_closed_total", reason="handshake")
    with healthy.watched(), Said(cluster, "ingest-1") as said:
        for _ in range(count):
            knock((url.hostname, url.port), b"GET / HTTP/1.1\r\n\r\n")
        wait_until(lambda: metric(cluster, "ingest-1", "ingestd_closed_total", reason="handshake") == before + count, "all are counted")
    seen = len(said.lines())
    table.row(f"{count} times HTTP at the RTMP port: lines", load(150, 1000), seen)
    assert seen <= load(150, 1000)
