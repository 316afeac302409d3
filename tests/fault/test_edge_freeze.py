"""SIGSTOP of an edge: a viewer whose answer stands still asks another edge."""
from broadcast import Broadcast


def test_viewers_of_a_frozen_edge_read_on_at_the_other(two, source, stream):
    with Broadcast(two, stream, source, patience_s=1.0) as show:
        two.freeze("edge-1")
        show.wait_seen(2)
        two.thaw("edge-1")
        two.wait_whole()
        assert all(v.troubles for v in show.viewers), "no viewer was at the edge that froze"
        show.finish().assert_nothing_lost()


def test_viewers_that_wait_for_a_frozen_edge_get_all_of_it_afterwards(two, source, stream):
    with Broadcast(two, stream, source, edges=["edge-1"], patience_s=10.0) as show:
        two.freeze("edge-1")
        frozen_at = show.sent_s()
        show.wait_sent(frozen_at + 3)
        two.thaw("edge-1")
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
