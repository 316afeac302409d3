"""Strangers at an edge: they ask for what there is not, hold its connections, and read as slowly as they may."""
import calendar
import concurrent.futures
import contextlib
import re
import socket
import threading
import time
import types
from http import client

import pytest

from abuse import Said, allowed_ms, attackers, fds, metric, mib, pid, rss
from harness import WAIT_S, request, wait_until
from stranger import Stranger, ask_all, http, origin_asked
from test_edge_tier import Tier
from test_edge_tier import metric as tier_metric

CONNECTIONS = 300
OF_ONE = 100
ALL_MISSES_S, ONE_MISSES_S, BURST_S = 100, 10, 5
HEADERS_MS, IDLE_MS = 1500, 3000
TURNED = 256  # that are being told that there is no room
# Everybody comes from this machine: its other addresses (127.0.1.1 …) are the strangers', and none of them is a balancer but 127.0.9.9.
SETS = [f"edged.connections_max={CONNECTIONS}", f"edged.connections_of_one={OF_ONE}", f"edged.misses_per_s={ALL_MISSES_S}",
        f"edged.misses_of_one_per_s={ONE_MISSES_S}", "edged.proxy_from=127.0.9.9", f"edged.header_deadline_ms={HEADERS_MS}",
        f"edged.idle_ms={IDLE_MS}"]


@pytest.fixture
def tier(tmp_path):
    with contextlib.ExitStack() as ends:
        yield Tier(tmp_path, ends)


@pytest.fixture(scope="module")
def recording(cluster):
    """(stream, session) of one that ended."""
    cluster.publish_test_picture("past", seconds=3, size="320x180").wait()
    entry = cluster.wait_state("past", "ended")
    return "past", entry["session"]


# ---- asking for what there is not

def test_names_that_are_not_there_are_asked_for_nowhere(cluster, healthy, table, load, recording):
    count, (stream, session) = load(4000, 100000), recording
    wait_until(lambda: metric(cluster, "edge-1", "edged_names_current") == 1, "the edge knows what there is")
    made_up = [f"/live/nobody{i}/manifest.mpd" if i % 4 == 0 else
               f"/live/{stream}/20260131T123456Z-{i:08x}/manifest.mpd" if i % 4 == 1 else
               f"/live/nobody{i}/{session}/v180/init.mp4" if i % 4 == 2 else
               f"/live/{stream}/20260131T123456Z-{i:08x}/v180/{i}.m4s" for i in range(count)]
    with healthy.watched(), Said(cluster, "edge-1") as said:
        before = origin_asked(cluster)
        seen = ask_all(http(cluster), made_up, [f"127.0.1.{n}" for n in range(1, 9)])
        asked = origin_asked(cluster) - before
    table.row(f"{count} requests for distinct names that are not there: FETCHes at the origin", 0, f"{asked:.0f}")
    table.row(f"{count} such requests: lines in the edge's log", 10, len(said.lines()))
    assert seen == {404: count}
    assert asked == 0
    assert len(said.lines()) <= 10


def test_segments_before_the_first_and_far_beyond_the_last_are_asked_for_nowhere(cluster, healthy, table, load):
    count, stream = load(1000, 20000), healthy.start()
    session = cluster.stream(stream)["session"]
    with healthy.watched():
        before = origin_asked(cluster)
        seen = ask_all(http(cluster), [f"/live/{stream}/{session}/v180/{100000 + i}.m4s" for i in range(count)])
        asked = origin_asked(cluster) - before
    table.row(f"{count} requests for segments far beyond the live edge: FETCHes at the origin", 0, f"{asked:.0f}")
    assert seen == {404: count}
    assert asked == 0


def test_made_up_tracks_are_asked_for_as_often_as_one_address_may(cluster, healthy, table, load, recording):
    count, (stream, session) = load(3000, 50000), recording
    with healthy.watched():
        before, begin = origin_asked(cluster), time.monotonic()
        seen = ask_all(http(cluster), [f"/live/{stream}/{session}/v{i}x/init.mp4" for i in range(count)], ["127.0.2.1"])
        asked, bound = origin_asked(cluster) - before, ONE_MISSES_S * (BURST_S + time.monotonic() - begin) + 1
        other = Stranger(http(cluster), "127.0.2.2").get(f"/live/{stream}/{session}/v180/init.mp4")
    table.row(f"{count} made-up tracks, from one address: FETCHes at the origin", f"{bound:.0f}", f"{asked:.0f}")
    assert set(seen) == {404, 429} and seen[404] <= bound and other == 200
    assert asked <= bound
    answer = Stranger(http(cluster), "127.0.2.1")
    answer.ask(f"/live/{stream}/{session}/v{count}y/init.mp4")
    wait_until(lambda: "of=address" in cluster.log("edge-1"), "it is told once", 15)


