"""Strangers who ask an edge for much media: tails that nobody reads, downloads that are let go of, pictures that there are not."""
import contextlib
import itertools
import socket
import time

import pytest

from abuse import attackers, forget_most_rss, metric, mib, most_rss, pid, rss
from harness import request, wait_until
from stranger import Stranger, ask_all, http, origin_asked

CONNECTIONS, OF_ONE = 300, 100
ALL_MISSES_S, ONE_MISSES_S, BURST_S = 100, 10, 5
CACHE = 32 << 20
TAILS = CONNECTIONS // 2
SECONDS = 12  # of the recording
SETS = [f"edged.connections_max={CONNECTIONS}", f"edged.connections_of_one={OF_ONE}", f"edged.misses_per_s={ALL_MISSES_S}",
        f"edged.misses_of_one_per_s={ONE_MISSES_S}", "edged.proxy_from=127.0.9.9", f"edged.cache_bytes={CACHE}", "originD.volume_segments=4"]


@pytest.fixture(scope="module")
def recording(cluster):
    """The path of a session that ended."""
    cluster.publish_test_picture("past", seconds=SECONDS, size="320x180").wait()
    session = cluster.wait_state("past", "ended")["session"]
    return f"/live/past/{session}"


def asked_in_all(cluster):
    return metric(cluster, "origin-1", "originD_fetches_total")


# ---- answers without an end

def hold_tails(n, url, paths, count, bytes_a_time):
    """Tails of one address, the oldest of which is let go of for another one; of each it takes so many bytes four times a second."""
    tails, path = [], itertools.cycle(paths)
    while True:
        with contextlib.suppress(OSError):
            tails.append(Stranger(url, f"127.0.12.{n + 1}", receive=4096, timeout=1))
            tails[-1].ask(next(path))
        if len(tails) >= count:
            tails.pop(0).close()
        if bytes_a_time and int(time.monotonic() * 8) % 2 == 0:
            for tail in tails:
                with contextlib.suppress(OSError):
                    tail.socket.recv(bytes_a_time, socket.MSG_DONTWAIT)
        time.sleep(0.02)


@pytest.mark.parametrize("bytes_a_time", [0, 64], ids=["nothing", "slowly"])
def test_tails_that_are_hardly_read_cost_little_and_leave_room(cluster, healthy, table, load, bytes_a_time):
    stream, url, edge = healthy.start(), http(cluster), pid(cluster, "edge-1")
    entry = cluster.stream(stream)
    paths = [f"/live/{stream}/{entry['session']}/{t['name']}/tail" for t in entry["tracks"] if t["name"][0] in "av"]
    most, statuses, kept, asked = 0, [], rss(edge), asked_in_all(cluster)
    forget_most_rss(edge)
    begun = time.monotonic()
    with healthy.watched(), attackers(4, hold_tails, url, paths, OF_ONE, bytes_a_time):
        while time.monotonic() < begun + load(6, 60) or not most:
            most = max(most, metric(cluster, "edge-1", "edged_tails"))
            statuses.append(request(url + "/time").status)
            time.sleep(0.1)
        took, asked = time.monotonic() - begun, asked_in_all(cluster) - asked
    grown, trial = most_rss(edge) - kept, f"4 addresses with {OF_ONE} tails each, of which {'nothing is' if not bytes_a_time else '256 bytes a second are'} read"
    # each segment of a track once, whoever has it; and the edge's own questions: which names there are, lists, manifests
    bound = (len(entry["tracks"]) + 4) * (took + 20)
    table.row(f"{trial}: at a time", TAILS, f"{most:.0f}")
    table.row(f"{trial}: the edge grew by", mib(CACHE + (16 << 20)), mib(grown))
    table.row(f"{trial}: FETCHes at the origin in {took:.0f} s", f"{bound:.0f}", f"{asked:.0f}")
    table.row(f"{trial}: new viewers that were let in", "90 %", f"{100 * statuses.count(200) / len(statuses):.0f} %")
    assert 0 < most <= TAILS
    assert set(statuses) <= {200, 503} and statuses.count(200) >= 0.9 * len(statuses)
    assert asked <= bound
    assert grown <= CACHE + (16 << 20)
    wait_until(lambda: metric(cluster, "edge-1", "edged_tails") == 0, "who went is forgotten")


# ---- downloads

