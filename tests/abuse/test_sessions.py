"""Streams that strangers begin, and what they cost a transcoder: many names at once, streams larger than the machine, a film as fast as
it comes. What runs is not made late by it, what is taken on stays within what the machine can, and memory comes back."""
import contextlib
import os
import subprocess
import threading
import time

import pytest

import abuse
import harness
import media
import rtmp

# The default ladder for strangers: what a public service has.
RUNGS = [(1080, 4500, 30), (720, 2500, 30), (480, 1200, 30), (360, 600, 30), (240, 250, 15)]
LADDER = [{"match": "healthy*", **harness.TINY_LADDER[0]},
          {"video": [{"height": h, "kbps": k, "fps_max": f} for h, k, f in RUNGS], "audio": [{"kbps": 128}, {"kbps": 64}]}]
NODE = "transcoder-1"
MEMORY = 320 << 20  # for four streams of 720 lines, as many as two processors encode that have other things to do
OF_ONE = 90 << 20   # where more of them fit, as nothing else runs: for each that was seen, and for one that begins
LEFT = 96 << 20     # once they are gone


@pytest.fixture(scope="module")
def hd(tmp_path_factory):
    path = os.path.join(str(tmp_path_factory.mktemp("hd")), "hd.flv")
    media.make_stamped(path, "30", 4, size="1280x720")
    return path


class Watch(threading.Thread):
    """What the transcoder has promised meanwhile, and can."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.over, self.promised, self.shares, self.sessions = cluster, threading.Event(), 0, [0], 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.2):
            with contextlib.suppress(Exception):  # looked at again
                promised = abuse.metric(self.cluster, NODE, "transcoderd_promised_pixels")
                self.shares.append(promised / abuse.metric(self.cluster, NODE, "transcoderd_capacity_pixels"))
                self.sessions = max(self.sessions, abuse.metric(self.cluster, NODE, "transcoderd_sessions"))


def wait_settled(cluster):
    harness.wait_until(lambda: abuse.metric(cluster, NODE, "transcoderd_sessions") == 1 and
                       abuse.metric(cluster, NODE, "transcoderd_closing") == 0, "only the healthy stream is left")


def wait_memory(before):
    of = {}

    def is_back():
        of["left"] = abuse.rss(before["pid"]) - before["rss"]
        return of["left"] <= LEFT * (4 if abuse.SANITIZED else 1)
    try:
        harness.wait_until(is_back, "memory is given back", 30, every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{abuse.mib(of['left'])} are left") from error
    return of["left"]


def begin(cluster, healthy):
    healthy.start()
    pid = abuse.pid(cluster, NODE)
    abuse.forget_most_rss(pid)
    return {"pid": pid, "rss": abuse.rss(pid),
            "refused": abuse.metric(cluster, NODE, "transcoderd_beginnings_refused_total")}


def judge(cluster, table, trial, before, watch):
    most = abuse.most_rss(before["pid"]) - before["rss"]
    wait_settled(cluster)
    left = wait_memory(before)
    bound = max(MEMORY, OF_ONE * (watch.sessions + 1))
    table.row(f"{trial}: memory of the transcoder", f"{abuse.mib(bound)}, then {abuse.mib(LEFT)}",
              f"{abuse.mib(most)}, then {abuse.mib(left)}")
    table.row(f"{trial}: encoding that is promised, of what the machine can", "100 % when it was", f"{max(watch.shares):.0%}")
    assert most <= bound * (4 if abuse.SANITIZED else 1), f"{abuse.mib(most)} with {watch.sessions:.0f} sessions"


def publish_names(url, tags, count):
    """One connection, one name after the other, each with its configuration and a keyframe."""
    headers = [t for t in tags if t[2][1] == 0]
    key = next(t[2] for t in tags if t[0] == rtmp.VIDEO and t[2][1] == 1)
    c = rtmp.Connection(url + "name0")
    c.connect()
    with contextlib.suppress(OSError):  # closed, because it is too much
        for n in range(count):
            c.command("createStream", 4, None)
            c.command("publish", 5, None, f"name{n}", "live", message_stream=1)
            for kind, _, payload in headers:
                c.tag(kind, 0, payload)
            c.tag(rtmp.VIDEO, 0, key)
            c.command("deleteStream", 6, None, 1)
        c.wait_closed(2)
    c.close()


def test_many_names_over_one_connection(cluster, healthy, table, load, hd):
    count = load(60, 200)
    before, tags = begin(cluster, healthy), list(rtmp.flv_tags(hd))
    with healthy.watched(), Watch(cluster) as watch:
        publish_names(cluster.rtmp(""), [t for t in tags if t[0] in (rtmp.AUDIO, rtmp.VIDEO)], count)
        wait_settled(cluster)
    judge(cluster, table, f"{count} names published over one connection", before, watch)


def stay(url, tags, seconds, source):
    """A broadcaster in real time, until it is told to go or its time is over."""
    with contextlib.suppress(OSError, AssertionError):
        c = rtmp.Connection(url, source=source)
        c.publish()
        begun = time.monotonic()
        for kind, ms, payload in tags:
            time.sleep(max(begun + ms / 1000 - time.monotonic(), 0))
            if ms > seconds * 1000:
                break
            c.tag(kind, ms, payload)
        c.command("deleteStream", 6, None, 1)
        c.close()


def test_more_streams_from_many_addresses_than_the_machine_can_encode(cluster, healthy, table, load, hd):
    count = load(16, 60)
    before, tags = begin(cluster, healthy), [t for t in rtmp.flv_tags(hd) if t[0] in (rtmp.AUDIO, rtmp.VIDEO)]
    with healthy.watched(), Watch(cluster) as watch:
        streams = [threading.Thread(target=stay, args=(cluster.rtmp(f"crowd{n}"), tags, 3, f"127.0.201.{n + 1}")) for n in range(count)]
        for s in streams:
            s.start()
        for s in streams:
            s.join()
        wait_settled(cluster)
    judge(cluster, table, f"{count} streams of 720 lines at once", before, watch)
    refused = abuse.metric(cluster, NODE, "transcoderd_beginnings_refused_total") - before["refused"]
    assert refused > 0, "all were taken"
    assert abuse.lines(cluster, NODE, 'msg="stream refused"', "pixels_s=")
    table.row(f"{count} streams of 720 lines at once: most that ran", "", f"{watch.sessions:.0f}")


def test_a_film_as_fast_as_it_comes(cluster, healthy, table, load, tmp_path):
    """It takes all of the machine that the others leave it."""
    film = os.path.join(str(tmp_path), "film.flv")
    media.make_stamped(film, "30", load(10, 60), size="1280x720")
    before = begin(cluster, healthy)
    with healthy.watched(), Watch(cluster) as watch:
        subprocess.run(["nice", "-n", "10", "ffmpeg", "-v", "error", "-i", film, "-c", "copy", "-f", "flv", cluster.rtmp("film")],
                       stdin=subprocess.DEVNULL, timeout=120, check=False)
        wait_settled(cluster)
    judge(cluster, table, "a film as fast as it comes", before, watch)
