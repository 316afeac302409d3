"""The broadcaster's line breaks: slate, and the same session when it is back within the grace time."""
from broadcast import Broadcast


def test_a_line_that_breaks_for_a_moment_costs_only_what_was_not_sent(two, source, stream):
    with Broadcast(two, stream, source) as show:
        at = show.cut()
        show.wait_back()
        show.wait_seen(2)
        show.finish().assert_only_the_gap(at)


def test_slate_stands_in_while_the_broadcaster_is_away(two, source, stream):
    with Broadcast(two, stream, source) as show:
        at = show.stay_away()
        two.wait_slate(show)
        show.wait_seen(1)
        show.broadcaster.come_back()
        show.wait_back()
        show.wait_seen(2)
        show.finish().assert_only_the_gap(at)
