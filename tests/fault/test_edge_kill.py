"""kill -9 of an edge: its viewers read on at another one, which has the same bytes."""
import pytest

from broadcast import Broadcast


@pytest.mark.bounded
def test_viewers_of_a_killed_edge_read_on_at_the_other(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.kill("edge-1")
        show.wait_seen(2)
        two.restart("edge-1")
        two.kill("edge-2")
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        assert all(v.troubles for v in show.viewers), "no viewer was at the edges that died"


def test_an_edge_that_comes_back_at_once_serves_on(two, source, stream):
    """There is only this edge: viewers wait for it and lose nothing."""
    with Broadcast(two, stream, source, edges=["edge-1"]) as show:
        two.kill("edge-1")
        two.restart("edge-1")
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
