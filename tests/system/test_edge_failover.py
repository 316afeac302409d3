"""Viewers at the live edge, two origins that have the same bytes, and one of the origins freezes or dies: no viewer sees an
error or another byte, and what the wait cost is printed (pytest -rP) and in the report as longest_wait_ms."""
import contextlib
import http.client
import os
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest

from harness import TINY_LADDER, TOP, request, run, spawn, wait_until

PUT_FILE = os.path.join(TOP, "build", "release", "tools", "put_file")
SECONDS = 12
TRACKS = ("v90", "a64")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """{track: fragmented MP4 in chunks of 200 ms}"""
    folder = tmp_path_factory.mktemp("media")
    cut = ["-movflags", "+empty_moov+default_base_moof+cmaf+skip_trailer", "-use_editlist", "0", "-f", "mp4"]
    files = {track: str(folder / f"{track}.mp4") for track in TRACKS}
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=25:duration={SECONDS}", "-c:v", "libx264",
        "-preset", "ultrafast", "-bf", "0", "-g", "25", "-frag_duration", "200000", *cut, files["v90"])
    run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"sine=duration={SECONDS}:sample_rate=48000", "-c:a", "aac",
        "-frag_duration", "200000", *cut, files["a64"])
    return files


class Viewer(threading.Thread):
    """Reads a track's segments one after the other at the live edge, on one connection, as they grow."""

    def __init__(self, cluster, session, track, first):
        super().__init__(daemon=True)
        self.base, self.next, self.last = f"/live/cam/{session}/{track}/", first, SECONDS - 2
        self.host = urlsplit(cluster.node("edge-1")["http"]).netloc
        self.segments, self.trouble, self.began, self.longest_us = {}, [], time.monotonic(), 0
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.host, timeout=20)
        heard = time.monotonic()
        while self.next <= self.last and not self.trouble:
            try:
                connection.request("GET", f"{self.base}{self.next}.m4s")
                answer = connection.getresponse()
                body = b""
                while piece := answer.read1(1 << 16):
                    now = time.monotonic()
                    self.longest_us, heard = max(self.longest_us, int((now - heard) * 1e6)), now
                    body += piece
                answer.read()  # read1() leaves it open at its end
                if answer.status == 404 and b"no such" in body:  # not due yet: this is no live player, it does not know
                    heard = time.monotonic()
                    time.sleep(0.02)
                elif answer.status != 200:
                    self.trouble.append((self.next, answer.status, body[:200]))
                else:
                    self.segments[self.next] = body
                    self.next += 1
            except (OSError, http.client.HTTPException) as error:
                self.trouble.append((self.next, repr(error)))
        connection.close()


@contextlib.contextmanager
def writers(cluster, media):
    """The same chunks to both origins, in real time, by a writer each; their session."""
    files = [f"{track}={path}" for track, path in media.items()]
    started = []

    def write(origin, *more):
        started.append(spawn(
            [PUT_FILE, "--origin", f"127.0.0.1:{cluster.config(origin)['port']}", "--stream", "cam", "--pace", "1", "--no-end", *more,
             *files], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        return started[-1].stdout.readline().decode().split()

    try:
        session, epoch, generation = write("origin-1")
        write("origin-2", "--join", f"{session},{epoch},{generation}")
        yield session
    finally:
        for writer in started:
            writer.kill()
            writer.wait()


def first_owner(cluster):
    """Whom the edge asks first for this stream: who is answering its FETCHes."""
    return max(("origin-1", "origin-2"), key=lambda o: cluster.metric(o, "originD_fetches_total", status="ok"))


@pytest.mark.parametrize("fault", ["freeze", "kill", "stop"])
def test_viewers_do_not_notice_that_an_origin_is_gone(make_cluster, media, fault, record_property):
    cluster = make_cluster(ladder=TINY_LADDER, ingests=0, transcoders=0, origins=2)
    with writers(cluster, media) as session:
        wait_until(lambda: cluster.get(f"/live/cam/{session}/v90/2.m4s").status == 200, "media")
        viewers = [Viewer(cluster, session, track, 1) for track in TRACKS]
        wait_until(lambda: all(v.next >= 5 or v.trouble for v in viewers), "viewers at the live edge")
        assert [v.trouble for v in viewers] == [[], []]
        gone = first_owner(cluster)
        other = "origin-2" if gone == "origin-1" else "origin-1"
        before = [v.longest_us for v in viewers]
        for v in viewers:
            v.longest_us = 0
        cluster.do(fault, gone)
        for v in viewers:
            v.join(120)
        assert not any(v.is_alive() for v in viewers)
        if fault == "freeze":
            cluster.do("thaw", gone)
        longest = [v.longest_us / 1000 for v in viewers]
        print(f"{fault} {gone}: longest wait before {max(before) / 1000:.0f} ms, after {max(longest):.0f} ms, "
              + " ".join(f"hedges {r}={cluster.metric('edge-1', 'edged_hedges_total', result=r):.0f}" for r in ("won", "lost", "denied")))
        record_property("longest_wait_ms", max(longest))
        assert [v.trouble for v in viewers] == [[], []]
        if fault == "freeze":
            assert cluster.metric("edge-1", "edged_hedges_total", result="won") >= 1
        assert cluster.metric("edge-1", "edged_failed_fills_total") == 0
        origin_http = cluster.node(other)["http"]
        for v in viewers:
            assert sorted(v.segments) == list(range(1, SECONDS - 1))
            for n, body in v.segments.items():
                assert body == fetch(f"{origin_http}{v.base}{n}.m4s"), f"{v.base}{n}"


def fetch(url):
    answer = request(url)
    assert answer.status == 200
    return answer.body
