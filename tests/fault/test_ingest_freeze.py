"""SIGSTOP of the proxy: slate stands in for it while it sleeps; when it wakes the session goes on with what is not too late."""
from broadcast import Broadcast


def test_a_frozen_proxy_is_slate_until_it_wakes(two, source, stream):
    with Broadcast(two, stream, source) as show:
        at = two.freeze("ingest-1")
        two.wait_slate(show)
        until = two.thaw("ingest-1")
        show.wait_seen(2)
        show.finish().assert_only_the_gap(at, until)
