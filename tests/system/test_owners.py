"""Two owners of a stream and two transcoders: whichever process dies, freezes or leaves, both origins have each frame once."""
import os
import re

import pytest

import media
from harness import LATE_IS_FINE, TINY_LADDER, request, wait_until

SECONDS = 90  # longer than any test needs it
GOP = ["-g", "90"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "stamped.flv"
    media.make_stamped(path, "30", SECONDS, size="480x270", more=GOP)
    return path


def publish(cluster, path):
    """The publisher; its .progress is a file that tells how many frames it has sent."""
    progress = os.path.join(cluster.dir, "progress.txt")
    publisher = cluster.publish_file("cam", path, "-progress", progress)
    publisher.progress = progress
    return publisher


def sent(publisher):
    with open(publisher.progress, encoding="ascii") as f:
        return int(re.findall(r"^frame=(\d+)$", f.read(), re.M)[-1])


def transcoders(cluster):
    return [name for name in cluster.nodes() if name.startswith("transcoder")]


def writer(cluster, stream):
    """The transcoder that feeds the stream; others may be down or frozen."""
    for name in transcoders(cluster):
        if f"stream={stream} state=live" in cluster.log(name):
            return name
    return None


def in_step(cluster, name):
    return cluster.metric(name, "transcoderd_owners", state="in_step")


def stored_at(cluster, origin, path):
    return request(cluster.node(origin)["http"] + path)


def recording_at(cluster, origin, stream, session, track):
    """Init segment and all segments, as this origin has them by itself."""
    init = stored_at(cluster, origin, f"/live/{stream}/{session}/{track}/init.mp4")
    assert init.status == 200, f"{origin} {track}: {init.status}"
    segments = []
    while (answer := stored_at(cluster, origin, f"/live/{stream}/{session}/{track}/{len(segments)}.m4s")).status == 200:
        segments.append(answer.body)
    return init.body, segments


def wait_same(cluster, stream, session, track):
    """Both origins have the same bytes; them."""
    def same():
        one, two = (recording_at(cluster, o, stream, session, track) for o in ("origin-1", "origin-2"))
        return one if one == two else None
    return wait_until(same, f"{track} is the same at both origins")


def finish(cluster, publisher, stream, session, directory):
    """The broadcast ends; every frame that was sent is there once, at both origins, in one session."""
    publisher.stop()
    entry = cluster.wait_state(stream, "ended")
    assert entry["session"] == session
    path = media.save(directory, "v180.mp4", *wait_same(cluster, stream, session, "v180"))
    assert media.read_numbers(path, 320, 180) == list(range(sent(publisher)))
    wait_same(cluster, stream, session, "a64")


@pytest.mark.parametrize("how", ["kill", "freeze", "stop"])
def test_a_transcoder_that_goes_costs_no_frame_at_either_origin(make_cluster, source, tmp_path, how):
    cluster = make_cluster(ladder=TINY_LADDER, transcoders=2, origins=2, sets=LATE_IS_FINE)
    publisher = publish(cluster, source)
    session = cluster.wait_playable("cam")["session"]
    first = writer(cluster, "cam")
    other = next(name for name in transcoders(cluster) if name != first)
    wait_until(lambda: in_step(cluster, first) == 2, "both owners in step")
    cluster.do(how, first)
    wait_until(lambda: in_step(cluster, other) == 2, "both owners in step with the next writer")
    if how == "freeze":
        cluster.do("thaw", first)
        wait_until(lambda: cluster.metric(first, "transcoderd_fenced_total") == 1, "the one that woke was fenced")
        assert cluster.metric(first, "transcoderd_sessions") == 0
    elif how == "kill":
        cluster.do("start", first)
    finish(cluster, publisher, "cam", session, tmp_path)


def test_an_origin_that_is_killed_delays_nobody_and_is_in_step_again_when_it_is_back(make_cluster, source, tmp_path):
    cluster = make_cluster(ladder=TINY_LADDER, origins=2, sets=LATE_IS_FINE)
    publisher = publish(cluster, source)
    session = cluster.wait_playable("cam")["session"]
    wait_until(lambda: in_step(cluster, "transcoder-1") == 2, "both owners in step")
    cluster.do("kill", "origin-1")
    wait_until(lambda: in_step(cluster, "transcoder-1") == 1, "the dead one is out of step")
    puts = cluster.metric("transcoder-1", "transcoderd_put_seconds_count")
    wait_until(lambda: cluster.metric("transcoder-1", "transcoderd_put_seconds_count") > puts + 10, "the other has more")
    cluster.do("start", "origin-1")
    wait_until(lambda: in_step(cluster, "transcoder-1") == 2, "it is in step again")
    assert cluster.metric("transcoder-1", "transcoderd_dropped_chunks_total") == 0
    log = cluster.log("transcoder-1")
    assert log.count('msg="out of step"') == 1 and "chunk not stored yet" not in log
    finish(cluster, publisher, "cam", session, tmp_path)


def test_the_only_transcoder_leaves_the_session_to_its_successor(make_cluster, source, tmp_path):
    cluster = make_cluster(ladder=TINY_LADDER, origins=2, sets=LATE_IS_FINE + ["transcoderd.drain_ms=300"])
    publisher = publish(cluster, source)
    session = cluster.wait_playable("cam")["session"]
    cluster.do("stop", "transcoder-1")
    assert "left to the next writer" in cluster.log("transcoder-1")
    cluster.do("start", "transcoder-1")
    finish(cluster, publisher, "cam", session, tmp_path)
