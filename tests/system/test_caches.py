"""deploy/caches: nginx and Varnish between viewers and an edge or an origin, as docs/operations.md has it. Takes its time: only with --long."""
import os
import re
import select
import socket
import subprocess
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from harness import LONG, TOP, request, reserve_port, spawn, wait_until

pytestmark = pytest.mark.skipif(not LONG, reason="only with --long")

VIEWERS = 200
RECIPES = os.path.join(TOP, "deploy", "caches")


def recipe(name, pairs):
    with open(os.path.join(RECIPES, name), encoding="utf-8") as f:
        text = f.read()
    for line, instead in pairs:
        assert text.count(line) == 1, f"{name} has no line '{line}'"
        text = text.replace(line, instead)
    return text


def nginx(folder, upstream, port):
    """The recipe as a part of a configuration, in the foreground."""
    text = recipe("nginx.conf", [("/var/cache/nginx/freshet", f"{folder}/cache"), ("server 127.0.0.1:8080;", f"server {upstream};"),
                                 ("listen 8000 backlog=4096;", f"listen 127.0.0.1:{port} backlog=4096;")])
    conf = os.path.join(folder, "nginx.conf")
    temp = "".join(f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f"user root; daemon off; worker_processes 1; pid {folder}/pid; error_log stderr notice;\n"
                f"events {{ worker_connections 4096; }}\nhttp {{ access_log off; {temp}\n{text}\n}}\n")
    return ["/usr/sbin/nginx", "-c", conf]


def varnish(folder, upstream, port):
    host, _, number = upstream.partition(":")
    text = recipe("freshet.vcl", [('.host = "127.0.0.1";', f'.host = "{host}";'), ('.port = "8080";', f'.port = "{number}";')])
    vcl = os.path.join(folder, "freshet.vcl")
    with open(vcl, "w", encoding="utf-8") as f:
        f.write(text)
    # Without its jail, which wants a user of its own.
    return ["/usr/sbin/varnishd", "-F", "-j", "none", "-n", os.path.join(folder, "work"), "-a", f"127.0.0.1:{port}", "-f", vcl,
            "-s", "malloc,64m", "-p", "thread_pool_min=50", "-p", "thread_pool_max=500"]


class Cache:
    def __init__(self, what, folder, upstream):
        self.port = reserve_port()
        self.what = what.__name__
        self.folder = str(folder)
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "wb") as out:
            self.process = spawn(what(self.folder, upstream, self.port), stdout=out, stderr=subprocess.STDOUT)
        wait_until(self.answers, f"{self.what} answers", 120)

    def answers(self):
        assert self.process.poll() is None, open(self.log, encoding="utf-8", errors="replace").read()
        try:
            return self.get("/time").status == 200
        except OSError:
            return False

    def get(self, path, **options):
        return request(f"http://127.0.0.1:{self.port}{path}", **options)


class Crowd:
    """Viewers that ask for the same at once, each on a connection of its own."""

    def __init__(self, port, path, count=VIEWERS):
        self.poll, self.asking, self.got = select.epoll(), {}, {}
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port))
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\r\n".encode())
            s.setblocking(False)
            self.asking[s.fileno()] = s
            self.got[s.fileno()] = b""
            self.poll.register(s.fileno(), select.EPOLLIN)

    def read(self):
        for fd, _ in self.poll.poll(0.1):
            piece = self.asking[fd].recv(1 << 18)
            self.got[fd] += piece
            if not piece:
                self.poll.unregister(fd)
                self.asking.pop(fd).close()

    def with_bytes(self):
        """How many have some of the body."""
        self.read()
        return sum(1 for text in self.got.values() if text.partition(b"\r\n\r\n")[2])

    def answers(self):
        """(status, body) of each, when all have theirs."""
        def all_have():
            self.read()
            return not self.asking
        wait_until(all_have, "everybody is answered", 120, every=0)
        return [(int(text.split(b" ", 2)[1]), body_of(text)) for text in self.got.values()]


class Maker(ThreadingHTTPServer):
    """An origin with a segment that is made in two pieces, the second when it is told to."""
    daemon_threads = True
    PIECES = (b"a" * 20000, b"b" * 20000)

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Answers)
        self.rest, self.requests = threading.Event(), 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/time":
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.server.requests += 1
            self.send_response(200)
            self.send_header("Cache-Control", "max-age=31536000, immutable")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i, piece in enumerate(self.server.PIECES):
                if i:
                    self.server.rest.wait()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass


