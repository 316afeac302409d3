"""Edges above which is a node that cannot do all that is asked of it: a real edge with few places to wait in."""
import concurrent.futures
import contextlib

import pytest

from harness import request, wait_until
from test_edge_tier import Tier, body_of, metric

PLACES = 16
OBJECTS = 120
LATE_MS = 1500


@pytest.fixture
def tier(tmp_path):
    with contextlib.ExitStack() as ends:
        yield Tier(tmp_path, ends)


def late(n):
    return f"/live/late_{3000 + n}_{LATE_MS}/s/v720/{n}.m4s"


def get_once_each(edge, objects):
    """Each object by one viewer, all at once: the answers in their order."""
    with concurrent.futures.ThreadPoolExecutor(len(objects)) as pool:
        return [f.result() for f in [pool.submit(request, edge.url + late(n), timeout=300) for n in objects]]


def refused(edge):
    return metric(edge, "edged_upstream_fetches_total", 'result="full"')


def test_a_node_above_that_has_too_much_to_do_is_asked_less_and_everybody_is_served(tier):
    middle = tier.edge(tier.origin(), name="middle", max_waits=PLACES, hold_ms=30000)
    below = tier.edge(middle, name="below", upstream_role="edged", hold_ms=30000)
    objects = range(OBJECTS)
    assert [a.body for a in get_once_each(below, objects)] == [body_of(3000 + n) for n in objects]
    # of those for which there is no place one asks now and then, and not each again and again
    assert 0 < refused(below) < 2 * OBJECTS, refused(below)
    assert metric(below, "edged_upstream_passed_over_total") > 0


def test_a_node_that_refuses_everything_is_let_alone_until_it_answers(tier):
    origin = tier.origin()
    edge = tier.edge(origin, hold_ms=6000)
    paths = [f"/live/busy/s/v720/{n}.m4s" for n in range(40)]
    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        asked = [pool.submit(request, edge.url + path, timeout=300) for path in paths]
        wait_until(lambda: metric(edge, "edged_upstream_resting") == 1, "it is let alone")
        wait_until(lambda: request(edge.url + late(0), timeout=300).body == body_of(3000), "one FETCH now and then shows how it is")
        wait_until(lambda: "answers again" in edge.said(), "it has answered")
        assert {f.result().status for f in asked} == {503}
    assert "is let alone for a moment" in edge.said()
    fetches = sum(tier.counts(edge)[path] for path in paths if path in tier.counts(edge))
    assert fetches < 4 * len(paths), fetches
