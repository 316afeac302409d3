"""SIGTERM of the transcoder that has the stream: it drains, the proxy opens the stream elsewhere, nothing is lost."""
from broadcast import Broadcast


def test_a_transcoder_that_leaves_hands_its_session_over(two, source, stream):
    with Broadcast(two, stream, source) as show:
        victim = show.transcoder()
        two.stop(victim)
        two.wait_left_well(victim)
        show.wait_seen(2)
        assert show.transcoder() != victim
        show.finish().assert_nothing_lost()
        assert show.longest_wait() < 2  # the hand-over needs no deadline
