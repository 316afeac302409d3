"""kill -9 of an origin: the other has everything, and the dead one gets what it lacks when it is back."""
import pytest

from broadcast import Broadcast


@pytest.mark.parametrize("victim", ["origin-1", "origin-2"])
def test_a_killed_origin_costs_no_frame_and_catches_up(two, source, stream, victim):
    with Broadcast(two, stream, source) as show:
        two.kill(victim)
        show.wait_seen(3)
        two.restart(victim)
        two.wait_whole()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


@pytest.mark.bounded
def test_one_origin_after_the_other(two, source, stream):
    """What was written while the first was dead is only in the second, until it has caught up; then that one may die."""
    with Broadcast(two, stream, source) as show:
        for victim in ("origin-1", "origin-2"):
            two.kill(victim)
            show.wait_seen(2)
            two.restart(victim)
            two.wait_whole()
        two.kill("origin-1")
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
