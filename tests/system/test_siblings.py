"""Edges of one site that share their objects, and a central tier of edges above them. The origin counts what it is asked for
(tests/tools/fake_fetch.c).

Patience is long here (sibling_late_ms), so that what is counted does not depend on how fast this machine is; who dies is noticed by
its connections, whatever that is."""
import concurrent.futures
import contextlib
import itertools
import signal

import pytest

from harness import request, reserve_port, wait_until
from test_edge_tier import Tier, body_of, metric

CLIENTS = 500
PATIENT = {"sibling_late_ms": 30000, "hold_ms": 30000}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An origin, three edges that are siblings, and three more that are siblings above which are two edges, siblings too."""
    with contextlib.ExitStack() as ends:
        tier = Tier(tmp_path_factory.mktemp("site"), ends)
        tier.top = tier.origin()
        tier.edges = tier.site(tier.top, **PATIENT)
        tier.central = tier.site(tier.top, names=("central-1", "central-2"), **PATIENT)
        tier.below = tier.site(*tier.central, names=("below-1", "below-2", "below-3"), upstream_role="edged", **PATIENT)
        yield tier


def get_from(edges, path, viewers=CLIENTS):
    turns = itertools.islice(itertools.cycle(edges), viewers)
    with concurrent.futures.ThreadPoolExecutor(viewers) as pool:
        return [f.result() for f in [pool.submit(request, e.url + path, timeout=60) for e in turns]]


# name: of the object, of what size, and how many FETCHes it takes at most: there may be one that waited in vain, or that this machine was too
# busy to answer. Each edge for itself takes three, and three times the pieces.
OBJECTS = {"complete": ("whole_50000", 50000, 2), "future": ("late_50000_900", 50000, 2), "due": ("due_50000_4000", 50000, 2),
           "growing": ("grow_100000_5_200", 100000, 9)}


@pytest.mark.parametrize("where", ["edges", "below"])
@pytest.mark.parametrize("what", OBJECTS)
def test_five_hundred_viewers_at_three_siblings_are_one_chain_of_fetches(place, where, what):
    stream, size, most = OBJECTS[what]
    edges = getattr(place, where)
    path = f"/live/{stream}/{where}/v720/7.m4s"
    answers = get_from(edges, path)
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {body_of(size)}
    assert 1 <= place.counts(edges[0])[path] <= most
    assert sum(metric(e, "edged_sibling_fetches_total", 'result="ok"') for e in edges) > 0


def test_objects_are_shared_among_the_siblings(place):
    paths = [f"/live/whole_{3000 + n}/shared/v720/{n}.m4s" for n in range(60)]
    for path in paths:
        assert request(place.edges[0].url + path).status == 200
    before = [metric(e, "edged_upstream_fetches_total") for e in place.edges]
    assert all(count >= 5 for count in before)  # each of the three went up for its part, and one alone was asked
    for edge in place.edges:
        for path in paths:
            assert request(edge.url + path).status == 200
    counts = place.counts(place.edges[0])
    assert sum(counts[path] for path in paths) <= len(paths) + 3  # what this machine was too busy to answer is asked for again


def test_what_is_further_ahead_than_anybody_is_held_is_refused_at_once_at_every_edge(place):
    """And as late as the owner says it: it is not held for somewhere else until the owner would ask again."""
    for edges in (place.edges, place.below):
        path = f"/live/due_50000_59000/s/v720/{edges is place.edges:d}.m4s"
        for _ in range(2):
            answers = get_from(edges, path, 30)
            assert {a.status for a in answers} == {503}
            assert min(int(a.headers["retry-after"]) for a in answers) > 14  # 59 s, less the 30 that a viewer is held
        assert place.counts(edges[0])[path] <= 2


def test_what_there_is_not_is_asked_for_once_and_told_to_all(place):
    path = "/live/missing/s/v720/1.m4s"
    assert {a.status for a in get_from(place.edges, path, 60)} == {404}
    assert place.counts(place.edges[0])[path] <= 2  # it is remembered for a second


def test_a_list_is_gathered_by_one_edge_of_the_site(place):
    asked = lambda: place.counts(place.edges[0]).get("/api/streams", 0)  # noqa: E731
    before = asked()
    answers = get_from(place.edges, "/api/streams", 30)
    assert {a.status for a in answers} == {200} and {a.json()["streams"][0]["id"] for a in answers} == {"origin-1"}
    assert asked() > before


@pytest.fixture
def tier(tmp_path):
    with contextlib.ExitStack() as ends:
        yield Tier(tmp_path, ends)


class Viewers:
    """One at each edge, through the same objects, one after the other. An edge that was killed answers nobody."""

    def __init__(self, edges, paths):
        self.edges, self.paths, self.trouble, self.killed, self.at = edges, paths, [], None, 0

    def watch(self, before):
        """before(n) is called when all have n objects."""
        with concurrent.futures.ThreadPoolExecutor(len(self.edges)) as pool:
            for n, (path, body) in enumerate(self.paths):
                before(n)
                edges = [e for e in self.edges if e is not self.killed]
                for answer in [f.result() for f in [pool.submit(request, e.url + path, timeout=60) for e in edges]]:
                    if answer.status != 200 or answer.body != body:
                        self.trouble.append((path, answer.status))


@pytest.mark.parametrize("where", ["the site", "the central tier"])
def test_an_owner_that_is_killed_costs_one_more_fetch_and_no_viewer_anything(tier, where):
    origin = tier.origin()
    owners = tier.site(origin, **PATIENT)
    edges = owners if where == "the site" else tier.site(*owners, names=("below-1", "below-2"), upstream_role="edged", **PATIENT)
    paths = [(f"/live/whole_{20000 + n}/s/v720/{n}.m4s", body_of(20000 + n)) for n in range(50)]
    viewers = Viewers(edges, paths)

    def kill(n):
        if n == 25:
            viewers.killed = owners[1]
            owners[1].signal(signal.SIGKILL)
            owners[1].process.wait(60)

    viewers.watch(kill)
    assert viewers.trouble == []
    counts = tier.counts(edges[0])
    fetches = [counts[path] for path, _ in paths]
    assert sum(fetches) <= len(paths) + 1, fetches


def test_an_edge_that_has_nobody_above_is_no_owner_and_asks_its_siblings(tier):
    origin, ports = tier.origin(), [reserve_port() for _ in range(3)]
    siblings = ",".join(f"127.0.0.1:{port}" for port in ports)
    cut_off = tier.start_edge(name="cut-off", origins=f"127.0.0.1:{reserve_port()}", fetch_port=ports[0], siblings=siblings, **PATIENT)
    others = [tier.edge(origin, name=f"edge-{i}", fetch_port=ports[i], siblings=siblings, **PATIENT) for i in (1, 2)]
    for edge in (cut_off, *others):
        wait_until(lambda edge=edge: metric(edge, "freshet_peers{role=\"edged\"", 'state="draining"') == 1, "it is known to be cut off")
        wait_until(lambda edge=edge: metric(edge, "freshet_peers{role=\"edged\"", 'state="live"') == 2, "and the others not to be")
    paths = [f"/live/whole_{6000 + n}/s/v720/{n}.m4s" for n in range(30)]
    for n, path in enumerate(paths):
        for edge in (cut_off, others[n % 2]):
            assert request(edge.url + path).body == body_of(6000 + n)
    counts = tier.counts(others[0])
    assert sum(counts[path] for path in paths) <= len(paths) + 3
    assert sum(metric(e, "edged_sibling_fetches_total", 'result="full"') for e in (cut_off, *others)) == 0


def test_a_growing_segment_goes_on_when_its_owner_is_killed(tier):
    edges = tier.site(tier.origin(), **PATIENT)
    survivors, owner = edges[:2], edges[2]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for n in range(60):  # the ring decides whose a segment is
            path = f"/live/grow_90000_6_400/s{n}/v720/1.m4s"
            before = metric(owner, "edged_upstream_fetches_total")
            flowing = [pool.submit(request, survivors[i % 2].url + path, timeout=60) for i in range(20)]
            wait_until(lambda: metric(owner, "edged_upstream_fetches_total") > before or any(f.done() for f in flowing), "whose it is")
            if metric(owner, "edged_upstream_fetches_total") > before:
                break
    owner.signal(signal.SIGKILL)
    answers = [f.result() for f in flowing]
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {body_of(90000)}
    assert tier.counts(edges[0])[path] <= 2 * 8  # two chains: the one that ended, and one more


def test_an_owner_that_stands_still_is_passed_over(tier):
    edges = tier.site(tier.origin(), hold_ms=30000)
    edges[2].signal(signal.SIGSTOP)
    for n in range(12):  # some of them are its own
        path = f"/live/whole_{5000 + n}/s/v720/{n}.m4s"
        for edge in edges[:2]:
            assert request(edge.url + path, timeout=60).body == body_of(5000 + n)
    edges[2].signal(signal.SIGCONT)


def test_two_edges_that_take_each_other_for_the_owner_do_not_wait_for_each_other(tier):
    origin = tier.origin()
    ports = [reserve_port(), reserve_port()]
    pair = [tier.edge(origin, name=f"edge-{i + 1}", fetch_port=ports[i], siblings=f"127.0.0.1:{ports[1 - i]}", **PATIENT) for i in (0, 1)]
    for edge in pair:
        wait_until(lambda edge=edge: metric(edge, "freshet_peers{", 'state="live"') == 2, "they know each other")
    for n in range(10):
        path = f"/live/late_{4000 + n}_150/s/v720/{n}.m4s"
        assert {a.body for a in get_from(pair, path, 20)} == {body_of(4000 + n)}
        assert tier.counts(pair[0])[path] <= 3
    # had one waited for the other, only this could have ended it
    assert sum(metric(e, "edged_sibling_fetches_total", 'result="late"') for e in pair) == 0
    assert sum(metric(e, "edged_failed_fills_total") for e in pair) == 0


def test_edges_use_the_central_tier_of_their_zone_and_each_object_is_one_chain_in_it(tier):
    """Two zones with two edges in the middle each, which are siblings, and one edge below that knows all four."""
    origin = tier.origin()
    west = tier.site(origin, names=("west-1", "west-2"), zone="west", **PATIENT)
    east = tier.site(origin, names=("east-1", "east-2"), zone="east", **PATIENT)
    below = {zone: tier.edge(*west, *east, name=f"below-{zone}", zone=zone, upstream_role="edged", **PATIENT) for zone in ("west", "east")}
    paths = [f"/live/whole_{4000 + n}/z/v720/{n}.m4s" for n in range(40)]
    for zone, edge in below.items():
        own, other = (metric(edge, "edged_upstream_bytes_total", f'zone="{where}"') for where in ("own", "other"))
        for n, path in enumerate(paths):
            assert request(edge.url + path).body == body_of(4000 + n)
        own, other = (metric(edge, "edged_upstream_bytes_total", f'zone="{where}"') - before for where, before in (("own", own), ("other", other)))
        assert own > 4 * other, (zone, own, other)  # what is slow to come is asked for in the other zone too
    counts = tier.counts(west[0])
    assert sum(counts[path] for path in paths) <= 5 * len(paths) // 2  # one a zone, and some that were asked for in both
    for edges in (west, east):
        served = [metric(e, "edged_upstream_fetches_total") for e in edges]
        assert min(served) >= 4, served  # both have their part
        assert sum(metric(e, "edged_sibling_fetches_total") for e in edges) <= len(paths) // 2, "who is asked is the owner already"


def test_one_edge_below_has_its_share_of_places_to_wait_in_and_no_more(tier):
    middle = tier.edge(tier.origin(), name="middle", max_waits=16, hold_ms=30000)
    below = tier.edge(middle, name="below", upstream_role="edged", hold_ms=30000)
    paths = [f"/live/late_{3000 + n}_1500/s/v720/{n}.m4s" for n in range(60)]
    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        answers = [f.result() for f in [pool.submit(request, below.url + path, timeout=60) for path in paths]]
    assert [a.body for a in answers] == [body_of(3000 + n) for n in range(60)]  # the rest had its turn when there were places again
    assert metric(below, "edged_upstream_fetches_total", 'result="full"') > 0


def test_old_segments_are_asked_of_all_owners_in_equal_parts_and_each_of_the_same_one(tier):
    origins = [tier.origin("origin-1"), tier.origin("origin-2")]
    alone = [tier.edge(o, name=f"alone-{i + 1}") for i, o in enumerate(origins)]
    edges = [tier.edge(*origins, name=f"edge-{i + 1}", hold_ms=30000) for i in range(2)]
    old = [f"/live/whole_3000/20200131T123456Z-1a2b3c4d/v720/{n}.m4s" for n in range(40)]
    for edge in edges:
        for path in old:
            assert request(edge.url + path).body == body_of(3000)
    counts = [tier.counts(edge) for edge in alone]
    of_old = [{p for p in old if c.get(p)} for c in counts]
    assert min(len(paths) for paths in of_old) >= 8, "both have a part"
    assert len(of_old[0] & of_old[1]) <= 10, "and not the same: a slow answer is asked for at the other one too"


def test_edges_that_stand_above_each_other_ask_each_other_for_nothing_and_say_so(tier):
    """A mistake in their configuration: there is no origin above either, and viewers are to be told at once."""
    ports = [reserve_port(), reserve_port()]
    pair = [tier.start_edge(name=f"edge-{i + 1}", fetch_port=ports[i], origins=f"127.0.0.1:{ports[1 - i]}", upstream_role="edged",
                            hold_ms=30000) for i in (0, 1)]
    for edge in pair:
        wait_until(lambda edge=edge: "neither stands above the other" in edge.said(), "it is told")
        wait_until(lambda edge=edge: request(edge.admin + "/readyz").status == 503, "there is nobody to ask")
    answers = get_from(pair, "/live/whole_4000/s/v720/1.m4s", 20)
    assert {a.status for a in answers} == {503}
    assert [metric(e, "edged_upstream_fetches_total") for e in pair] == [0, 0]


def circle(tier, *third):
    """Three edges, each above the one before; the last one has others above it too."""
    ports = [reserve_port() for _ in range(3)]
    above = [f"127.0.0.1:{ports[(i + 1) % 3]}" for i in range(3)]
    above[2] = ",".join([above[2], *(edge.address for edge in third)])
    edges = [tier.start_edge(name=f"edge-{i + 1}", fetch_port=ports[i], origins=above[i], upstream_role="edged", hold_ms=30000) for i in range(3)]
    for edge, count in zip(edges, (1, 1, 1 + len(third))):
        wait_until(lambda edge=edge, count=count: metric(edge, "freshet_peers{", 'state="live"') == count, "each sees the one above")
    return edges


def test_a_circle_of_edges_ends_by_itself_and_viewers_are_told(tier):
    """A mistake in their configuration. Each waits for the next one, and none of them would ever stop asking."""
    edges = circle(tier)
    for n in range(3):
        answers = get_from(edges if n else edges[:1], f"/live/whole_4000/s/v720/{n}.m4s", 20)
        assert {a.status for a in answers} == {503}
    assert any("in a circle" in e.said() for e in edges)
    path = "/live/whole_4000/s/v720/3.m4s"
    assert [request(e.url + path).status for e in edges] == [503] * 3
    ended = lambda: [metric(e, "edged_upstream_fetches_total") for e in edges]  # noqa: E731
    wait_until(lambda: ended() == ended(), "nobody asks any more")


def test_a_tier_too_many_is_refused_and_harms_nobody(tier):
    edges = [tier.origin()]
    for n in range(5):
        edges.append(tier.edge(edges[-1], name=f"tier-{n + 1}", upstream_role="edged" if n else "originD", hold_ms=30000))
    third, fifth = edges[3], edges[5]
    path = "/live/late_4000_3000/s/v720/1.m4s"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        at_third = pool.submit(request, third.url + path, timeout=60)
        wait_until(lambda: metric(edges[1], "edged_held_requests") + metric(third, "edged_held_requests") > 0, "it waits")
        at_fifth = pool.submit(request, fifth.url + path, timeout=60)
        assert at_fifth.result().status == 503
        assert at_third.result().body == body_of(4000)
    assert request(fifth.url + path).body == body_of(4000), "what is there is given however deep"


def test_in_a_circle_everything_comes_by_the_edge_that_has_another_one_above(tier):
    top = tier.edge(tier.origin(), name="top")
    edges = circle(tier, top)
    for n, edge in enumerate(edges * 4):
        path, body = f"/live/whole_{4000 + n}/s/v720/{n}.m4s", body_of(4000 + n)
        wait_until(lambda edge=edge, path=path, body=body: request(edge.url + path).body == body, "it comes, if not at once")


def test_what_nobody_watches_any_more_is_followed_at_no_edge_of_the_site(tier):
    """Who follows asks the owner of the next segment: were that a viewer to the owner, each would follow for the others, for ever. And where
    nobody has watched, nothing is followed."""
    watched, *others = edges = tier.site(tier.origin(), **PATIENT)
    path = "/live/grow_9000_3_60/s/v720/{}.m4s".format
    for n in range(20):  # each of the three owns some of them
        assert request(watched.url + path(n), timeout=60).status == 200
    followed = [metric(e, "edged_followed_total") for e in edges]
    assert followed[0] > 10 and followed[1:] == [0, 0], followed
    wait_until(lambda: sum(metric(e, "edged_following") for e in edges) == 0, "it ends")
    counts = tier.counts(watched)
    assert not [n for n in range(19 + 8, 100) if counts.get(path(n))]  # six segments after the last one that was watched