ODD = ["bytes=0-0", "bytes=-1", "bytes=5-4", "bytes=0-0,2-3", "bytes=18446744073709551615-", "bytes=-18446744073709551616", "bytes=0-18446744073709551616",
       "items=0-1", "bytes=", "bytes=a-b", "bytes=4095-4096", "bytes=100000-", "bytes=-0", "bytes=999999999-", "bytes= 1 - 2", "0-5"]
CLIPS = ["", *(f"?from={a}&to={b}" for a in range(SECONDS - 2) for b in range(a + 1, SECONDS)), "?from=-1", "?to=4294967296", "?from=7&to=7", "?from=1e3"]


def download_and_go(n, url, path):
    """One range of one clip after the other; of every third answer the beginning is read, of the others nothing."""
    for i in itertools.count(n * 7919):
        with contextlib.suppress(OSError):
            stranger = Stranger(url, f"127.0.13.{n + 1}", receive=4096, timeout=5)
            stranger.ask(f"{path}/recording.mp4{CLIPS[i % len(CLIPS)]}", f"Range: {ODD[i % len(ODD)]}\r\n")
            if i % 3 == 0:
                stranger.socket.recv(100)
            stranger.close()


def test_downloads_that_are_let_go_of_keep_nothing_and_nobody_from_his_own(cluster, healthy, table, load, recording):
    healthy.start()
    url, nodes = http(cluster) + recording + "/recording.mp4", {name: pid(cluster, name) for name in ("edge-1", "origin-1")}
    whole = wait_until(lambda: (a := request(url)).status == 200 and a, "the recording").body
    kept, asked, got = {name: rss(of) for name, of in nodes.items()}, asked_in_all(cluster), 0
    for of in nodes.values():
        forget_most_rss(of)
    begun = time.monotonic()
    with healthy.watched(), attackers(4, download_and_go, http(cluster), recording):
        while time.monotonic() < begun + load(6, 60) or not got:
            answer = wait_until(lambda: (a := request(url)).status == 200 and a, "somebody else's download")
            assert answer.body == whole
            got += 1
        took, asked = time.monotonic() - begun, asked_in_all(cluster) - asked
    grown = {name: most_rss(of) - kept[name] for name, of in nodes.items()}
    # of each clip: which file it is, looked at again each 0.8 s, however many ask; its header and its media, once; and what is asked without them
    bound = len(CLIPS) * (1.25 * took + 4) + 10 * (took + 20)
    table.row(f"4 who ask for ranges of {len(CLIPS)} clips and go, for {took:.0f} s: FETCHes at the origin", f"{bound:.0f}", f"{asked:.0f}")
    for name in nodes:
        table.row(f"4 who ask for ranges of {len(CLIPS)} clips and go: {name} grew by", mib(CACHE + (32 << 20)), mib(grown[name]))
    table.row("  whole recordings that somebody else had meanwhile", "1", got)
    assert got >= 1 and asked <= bound
    assert max(grown.values()) <= CACHE + (32 << 20)


# ---- pictures

def test_pictures_that_are_not_there_are_asked_for_as_often_as_one_address_may(cluster, healthy, table, load, recording):
    count, stream = load(2000, 40000), healthy.start()
    live = f"/live/{stream}/{cluster.stream(stream)['session']}"
    kinds = [lambda i: f"/live/nobody{i}/poster.jpg", lambda i: f"/live/past/20260131T123456Z-{i:08x}/poster.jpg", lambda i: f"{live}/thumbs/{100000 + i}x5.jpg",
             lambda i: f"{recording}/thumbs/{100 + i}x{1 + i % 60}.jpg", lambda i: f"{recording}/v180/{1000 + i}.key.m4s",
             lambda i: f"{recording}/v180/{1000 + i}x4.m4s", lambda i: f"{live}/none{i}/keys.m3u8", lambda i: f"{recording}/thumbs/{i}x0.jpg",
             lambda i: f"{recording}/thumbs/{i}x61.jpg"]
    with healthy.watched():
        before, begin = origin_asked(cluster), time.monotonic()
        seen = ask_all(http(cluster), [kinds[i % len(kinds)](i) for i in range(count)], ["127.0.14.1"])
        asked, bound = origin_asked(cluster) - before, ONE_MISSES_S * (BURST_S + time.monotonic() - begin) + 1
        wait_until(lambda: request(f"{http(cluster)}/live/{stream}/poster.jpg").headers["content-type"] == "image/jpeg", "somebody else sees the one that there is")
    table.row(f"{count} pictures that are not there, from one address: FETCHes at the origin", f"{bound:.0f}", f"{asked:.0f}")
    assert set(seen) <= {404, 429} and asked <= bound