def body_of(text):
    head, _, body = text.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return body
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        out, body = out + body[:n], body[n + 2:]
        if n == 0:
            return out
    raise AssertionError("an answer was cut off")


@pytest.fixture(scope="module")
def live(cluster_tiny):
    cluster_tiny.publish_test_picture("cached", size="320x180")
    cluster_tiny.session = cluster_tiny.wait_playable("cached", tracks=["v180"])["session"]
    return cluster_tiny


@pytest.fixture(scope="module", params=[(nginx, "edge"), (varnish, "edge"), (nginx, "origin"), (varnish, "origin")],
                ids=lambda p: f"{p[0].__name__}-{p[1]}")
def cache(request, live, tmp_path_factory):
    what, upstream = request.param
    if upstream == "edge":
        address = urlsplit(live.node("edge-1")["http"]).netloc
    else:
        address = f"127.0.0.1:{live.config('origin-1')['http_port']}"
        if not address_serves(address):
            pytest.skip("an origin of this cluster serves no HTTP")
    made = Cache(what, tmp_path_factory.mktemp(what.__name__), address)
    made.is_edge = upstream == "edge"
    yield made
    made.process.terminate()
    made.process.wait(60)


def address_serves(address):
    try:
        return request(f"http://{address}/api/streams").status == 200
    except OSError:
        return False


def asked(live):
    """Requests that the edge answered for objects: not those of its own."""
    return sum(live.metric("edge-1", "edged_requests_total", result=result) for result in ("hit", "miss", "joined", "stale"))


def next_segment(live):
    text = live.get("/live/cached/manifest.mpd").text()
    start = datetime.fromisoformat(re.search(r'availabilityStartTime="([^"]+)"', text).group(1).replace("Z", "+00:00")).timestamp()
    return int(time.time() - start) + 2


def segment(live, n):
    return f"/live/cached/{live.session}/v180/{n}.m4s"


def test_a_crowd_costs_one_request_and_gets_the_same_bytes(cache, live):
    # Each cache has a segment of its own, so that none is in anybody's already.
    path = segment(live, wait_until(lambda: (n := next_segment(live)) > 12 and n, "enough segments", 60) - 6)
    assert wait_until(lambda: live.get(path).status == 200, "it is there", 60)
    before = asked(live)
    answers = Crowd(cache.port, path).answers()
    assert {status for status, _ in answers} == {200}
    assert {body for _, body in answers} == {live.get(path).body}
    if cache.is_edge:
        assert asked(live) - before == 1 + 1  # and the one of just now
    assert cache.get(path).body == live.get(path).body


def test_a_segment_that_is_still_to_be_made_costs_one_request_too(cache, live):
    path = segment(live, next_segment(live))
    before = asked(live)
    answers = Crowd(cache.port, path).answers()
    requests = asked(live) - before
    assert {status for status, _ in answers} == {200}
    assert {body for _, body in answers} == {live.get(path).body}
    if cache.is_edge:
        assert requests == 1


def test_a_manifest_is_asked_for_about_once_a_second(cache, live):
    if not cache.is_edge:  # which does not tell what it was asked for
        return
    before, begun = asked(live), time.monotonic()
    while time.monotonic() < begun + 4:
        assert cache.get("/live/cached/manifest.mpd").status == 200
    assert 1 <= asked(live) - before <= time.monotonic() - begun + 2


def test_a_players_statistics_are_no_part_of_the_name(cache, live):
    path = segment(live, next_segment(live) - 8)
    whole = cache.get(path).body
    before = asked(live)
    for n in range(20):
        assert cache.get(f"{path}?CMCD=bl%3D{n}").body == whole
    if cache.is_edge:
        assert asked(live) == before


def test_versions_of_a_playlist_are_told_apart_and_waited_for(cache, live):
    path = f"/live/cached/{live.session}/v180/media.m3u8"
    wait_until(lambda: next_segment(live) > 20, "a player can be told to skip some", 60)
    skipped = cache.get(f"{path}?_HLS_skip=YES").text()
    assert "#EXT-X-SKIP" in skipped
    # What was told to one who knows the rest is not told to one who does not, whatever else each says.
    assert "#EXT-X-SKIP" not in cache.get(path).text()
    assert "#EXT-X-SKIP" in cache.get(f"{path}?CMCD=bl%3D1&_HLS_skip=YES&CMCD=x").text()
    for _ in range(3):
        newest = max(int(n) for n in re.findall(r"^(\d+)\.m4s", cache.get(path).text(), re.M))
        told = cache.get(f"{path}?_HLS_msn={newest + 2}&_HLS_part=0").text()
        assert f"\n{newest + 1}.m4s\n" in told and f'URI="{newest + 2}.0.m4s"' in told, "it is asked for, and waited for"


