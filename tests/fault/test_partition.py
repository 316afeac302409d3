"""A node is cut off from all others, and comes back: to the others it died, to itself the others did."""
import pytest

from broadcast import Broadcast
from harness import wait_until


def test_a_transcoder_that_is_cut_off_is_replaced_and_fenced(net, source, stream):
    with Broadcast(net, stream, source) as show:
        victim = show.transcoder()
        net.isolate(victim)
        wait_until(lambda: show.transcoder() != victim, "another transcoder has the stream")
        show.wait_seen(2)
        net.switch.heal_all()
        wait_until(lambda: net.metric(victim, "transcoderd_sessions") == 0, f"{victim} gave the session up")
        net.wait_whole()
        show.finish().assert_nothing_lost()
        net.wait_same_everywhere(show)


@pytest.mark.parametrize("victim", ["origin-1", "origin-2"])
def test_an_origin_that_is_cut_off_costs_no_frame_and_catches_up(net, source, stream, victim):
    with Broadcast(net, stream, source) as show:
        net.isolate(victim)
        show.wait_seen(5)
        net.switch.heal_all()
        net.wait_whole()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        net.wait_same_everywhere(show)


def test_writer_and_one_origin_on_one_side_edges_on_the_other(net, source, stream):
    """Edges see only the origin that the writer does not see: it has nothing new until the origins speak to each other."""
    with Broadcast(net, stream, source) as show:
        net.switch.cut("origin-1", *net.names("edge"))
        net.switch.cut("origin-2", *net.names("transcoder"))
        show.wait_seen(4)
        net.switch.heal_all()
        net.wait_whole()
        show.finish().assert_nothing_lost()
        net.wait_same_everywhere(show)


def test_a_proxy_that_loses_its_transcoders_for_a_while_keeps_the_frames(net, source, stream):
    with Broadcast(net, stream, source, ingests=["ingest-1"]) as show:
        net.switch.cut("ingest-1", *net.names("transcoder"))
        cut_at = show.sent_s()
        show.wait_sent(cut_at + 0.8)
        net.switch.heal_all()
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
