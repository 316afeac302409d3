"""What viewers and scripts read of very many recordings: page by page, through an edge, of two origins."""
import json
import os
import shutil
import subprocess

import pytest

from harness import LATE_IS_FINE, TOP, Cluster, request, wait_until

MANY, OF_A_STREAM = 1250, 100  # make_store's
PRIVATE = "cam-3"
MAKE_STORE = os.path.join(TOP, "build", "release", "tools", "make_store")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Both origins own all that is stored."""
    folder = tmp_path_factory.mktemp("lists")
    stores = [folder / "data" / f"origin-{n}" for n in (1, 2)]
    stores[0].parent.mkdir()
    subprocess.run([MAKE_STORE, "heads", stores[0], str(MANY)], check=True)
    shutil.copytree(*stores)
    with Cluster(folder, origins=2, sets=[*LATE_IS_FINE, f'edged.private=["{PRIVATE}"]']) as made:
        yield made


def pages(url, path="/api/recordings"):
    """Each page's recordings, as they come."""
    while path:
        answer = request(url + path)
        assert answer.status == 200 and answer.headers["content-type"] == "application/json", (path, answer.status, answer.text())
        assert len(answer.body) < 1 << 20
        yield answer.json()["recordings"]
        path = answer.json().get("next")


def in_order(recordings):
    places = [(r["started"], r["session"]) for r in recordings]
    return places == sorted(places, reverse=True)


def test_an_origin_tells_every_recording_once_and_the_newest_first(cluster):
    told = [r for page in pages(cluster.node("origin-1")["http"]) for r in page]
    assert len(told) == MANY == len({r["session"] for r in told}) and in_order(told)
    assert {r["state"] for r in told} == {"ended"}


def test_an_edge_tells_those_of_all_origins_once_though_one_dies_on_the_way(cluster):
    told = []
    for number, page in enumerate(pages(cluster.url(""))):
        told += page
        if number == 3:
            cluster.do("kill", "origin-2")
    cluster.do("start", "origin-2")
    assert len({r["session"] for r in told}) == len(told) == MANY - OF_A_STREAM and in_order(told)
    assert PRIVATE not in {r["id"] for r in told}


def test_the_list_of_streams_has_the_newest_and_says_where_the_others_are(cluster):
    for url, streams in ((cluster.node("origin-1")["http"], 13), (cluster.url(""), 12)):
        answer = request(url + "/api/streams").json()
        newest = {r["id"]: r["session"] for r in reversed([r for page in pages(url) for r in page])}
        assert {s["id"]: s["session"] for s in answer["streams"]} == newest and len(newest) == streams
        assert answer["next"] == "/api/recordings"


def test_the_command_lists_them_all_or_the_newest(cluster):
    def freshet(*arguments):
        return subprocess.run([os.path.join(TOP, "deploy", "freshet"), "recordings", *arguments], check=True, capture_output=True, text=True,
                              timeout=300).stdout
    told = [r for page in pages(cluster.url("")) for r in page]
    lines = freshet("--dir", cluster.dir).splitlines()
    assert [line.split()[:3] for line in lines] == [[r["started"], r["session"], r["id"]] for r in told]
    assert json.loads(freshet("--at", cluster.node("origin-1")["http"], "--json", "--limit", "150"))[149]["state"] == "ended"


@pytest.mark.parametrize("path", ["/api/streams", "/api/recordings"])
def test_a_poll_costs_nothing_while_nothing_changes(cluster, path):
    for url in (cluster.node("origin-1")["http"], cluster.url("")):
        def same():  # after a start the tracks of the newest recordings come to be known, a few at a time
            tag = request(url + path).headers["etag"]
            answer = request(url + path, headers={"If-None-Match": tag})
            return answer.status == 304 and not answer.body
        wait_until(same, f"{url}{path} that has not changed")


def test_a_page_begins_at_any_time(cluster):
    url = cluster.url("")
    told = [r for page in pages(url) for r in page]
    middle = told[len(told) // 2]["started"]
    assert next(pages(url, f"/api/recordings/before/{middle}")) == [r for r in told if r["started"] < middle][:100]
    assert list(pages(url, "/api/recordings/before/1970-01-01T00:00:00.000Z")) == [[]]


@pytest.mark.parametrize("wrong", ["/", "/2", "/before/17", "/before/2026-01-31T12:34:56Z/S1", "/before/2026-01-31T12:34:56.789Z/S_1"])
def test_a_wrong_page_is_refused_with_what_is_allowed(cluster, wrong):
    for url in (cluster.node("origin-1")["http"], cluster.url("")):
        answer = request(url + "/api/recordings" + wrong)
        assert answer.status == 400 and "/api/recordings/before/TIME/SESSION" in answer.json()["error"]