def test_texts_are_gzipped_for_who_takes_them_so_and_for_nobody_else(cache, live):
    path = "/live/cached/manifest.mpd"
    for _ in range(2):
        assert cache.get(path, headers={"Accept-Encoding": "gzip"}).headers.get("content-encoding") == ("gzip" if cache.is_edge else None)
        plain = cache.get(path)
        assert "content-encoding" not in plain.headers and "<MPD" in plain.text()


def test_a_track_without_an_end_is_each_viewers_own(cache, live):
    if not cache.is_edge:  # an origin has none
        return
    path = f"/live/cached/{live.session}/v180/tail"
    crowd = Crowd(cache.port, path, 8)
    wait_until(lambda: crowd.with_bytes() == 8, "all of them have some", 60, every=0)
    before = {fd: len(text) for fd, text in crowd.got.items()}
    wait_until(lambda: crowd.with_bytes() and all(len(text) > before[fd] for fd, text in crowd.got.items()), "it goes on for all", 60, every=0)
    for s in crowd.asking.values():
        s.close()


def test_a_clip_is_not_the_whole_recording(cache, live):
    name = f"clip-{cache.what}-{'e' if cache.is_edge else 'o'}"
    publisher = live.publish_test_picture(name, size="320x180")
    session = live.wait_playable(name, tracks=["v180"])["session"]
    path = f"/live/{name}/{session}/recording.mp4"
    wait_until(lambda: live.get(f"/live/{name}/{session}/v180/4.m4s").status == 200, "some seconds are there", 60)
    publisher.stop()
    whole = wait_until(lambda: (r := cache.get(path)).status == 200 and r, "it is over", 120)
    clip = cache.get(f"{path}?from=1&to=3")
    assert clip.status == 200 and 0 < len(clip.body) < len(whole.body)
    part = cache.get(path, headers={"Range": "bytes=100-199"})
    assert part.status == 206 and part.body == whole.body[100:200]


def test_the_time_and_errors_are_of_this_moment(cache, live):
    if cache.is_edge:  # an origin leaves telling the time to edges
        first = cache.get("/time").body
        wait_until(lambda: cache.get("/time").body != first, "the time goes on", 20)
    name = f"later-{cache.what}-{'e' if cache.is_edge else 'o'}"
    assert cache.get(f"/live/{name}/manifest.mpd").status == 404
    publisher = live.publish_test_picture(name, size="320x180")
    wait_until(lambda: cache.get(f"/live/{name}/manifest.mpd").status == 200, "it is there once it is live", 120)
    publisher.stop()


def test_parts_and_heads_are_answered_from_the_whole(cache, live):
    path = segment(live, 1)
    whole = cache.get(path)
    part = cache.get(path, headers={"Range": "bytes=100-199"})
    assert part.status == 206 and part.body == whole.body[100:200]
    head = cache.get(path, method="HEAD")
    assert head.status == 200 and not head.body
    assert whole.headers["access-control-allow-origin"] == "*"
    assert "immutable" in whole.headers["cache-control"]


@pytest.mark.parametrize("what, get_it", [(nginx, 1), (varnish, VIEWERS)], ids=["nginx", "varnish"])
def test_so_many_viewers_get_a_segment_while_it_is_made_as_the_recipe_says(what, get_it, tmp_path):
    maker = Maker()
    cache = Cache(what, tmp_path, f"127.0.0.1:{maker.server_address[1]}")
    crowd = Crowd(cache.port, "/live/cam/s/v180/7.m4s")
    wait_until(lambda: crowd.with_bytes() >= get_it, "they have the first piece", 120, every=0)
    assert crowd.with_bytes() == get_it
    maker.rest.set()
    assert set(crowd.answers()) == {(200, b"".join(Maker.PIECES))}
    assert maker.requests == 1
    cache.process.terminate()
    cache.process.wait(60)
    maker.shutdown()
