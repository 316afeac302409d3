"""Two faults at once, of two tiers; as long as one node of each is left, nothing is lost."""
import pytest

from broadcast import Broadcast


def test_transcoder_and_origin_die_together(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.kill_all(show.transcoder(), "origin-1")
        show.wait_seen(3)
        two.revive()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_transcoder_and_edge_die_together(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.kill_all(show.transcoder(), "edge-1")
        show.wait_seen(3)
        show.finish().assert_nothing_lost()


def test_origin_and_edge_die_together(two, source, stream):
    with Broadcast(two, stream, source) as show:
        two.kill_all("origin-2", "edge-1")
        show.wait_seen(3)
        show.finish().assert_nothing_lost()


@pytest.mark.parametrize("origin", ["origin-1", "origin-2"])
def test_the_transcoder_dies_while_an_origin_is_frozen(two, source, stream, origin):
    with Broadcast(two, stream, source) as show:
        two.freeze(origin)
        two.kill(show.transcoder())
        show.wait_seen(3)
        two.revive()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_both_origins_die_and_come_back(two, source, stream):
    """Nobody stores anything for a while: the transcoder keeps it."""
    with Broadcast(two, stream, source) as show:
        two.kill_all("origin-1", "origin-2")
        two.revive()
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_proxy_and_transcoder_die_together(two, source, stream):
    """The broadcaster's frames that only those two had are lost with them; nothing else is."""
    with Broadcast(two, stream, source) as show:
        at = two.kill_all("ingest-1", show.transcoder())
        show.wait_back()
        show.wait_seen(2)
        show.finish().assert_only_the_gap(at, lost_before_s=2.5)