def test_recordings_of_made_up_tracks_are_asked_for_as_often_as_one_address_may(cluster, healthy, table, load, recording):
    """Words why there is no such file make no track known, by which more could be asked for."""
    count, (stream, session) = load(1000, 20000), recording
    with healthy.watched():
        before, begin = origin_asked(cluster), time.monotonic()
        seen = ask_all(http(cluster), [f"/live/{stream}/{session}/r{i}x/{name}" for i in range(count // 2)
                                       for name in ("recording.mp4", "init.mp4")], ["127.0.2.3"])
        asked, bound = origin_asked(cluster) - before, ONE_MISSES_S * (BURST_S + time.monotonic() - begin) + 1
    piece = Stranger(http(cluster), "127.0.2.4").get(f"/live/{stream}/{session}/rx/recording.0123456789abcdef.0.mp4")
    table.row(f"{count} made-up tracks and their recordings, from one address: FETCHes at the origin", f"{bound:.0f}", f"{asked:.0f}")
    assert set(seen) == {400, 404, 429} and piece == 404
    assert asked <= bound


def test_made_up_tracks_of_many_addresses_are_asked_for_as_often_as_all_may(cluster, healthy, table, load, recording):
    count, (stream, session) = load(4000, 50000), recording
    addresses = [f"127.0.3.{n}" for n in range(1, 101)]
    with healthy.watched():
        before, begin = origin_asked(cluster), time.monotonic()
        seen = ask_all(http(cluster), [f"/live/{stream}/{session}/b{i}/init.mp4" for i in range(count)], addresses)
        asked, bound = origin_asked(cluster) - before, ALL_MISSES_S * (BURST_S + time.monotonic() - begin) + 1
        # who watches pays nothing: what is there is known, or found
        watched = [Stranger(http(cluster), "127.0.3.200").get(f"/live/{stream}/{session}/v180/{n}.m4s") for n in range(3)]
    table.row(f"{count} made-up tracks, from 100 addresses: FETCHes at the origin", f"{bound:.0f}", f"{asked:.0f}")
    assert asked <= bound and 503 in seen
    assert watched.count(200) >= 2 or watched == [503, 503, 503]  # a recording that nobody has watched yet may have to wait


def test_pages_of_recordings_that_nobody_needs_are_bounded(cluster, healthy, table, load):
    count = load(1500, 20000)
    pages = [f"/api/recordings/before/2026-01-31T12:{i // 60000 % 60:02}:{i // 1000 % 60:02}.{i % 1000:03}Z" for i in range(count)]
    with healthy.watched():
        before, begin = metric(cluster, "origin-1", "originD_fetches_total", status="ok"), time.monotonic()
        seen = ask_all(http(cluster), pages, ["127.0.4.1"])
        bound = ONE_MISSES_S * (BURST_S + time.monotonic() - begin) + 1
    table.row(f"{count} pages of recordings, from one address: asked for above", f"{bound:.0f}", seen.get(200, 0))
    assert seen[200] <= bound and seen[429] == count - seen[200]
    assert metric(cluster, "origin-1", "originD_fetches_total", status="ok") > before


def test_who_comes_by_a_balancer_is_who_it_says(cluster, recording):
    stream, session = recording
    balancer = Stranger(http(cluster), "127.0.9.9")
    one = [balancer.get(f"/live/{stream}/{session}/c{i}/init.mp4", "X-Forwarded-For: 203.0.113.1, 203.0.113.7\r\n") for i in range(200)]
    other = balancer.get(f"/live/{stream}/{session}/c1000/init.mp4", "X-Forwarded-For: 203.0.113.8\r\n")
    spoofed = balancer.get(f"/live/{stream}/{session}/c1001/init.mp4",
                           "X-Forwarded-For: 203.0.113.99\r\nX-Forwarded-For: 203.0.113.7\r\n")
    assert set(one) == {404, 429} and other == 404 and spoofed == 429


def test_a_stream_that_begins_is_found_at_once_by_those_who_asked_for_it_before(cluster, healthy, table):
    origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
    found = {}

    def poll(where, url):
        while where not in found:
            if request(url + "/live/newborn/manifest.mpd").status == 200:
                found[where] = time.monotonic()
            time.sleep(0.01)

    with healthy.watched() as seen:
        threads = [threading.Thread(target=poll, args=a, daemon=True) for a in (("edge", http(cluster)), ("origin", origin))]
        for thread in threads:
            thread.start()
        publisher = cluster.publish_test_picture("newborn", size="320x180")
        wait_until(lambda: len(found) == 2, "both have it")
        publisher.kill()
    late_ms = round((found["edge"] - found["origin"]) * 1000)
    table.row("a stream begins while somebody asks for it: the edge has it after the origin", "1000 ms", f"{late_ms} ms")
    assert late_ms <= allowed_ms(1000, seen)


def test_an_edge_on_top_of_an_edge_knows_as_much(cluster, tier, healthy, table, load):
    """/names goes through a tier of edges: the lower one asks the upper one for nothing that no origin has, and knows at once what begins."""
    count, upper = load(1000, 20000), types.SimpleNamespace(address=f"127.0.0.1:{cluster.config('edge-1')['fetch_port']}")
    lower = tier.edge(upper, name="lower", upstream_role="edged")
    wait_until(lambda: tier_metric(lower, "edged_names_current") == 1, "the lower edge knows what there is")
    asked = tier_metric(lower, "edged_upstream_fetches_total")
    statuses = ask_all(lower.url, [f"/live/nobody{i}/manifest.mpd" for i in range(count)])
    asked = tier_metric(lower, "edged_upstream_fetches_total") - asked
    found = {}
    with healthy.watched() as seen:
        publisher = cluster.publish_test_picture("below", size="320x180")
        while len(found) < 2:
            for where, url in (("upper", http(cluster)), ("lower", lower.url)):
                if where not in found and request(url + "/live/below/manifest.mpd").status == 200:
                    found[where] = time.monotonic()
        publisher.kill()
    late_ms = round((found["lower"] - found["upper"]) * 1000)
    table.row(f"{count} names that are not there, at an edge above which is an edge: FETCHes to that", 0, f"{asked:.0f}")
    table.row("a stream begins: the lower edge has it after the upper one", "1000 ms", f"{late_ms} ms")
    assert statuses == {404: count} and asked == 0
    assert late_ms <= allowed_ms(1000, seen)


# ---- connections

def hold(n, url, count, answered):
    """Connections of one address, opened as fast as they can be, anew when they are closed; they ask for nothing, or each once."""
    strangers = []
    while True:
        try:
            stranger = Stranger(url, f"127.0.5.{n + 1}", timeout=1)
            if answered:
                stranger.get("/time")
            strangers.append(stranger)
        except OSError:
            pass
        if len(strangers) >= count:
            strangers.pop(0).close()
            time.sleep(0.002)


def let_in(url):
    """The status of a new viewer's first answer; 0: there was none."""
    try:
        return request(url + "/time").status
    except (OSError, client.HTTPException):
        return 0


@pytest.mark.parametrize("answered", [False, True], ids=["silent", "idle"])
def test_more_connections_than_there_may_be_leave_room_for_viewers(cluster, healthy, table, load, answered):
    url, edge, most, worst, statuses = http(cluster), pid(cluster, "edge-1"), 0, 0, []
    before, displaced = fds(edge), metric(cluster, "edge-1", "edged_closed_total", reason="displaced")
    healthy.start()
    with healthy.watched(), attackers(8, hold, url, OF_ONE, answered):
        end = time.monotonic() + load(3, 60)
        while time.monotonic() < end or most < CONNECTIONS and time.monotonic() < end + WAIT_S:  # a busy machine lets them come more slowly
            most = max(most, metric(cluster, "edge-1", "edged_clients"))
            worst = max(worst, fds(edge))
            statuses.append(let_in(url))
            time.sleep(0.1)
    kind = "idle" if answered else "silent"
    table.row(f"8 addresses with {OF_ONE} {kind} connections each: viewers' connections", CONNECTIONS, f"{most:.0f}")
    table.row(f"8 addresses with {OF_ONE} {kind} connections each: descriptors of the edge", before + CONNECTIONS + TURNED + 64, worst)
    table.row(f"8 addresses with {OF_ONE} {kind} connections each: new viewers that were let in", "90 %",
              f"{100 * statuses.count(200) / len(statuses):.0f} %")
    assert most == CONNECTIONS
    assert worst <= before + CONNECTIONS + TURNED + 64
    assert set(statuses) <= {0, 200, 503} and statuses.count(200) >= 0.9 * len(statuses)
    assert metric(cluster, "edge-1", "edged_closed_total", reason="displaced") > displaced


def test_when_all_are_being_answered_one_more_is_told_so(cluster, table):
    url, stream, strangers = http(cluster), "asked", []
    publisher = cluster.publish_test_picture(stream, size="320x180")
    session = cluster.wait_playable(stream)["session"]
    began = re.search(r'availabilityStartTime="([^"]+)"', cluster.get(f"/live/{stream}/manifest.mpd").text()).group(1)
    began_s = calendar.timegm(time.strptime(began[:19], "%Y-%m-%dT%H:%M:%S"))

    def let_go():
        for stranger in strangers:
            stranger.close()
        strangers.clear()
        wait_until(lambda: metric(cluster, "edge-1", "edged_clients") < OF_ONE // 2, "there is room again")

    def told():
        let_go()
        segment = int(time.time() - began_s) + 4  # which is due then: until it comes all of them wait
        for i in range(CONNECTIONS + 20):
            strangers.append(Stranger(url, f"127.0.6.{1 + i * 2 // OF_ONE}"))
            strangers[-1].ask(f"/live/{stream}/{session}/v180/{segment}.m4s")
        late = Stranger(url, "127.0.7.1")
        late.ask("/time")
        status, head = late.head()
        return head if status == 503 else None

    head = wait_until(told, "one is told", 60)
    let_go()
    publisher.kill()
    assert "Retry-After: 1" in head and "Connection: close" in head
    table.row("all connections are being answered: one more", "503, Retry-After", head.splitlines()[0])
    assert metric(cluster, "edge-1", "edged_turned_away_total", reason="connections_max") > 0
    wait_until(lambda: "limit=connections_max" in cluster.log("edge-1"), "the log says so", 15)


def test_one_address_has_its_share(cluster, healthy, table):
    url = http(cluster)
    with healthy.watched():
        strangers = [Stranger(url, "127.0.8.1") for _ in range(OF_ONE)]
        assert all(s.get("/time") == 200 for s in strangers)
        more = Stranger(url, "127.0.8.1")
        more.ask("/time")
        status, head = more.head()
        other, balancer = Stranger(url, "127.0.8.2").get("/time"), [Stranger(url, "127.0.9.9") for _ in range(OF_ONE + 20)]
        table.row(f"one address with {OF_ONE} connections: one more", 429, status)
        assert status == 429 and "Retry-After: 1" in head and other == 200
        assert balancer[-1].get("/time") == 200
        for s in strangers + balancer:
            s.close()
    wait_until(lambda: Stranger(url, "127.0.8.1").get("/time") == 200, "when they are closed there is room")


def trickle(url, beginning, first=None):
    """Seconds until it was closed, at ten bytes a second."""
    stranger = Stranger(url, "127.0.10.1")
    if first:
        assert stranger.get(first) == 200
    stranger.socket.sendall(beginning.encode())
    begin = time.monotonic()
    while not stranger.over() and time.monotonic() < begin + 20:
        with contextlib.suppress(OSError):
            stranger.socket.send(b"a")
        time.sleep(0.1)
    return time.monotonic() - begin


def test_who_trickles_its_headers_or_its_body_is_closed_at_the_deadline(cluster, healthy, table):
    headers, body = "GET /time HTTP/1.1\r\nX-", "GET /time HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    trials = {"headers": (headers, None, HEADERS_MS), "a body": (body, None, HEADERS_MS), "the next headers": (headers, "/time", IDLE_MS)}
    with healthy.watched(), concurrent.futures.ThreadPoolExecutor(len(trials)) as pool:
        seen = {what: pool.submit(trickle, http(cluster), begins, first) for what, (begins, first, _) in trials.items()}
    for what, (_, _, deadline_ms) in trials.items():
        bound_s = deadline_ms / 1000 + 2.5  # it is looked for about once a second
        table.row(f"ten bytes a second of {what}: closed after", f"{bound_s:.1f} s", f"{seen[what].result():.1f} s")
        assert seen[what].result() <= bound_s, what


# ---- telling stories

REPORTS_OF_ONE = 100  # of one POST


def test_players_that_report_nonsense_cost_little_and_count_for_little(cluster, healthy, table, load):
    posts, strangers = load(300, 20000), 30
    stream = healthy.start()
    bodies = [b"su\n" * 21845, b"(" * 65536, b'sid="' + b"\\" * 65531, b"bl=" + b"9" * 65533, b"\n" * 65536, bytes(range(256)) * 256]

    def told(kind):
        return metric(cluster, "edge-1", "edged_player_reports_total", via="event", version=kind)

    def report(n):
        body = bodies[n % len(bodies)]
        one = Stranger(http(cluster), f"127.0.6.{1 + n % strangers}", timeout=120)
        one.socket.sendall(f"POST /cmcd/{stream} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return one.head()[0]

    before, counted = rss(pid(cluster, "edge-1")), {kind: told(kind) for kind in ("1", "2", "broken")}
    with healthy.watched(), concurrent.futures.ThreadPoolExecutor(strangers) as pool:
        seen = set(pool.map(report, range(posts)))
    grown, counted = rss(pid(cluster, "edge-1")) - before, {kind: told(kind) - counted[kind] for kind in counted}
    table.row(f"{posts} reports of 64 KiB each: the edge grew by", "16 MiB", mib(grown))
    table.row(f"{posts} reports of 64 KiB each: counted", str(posts * REPORTS_OF_ONE), f"{sum(counted.values()):.0f}")
    assert seen <= {204, 503, 429} and 204 in seen
    assert grown < 16 << 20
    assert sum(counted.values()) <= posts * REPORTS_OF_ONE and counted["broken"] > 0


# ---- reading slowly

BIG = 1000000


def crawl(n, url, count):
    """Four a second of them, each of which asks for another big object and takes 4 kB of it a second: more than min_rate_bytes_s."""
    strangers, begin = [], time.monotonic()
    while True:
        if len(strangers) < count and len(strangers) < 4 * (time.monotonic() - begin):
            stranger = Stranger(url, f"127.0.11.{n + 1}", receive=4096)
            stranger.ask(f"/live/whole_{BIG}/s/v720/{n * count + len(strangers)}.m4s")
            strangers.append(stranger)
        for stranger in strangers if int(time.monotonic() * 4) % 4 == 0 else ():
            with contextlib.suppress(OSError):
                stranger.socket.recv(4096, socket.MSG_DONTWAIT)
        time.sleep(0.05)


def test_slow_readers_do_not_fill_the_cache_with_what_is_evicted(tier, table, load):
    """What somebody reads cannot be evicted: when all that there may be is being read, nothing can be fetched any more."""
    budget = 64 << 20
    edge = tier.edge(tier.origin(), cache_bytes=budget, connections_max=1000)
    begin, statuses, most = time.monotonic(), [], 0
    with attackers(4, crawl, edge.url, 1000):
        while time.monotonic() < begin + load(8, 60):
            statuses.append(request(f"{edge.url}/live/whole_50000/s{len(statuses)}/v720/1.m4s").status)
            most = max(most, tier_metric(edge, "edged_cache_bytes"))
            time.sleep(0.05)
        closed = tier_metric(edge, "edged_closed_total", "pinned")
    table.row("16 MB a second for slow readers, a cache of 64 MiB: requests of others that failed", 0, len(statuses) - statuses.count(200))
    table.row("16 MB a second for slow readers, a cache of 64 MiB: bytes in the cache", mib(1.25 * budget), mib(most))
    assert set(statuses) == {200}, statuses
    assert closed > 0 and most <= 1.25 * budget
