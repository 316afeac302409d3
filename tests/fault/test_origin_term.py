"""SIGTERM of an origin: it finishes its writes and lets its peer lead."""
import pytest

from broadcast import Broadcast


@pytest.mark.parametrize("victim", ["origin-1", "origin-2"])
def test_an_origin_that_leaves_costs_no_frame(two, source, stream, victim):
    with Broadcast(two, stream, source) as show:
        two.stop(victim)
        two.wait_left_well(victim)
        show.wait_seen(2)
        two.restart(victim)
        two.wait_whole()
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)
