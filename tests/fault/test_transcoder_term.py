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
        assert show.longest_wait() < 2 + show.late_s()  # the hand-over needs no deadline


def test_the_only_transcoder_restarted_costs_no_frame(two, source, stream):
    """Nobody takes the session over: it is stored as far as it came, in the middle of a segment, and the next process goes on."""
    with Broadcast(two, stream, source) as show:
        victim = show.transcoder()
        for other in two.names("transcoder"):
            if other != victim:
                two.kill(other)
        two.stop(victim)
        two.wait_left_well(victim)
        two.restart(victim)
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)
