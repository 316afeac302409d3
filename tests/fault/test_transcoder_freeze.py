"""SIGSTOP of the transcoder that has the stream: after a deadline another one goes on; when the first wakes, it is fenced,
gives up, and is good for the next broadcast."""
import pytest

from broadcast import Broadcast
from harness import wait_until


def fenced(cluster, name):
    return cluster.metric(name, "transcoderd_fenced_total")


@pytest.mark.bounded
def test_a_frozen_transcoder_is_passed_over_and_fenced_when_it_wakes(two, source, stream):
    with Broadcast(two, stream, source) as show:
        victim = show.transcoder()
        before = fenced(two, victim)
        two.freeze(victim)
        wait_until(lambda: show.transcoder() != victim, "another transcoder has the stream")
        show.wait_seen(1)
        two.thaw(victim)
        wait_until(lambda: fenced(two, victim) > before, f"{victim} is fenced")
        wait_until(lambda: two.metric(victim, "transcoderd_sessions") == 0, f"{victim} gave the session up")
        show.wait_seen(1)
        two.wait_whole()
        two.kill(show.transcoder())
        show.wait_seen(1)
        assert show.transcoder() == victim
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_a_short_freeze_that_nobody_noticed_costs_no_frame(two, source, stream):
    with Broadcast(two, stream, source) as show:
        victim = show.transcoder()
        two.freeze(victim)
        frozen_at = show.sent_s()
        wait_until(lambda: show.sent_s() > frozen_at + 0.4, "the broadcaster went on")
        two.thaw(victim)
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
