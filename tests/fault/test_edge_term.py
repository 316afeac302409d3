"""SIGTERM of an edge: answers are finished, waiters resumed, and viewers find the other edge."""
from broadcast import Broadcast


def test_an_edge_that_leaves_costs_no_frame(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.stop("edge-1")
        show.wait_seen(1)
        two.wait_left_well("edge-1")
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
