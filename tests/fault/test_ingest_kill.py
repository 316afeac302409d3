"""kill -9 of the proxy that the broadcaster is connected to: it comes back through the other one into the same session. What
is missing is what was sent to nobody; slate stands there."""
import pytest

from broadcast import Broadcast


@pytest.mark.bounded
def test_a_killed_proxy_costs_only_what_it_had_not_passed_on(two, source, stream):
    with Broadcast(two, stream, source) as show:
        at = two.kill("ingest-1")
        show.wait_back()
        show.wait_seen(2)
        assert two.metric("ingest-2", "ingestd_publishers") >= 1
        show.finish().assert_only_the_gap(at)
