"""SIGTERM of the proxy: it asks its broadcasters to reconnect. One that does so with a keyframe, before it lets go of the old
connection, loses nothing."""
from broadcast import Broadcast


def test_a_proxy_that_leaves_costs_no_frame(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.stop("ingest-1")
        show.wait_back()
        two.wait_left_well("ingest-1")
        show.wait_seen(2)
        show.finish().assert_nothing_lost(same_connection=False)
