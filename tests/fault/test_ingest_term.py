"""SIGTERM of the proxy: it asks its broadcasters to reconnect; one that can loses nothing but what it did not send."""
from broadcast import Broadcast


def test_a_proxy_that_leaves_costs_only_what_was_not_sent(two, source, stream):
    with Broadcast(two, stream, source) as show:
        at = two.stop("ingest-1")
        show.wait_back()
        two.wait_left_well("ingest-1")
        show.wait_seen(2)
        show.finish().assert_only_the_gap(at)
