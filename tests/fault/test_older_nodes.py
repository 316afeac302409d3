"""Nodes of an older revision beside those of this one, as an upgrade has them: of one that knows chunks of 200 ms only, and no parts of
600 ms. `make check-older OLDER=REVISION` builds that revision and runs this."""
import contextlib
import json
import os
import re

import pytest

from broadcast import Broadcast
from faults import LADDER, PATIENT, RUNGS, SHORT, FaultCluster
from harness import TOP, request, wait_until

OLDER = os.environ.get("FRESHET_OLDER", "")
NEWER = os.path.join(TOP, "bin")
ORDER = ("edge", "origin", "transcoder", "ingest")  # docs/operations.md, "Upgrading"

pytestmark = pytest.mark.skipif(not OLDER, reason="FRESHET_OLDER names no folder of older daemons: make check-older")


def version(cluster, name, folder):
    """From its next start on it is of that folder, with a configuration that its version knows."""
    path = os.path.join(cluster.dir, "cluster.json")
    with open(path, encoding="utf-8") as f:
        made = json.load(f)
    for node in made["nodes"]:
        if node["id"] == name:
            ladder = json.dumps([RUNGS] if folder == OLDER else LADDER)
            arguments = (f"ladder={ladder}" if a.startswith("ladder=") else a for a in node["argv"][1:])
            node["argv"] = [os.path.join(folder, node["role"]), *arguments]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(made, f)


def change(cluster, name, folder):
    """As an upgrade does, or one that is taken back."""
    cluster.stop(name)
    cluster.wait_left_well(name)
    version(cluster, name, folder)
    cluster.restart(name)
    cluster.wait_whole()


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two of everything, of this revision until a test says otherwise."""
    monkeypatch.delenv("FRESHET_BIN", raising=False)
    with FaultCluster(tmp_path / "two", sets=PATIENT) as made:
        yield made
        made.revive()


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.setenv("FRESHET_BIN", OLDER)
    with FaultCluster(tmp_path / "old", ladder=[RUNGS], sets=PATIENT) as made:
        yield made
        made.revive()


def told(cluster, name, stream):
    sessions = request(cluster.node(name)["admin"] + "/api/sessions").json()["sessions"]
    return next((s for s in sessions if s["stream"] == stream), None)


def chunk_ms(cluster, name, stream):
    return (told(cluster, name, stream) or {}).get("chunk_ms")


@contextlib.contextmanager
def twelve_a_second(cluster, stream):
    """A broadcast whose parts last 600 ms, or are none."""
    publisher = cluster.publish_test_picture(stream, fps=12, size="320x180", audio=False)
    try:
        cluster.wait_playable(stream)
        yield cluster.stream(stream)
    finally:
        publisher.stop()


def parts(cluster, origin, entry):
    """What an origin tells players of parts."""
    path = f"/live/{entry['id']}/{entry['session']}/{entry['tracks'][0]['name']}/media.m3u8"
    answer = request(cluster.node(origin)["http"] + path)
    assert answer.status == 200, answer.text()
    return re.findall(r"PART-TARGET=[\d.]+|PART-HOLD-BACK=[\d.]+", answer.text())


def same_parts(cluster, entry):
    each = [parts(cluster, o, entry) for o in cluster.names("origin")]
    assert each[0] and all(p == each[0] for p in each), each
    return each[0]


def malformed(cluster):
    """Messages that somebody could not read."""
    return sum(cluster.metric(n, "freshet_peer_errors_total", reason="malformed") for n in cluster.nodes() if cluster.runs(n))


def test_an_upgrade_of_one_node_after_the_other_loses_nothing(old, long_source, stream):
    with Broadcast(old, stream, long_source) as show:
        for name in sorted(old.nodes(), key=lambda n: (ORDER.index(n.split("-")[0]), n)):
            change(old, name, NEWER)
            show.wait_seen(1)
            if name == "origin-1":
                # One that begins now is told alike by both, then and when the other origin has been upgraded.
                with twelve_a_second(old, f"twelve_{stream}") as entry:
                    between = same_parts(old, entry)
                    change(old, "origin-2", NEWER)
                    wait_until(lambda: parts(old, "origin-2", entry), "the playlist of origin-2")
                    assert same_parts(old, entry) == between
        show.finish().assert_nothing_lost(same_connection=False)
        old.wait_same_everywhere(show)
    with Broadcast(old, SHORT + stream, long_source) as show:
        assert chunk_ms(old, show.transcoder(), show.stream) == 100
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        old.wait_same_everywhere(show)


def test_a_stream_begins_with_chunks_of_200_ms_where_an_origin_knows_no_other(two, source, stream):
    change(two, "origin-2", OLDER)
    before = malformed(two)
    with Broadcast(two, SHORT + stream, source) as show:
        assert chunk_ms(two, show.transcoder(), show.stream) == 200
        show.wait_seen(2)
        assert malformed(two) == before
        change(two, "origin-2", NEWER)
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_an_origin_that_goes_back_in_mid_session_is_left_out_and_disturbs_no_other_stream(two, long_source, stream):
    with Broadcast(two, SHORT + stream, long_source) as show, Broadcast(two, stream, long_source) as beside:
        change(two, "origin-2", OLDER)
        before = malformed(two)
        show.wait_seen(6)
        beside.wait_seen(1)
        assert malformed(two) == before
        change(two, "origin-2", NEWER)
        for each in (show, beside):
            each.wait_seen(1)
            each.finish().assert_nothing_lost()
            two.wait_same_everywhere(each)


def test_a_transcoder_that_knows_one_grid_leaves_the_other_to_one_that_knows_it(two, long_source, stream):
    with Broadcast(two, SHORT + stream, long_source) as show:
        first = show.transcoder()
        other = next(n for n in two.names("transcoder") if n != first)
        change(two, other, OLDER)
        with Broadcast(two, stream, long_source) as beside:
            before = malformed(two)
            two.kill(first)
            beside.wait_seen(6)
            assert malformed(two) == before
            assert beside.transcoder() == other
            wait_until(lambda: told(two, other, show.stream) is None, "the older transcoder leaves it")
            two.restart(first)
            show.wait_seen(1)
            assert show.transcoder() == first and chunk_ms(two, first, show.stream) == 100
            for each in (show, beside):
                each.finish().assert_nothing_lost()
                two.wait_same_everywhere(each)
        change(two, other, NEWER)
