"""kill -9 of the transcoder that has the stream: the next one of the ring goes on with the very next frame."""
import pytest

from broadcast import Broadcast


@pytest.mark.bounded
def test_a_killed_transcoder_costs_no_frame(two, source, stream):
    with Broadcast(two, stream, source) as show:
        victim = show.transcoder()
        two.kill(victim)
        show.wait_seen(2)
        assert show.transcoder() != victim
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_a_transcoder_that_comes_back_is_good_for_the_next_death(two, source, stream):
    with Broadcast(two, stream, source) as show:
        first = show.transcoder()
        two.kill(first)
        show.wait_seen(1)
        two.restart(first)
        two.wait_whole()
        second = show.transcoder()
        assert second != first
        two.kill(second)
        show.wait_seen(1)
        assert show.transcoder() == first
        show.finish().assert_nothing_lost()
