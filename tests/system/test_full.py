"""Transcoders that have no room for one stream more: what has viewers goes on all the same."""
import pytest

from harness import wait_until


def test_a_broadcaster_that_comes_back_by_another_proxy_goes_on_though_all_transcoders_are_full(make_cluster):
    """Its proxy and its transcoder fail together. Who is left never heard of the stream, but the origins have it."""
    cluster = make_cluster(ingests=2, transcoders=2, sets=["transcoderd.capacity_percent=1", "transcoderd.grace_ms=120000"])
    gone = cluster.publish_test_picture("moved", ingest="ingest-1")
    session = cluster.wait_playable("moved")["session"]
    first, other = sorted(("transcoder-1", "transcoder-2"), key=lambda t: -cluster.metric(t, "transcoderd_sessions"))
    if cluster.metric(other, "transcoderd_capacity_pixels") / 100 > 10e6:
        pytest.skip("a hundredth of this machine encodes more than one stream")
    cluster.publish_test_picture("beside", ingest="ingest-2")  # only where nothing else is it fits in
    cluster.wait_playable("beside")
    assert cluster.metric(other, "transcoderd_sessions") == 1
    cluster.do("kill", "ingest-1", first)  # in this order, or the proxy brings it there
    gone.kill()
    back = cluster.publish_test_picture("moved", ingest="ingest-2")
    wait_until(lambda: cluster.metric(other, "transcoderd_sessions") == 2, "the stream to go on where it is full")
    wait_until(lambda: cluster.stream("moved")["state"] == "live", "it to be live again")
    assert cluster.stream("moved")["session"] == session
    assert back.running()
    stranger = cluster.publish_test_picture("stranger", ingest="ingest-2")  # what is new has no place
    wait_until(lambda: cluster.metric(other, "transcoderd_beginnings_refused_total", reason="capacity"),
               "a stream that begins to be refused")
    assert cluster.stream("stranger") is None
    stranger.kill()
