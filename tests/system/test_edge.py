"""HTTP as viewers' players use it: caching, coalescing, growing segments, ranges, what is due but not there yet."""
import http.client
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import urlsplit

import pytest

import mp4
from harness import wait_until


@pytest.fixture(scope="module")
def live(cluster_tiny):
    cluster_tiny.publish_test_picture("edge", size="320x180")
    entry = cluster_tiny.wait_playable("edge")
    cluster_tiny.session = entry["session"]
    return cluster_tiny


def epoch(cluster):
    text = re.search(r'availabilityStartTime="([^"]+)"', cluster.get("/live/edge/manifest.mpd").text()).group(1)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def path(cluster, n, track="v180"):
    return f"/live/edge/{cluster.session}/{track}/{n}.m4s"


def next_segment(cluster):
    """The number of a segment whose first frame is still to come, a second or so ahead."""
    return int(time.time() - epoch(cluster)) + 2


def test_finished_media_is_cacheable_for_ever_and_open_to_every_origin(live):
    answer = live.get(path(live, 0))
    assert answer.status == 200 and answer.headers["content-type"] == "video/mp4"
    assert "immutable" in answer.headers["cache-control"] and "max-age=31536000" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*" and answer.headers["timing-allow-origin"] == "*"
    assert answer.headers["x-cache"] in ("hit", "miss", "joined", "stale")
    assert live.get(path(live, 0)).headers["x-cache"] == "hit"


def test_manifest_and_list_are_fresh_for_a_second(live):
    for what in ("/live/edge/manifest.mpd", "/api/streams"):
        assert "max-age=1" in live.get(what).headers["cache-control"].split(", ")
    assert "no-store" in live.get("/time").headers["cache-control"]


def test_the_time_is_the_wall_clock(live):
    before = time.time()
    told = datetime.fromisoformat(live.get("/time").text().strip().replace("Z", "+00:00")).timestamp()
    assert before - 1 < told < time.time() + 1


def test_head_ranges_and_etags(live):
    whole = live.get(path(live, 0))
    head = live.get(path(live, 0), method="HEAD")
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(whole.body))
    part = live.get(path(live, 0), headers={"Range": "bytes=10-19"})
    assert part.status == 206 and part.body == whole.body[10:20]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    tail = live.get(path(live, 0), headers={"Range": "bytes=-7"})
    assert tail.status == 206 and tail.body == whole.body[-7:]
    assert live.get(path(live, 0), headers={"Range": f"bytes={len(whole.body)}-"}).status == 416
    etag = whole.headers["etag"]
    assert live.get(path(live, 0), headers={"If-None-Match": etag}).status == 304
    assert live.get(path(live, 0), headers={"If-None-Match": '"other"'}).status == 200


def test_options_answers_a_preflight(live):
    answer = live.get(path(live, 0), method="OPTIONS", headers={"Origin": "http://x", "Access-Control-Request-Method": "GET",
                                                               "Access-Control-Request-Headers": "range"})
    assert answer.status in (200, 204) and "GET" in answer.headers["access-control-allow-methods"]


def test_queries_are_no_part_of_the_key(live):
    live.get(path(live, 0))
    assert live.get(path(live, 0) + "?token=abc").headers["x-cache"] == "hit"


def arrivals_of(live, n):
    """When each piece of a segment that was not there yet came, and all of it."""
    url = urlsplit(live.url(path(live, n)))
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=15)
    connection.request("GET", url.path)
    answer = connection.getresponse()
    assert answer.status == 200
    arrivals, body = [], b""
    while piece := answer.read1(1 << 20):
        arrivals.append(time.monotonic())
        body += piece
    connection.close()
    return arrivals, body


def test_a_segment_that_is_due_is_held_and_comes_chunk_by_chunk(live):
    def comes_in_pieces():
        n = next_segment(live)
        arrivals, body = arrivals_of(live, n)
        assert len(mp4.fragments(live.init("edge", live.session, "v180"), body)) == 5
        assert live.get(path(live, n)).body == body
        # It took about as long as the segment is to be made; in one piece at its end it would have taken no time.
        return len(arrivals) >= 4 and arrivals[-1] - arrivals[0] > 0.4
    # we may be late once, or those who make it, but not every time
    wait_until(comes_in_pieces, "a segment that comes in pieces")


def test_many_viewers_of_one_segment_are_one_fetch_upstream(live):
    n = next_segment(live) + 1
    viewers = 100

    def fetches():
        return live.metric("origin-1", "originD_fetches_total")
    before = fetches()
    with ThreadPoolExecutor(viewers) as pool:
        got = list(pool.map(lambda _: live.get(path(live, n)), range(viewers)))
    spent = fetches() - before
    assert {a.status for a in got} == {200} and len({a.body for a in got}) == 1
    results = [a.headers["x-cache"] for a in got]
    assert "joined" in results and results.count("miss") <= 5  # a hit came when all of it was there
    # one fetch for each of the five chunks, some that waited in vain, lists and manifests meanwhile, and the next segments of what was watched before
    assert spent < viewers / 2


def test_a_session_and_a_track_that_are_not_there_are_404_at_once(live):
    for what in ("/live/edge/20200101T000000Z-00000000/v180/0.m4s", f"/live/edge/{live.session}/v999/0.m4s",
                 f"/live/edge/{live.session}/v180/99999999.m4s"):
        answer = live.get(what)
        assert answer.status == 404 and "error" in answer.json()


def test_the_origin_serves_plain_http_as_well(live):
    config = live.config("origin-1")
    from harness import request
    answer = request(f"http://127.0.0.1:{config['http_port']}{path(live, 0)}")
    assert answer.status == 200 and answer.body == live.get(path(live, 0)).body


def test_every_node_tells_its_health_and_its_build(live):
    from harness import request
    for name, node in live.nodes().items():
        assert request(node["admin"] + "/healthz").status == 200
        assert request(node["admin"] + "/readyz").status == 200
        series = live.metrics(name)
        assert any(s.startswith("freshet_build_info") for s in series), name
        assert any(s.startswith("freshet_peers") for s in series) or node["role"] in ("originD",), name


def test_the_pages_are_served(live):
    wait_until(lambda: live.get("/").status == 200, "the index page", 5)
    assert b"<video" in live.get("/watch/edge").body
    assert live.get("/web/dash.js").headers["content-type"].startswith(("text/javascript", "application/javascript"))
