"""SIGSTOP of an origin: writers and edges pass it over, and it gets what it lacks when it wakes."""
import pytest

from broadcast import Broadcast


@pytest.mark.parametrize("victim", ["origin-1", "origin-2"])
def test_a_frozen_origin_costs_no_frame(two, source, stream, victim):
    with Broadcast(two, stream, source) as show:
        two.freeze(victim)
        show.wait_seen(5)
        two.thaw(victim)
        two.wait_whole()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)
