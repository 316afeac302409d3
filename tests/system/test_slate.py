"""Holes in what the broadcaster sends are filled: the timeline never has any."""
import pytest

import media
import mp4
import rtmp
from harness import TINY_LADDER, wait_until


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "s.flv"
    media.make_stamped(path, "30", 3, size="320x180")
    return list(rtmp.flv_tags(path))


def no_hole(cluster, stream, session, segments):
    """Every second is there in every track, and its samples follow each other to the rounding; where slate and picture
    meet, a sample may be said to last up to half a frame more or less than it does, to the rounding of RTMP's milliseconds."""
    for track in ("v180", "a64"):
        init = cluster.init(stream, session, track)
        scale = mp4.timescale(init)
        last = None
        for n in range(segments):
            for s in mp4.samples(init, cluster.segment(stream, session, track, n)):
                assert last is None or abs(s.dts - last) <= s.duration / 2 + scale // 500, f"{track}, segment {n}: {last} then {s}"
                last = s.dts + s.duration


def test_a_lost_broadcaster_is_slate_until_it_is_back_in_the_same_session(cluster_tiny):
    cluster = cluster_tiny
    first = cluster.publish_test_picture("lost", size="320x180")
    session = cluster.wait_playable("lost")["session"]
    first.kill()
    cluster.wait_state("lost", "slate")
    before = cluster.metric("transcoder-1", "transcoderd_slate_seconds_total")
    wait_until(lambda: cluster.metric("transcoder-1", "transcoderd_slate_seconds_total") > before + 1, "slate is counted")
    cluster.publish_test_picture("lost", size="320x180")
    entry = cluster.wait_state("lost", "live")
    assert entry["session"] == session
    wait_until(lambda: cluster.stream("lost")["state"] == "live", "live")
    no_hole(cluster, "lost", session, 8)


def test_a_broadcaster_that_stays_away_ends_the_session_after_the_grace_time(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["transcoderd.grace_ms=2000"])
    first = cluster.publish_test_picture("away", size="320x180")
    session = cluster.wait_playable("away")["session"]
    first.kill()
    assert cluster.wait_state("away", "ended", seconds=40)["session"] == session
    mpd = cluster.get(f"/live/away/{session}/manifest.mpd").text()
    assert 'type="static"' in mpd
    # and a new broadcast is a new session
    cluster.publish_test_picture("away", size="320x180")
    assert cluster.wait_state("away", "live")["session"] != session


def test_a_silent_broadcaster_is_slate_while_its_connection_is_open(cluster_tiny, tags):
    cluster = cluster_tiny
    c = rtmp.Connection(cluster.rtmp("frozen"))
    assert c.publish() == "NetStream.Publish.Start"
    rtmp.publish_tags(c, tags)
    session = cluster.wait_state("frozen", "live", "slate")["session"]
    cluster.segment("frozen", session, "v180", 6)
    no_hole(cluster, "frozen", session, 7)
    c.close()


def test_a_jump_of_the_source_clock_leaves_no_hole(cluster_tiny, tags):
    cluster = cluster_tiny
    c = rtmp.Connection(cluster.rtmp("jump"))
    assert c.publish() == "NetStream.Publish.Start"
    rtmp.publish_tags(c, tags)
    entry = cluster.wait_state("jump", "live", "slate")
    cluster.segment("jump", entry["session"], "v180", 2)
    rtmp.publish_tags(c, tags, shift_ms=3_600_000)
    cluster.segment("jump", entry["session"], "v180", 5)
    assert cluster.stream("jump")["session"] == entry["session"]
    no_hole(cluster, "jump", entry["session"], 6)
    c.close()
