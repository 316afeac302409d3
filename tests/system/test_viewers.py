"""Who watches what, and where: a known audience at edges of two sites, told by `freshet status`. The origin has every segment at once
(tests/tools/fake_fetch.c), so the audience plays as fast as this machine can; near the live edge segments are counted, not seconds."""
import contextlib
import http.client
import json
import os
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

from harness import TOP, request, wait_until
from test_edge_tier import Tier, metric

FRESHET = os.path.join(TOP, "deploy", "freshet")
AUDIENCE = {"eu": 100, "us": 50}
LISTENERS = 25  # have no picture
TEN = 10


class Site:
    """Its edges, between which a balancer deals out segments, not viewers."""

    def __init__(self, edges):
        self.edges, self.connections = edges, [http.client.HTTPConnection(urlsplit(e.url).netloc, timeout=60) for e in edges]

    def fetch(self, viewer, path, n):
        to = self.connections[(7 * n + viewer % 3) % len(self.connections)]
        to.request("GET", path, headers={"User-Agent": "player"})
        answer = to.getresponse()
        assert answer.status == 200 and answer.read()


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    with contextlib.ExitStack() as ends:
        tier = Tier(tmp_path_factory.mktemp("viewers"), ends)
        origin = tier.origin()
        made = {zone: Site(tier.site(origin, names=names, zone=zone, tell_viewers="true")) for zone, names in (("eu", ("eu-1", "eu-2")), ("us", ("us-1",)))}
        for site in made.values():
            for connection in site.connections:
                ends.callback(connection.close)
        yield made


def status(sites):
    admin = ",".join(urlsplit(e.admin).netloc for site in sites.values() for e in site.edges)
    done = subprocess.run([FRESHET, "status", "--json", "--admin", admin], capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout)


def viewers(sites, stream):
    """{zone: how many}, as the metrics of all edges add up to."""
    out = {}
    for zone, site in sites.items():
        of = [sum(metric(e, f'edged_viewers{{stream="{stream}",of="{what}"') for e in site.edges) for what in ("picture", "sound")]
        out[zone] = max(of)
    return out


def all_of_site(edge, stream):
    """As it tells everybody: its own and those of its siblings."""
    return next((v["count"] for v in request(f"{edge.url}/api/viewers").json()["viewers"] if v["id"] == stream), 0)


def near(told, truth):
    return all(abs(told[zone] - truth[zone]) <= 0.02 * truth[zone] for zone in truth)


def play(sites, first, last):
    for n in range(first, last):
        for zone, site in sites.items():
            for viewer in range(AUDIENCE[zone]):
                came = 100 + viewer % 5  # each fetches three at once when he comes, to have them in hand
                if n < came:
                    continue
                for back in range(3 if n == came else 1):
                    site.fetch(viewer, f"/live/whole_2000/s1/v{720 if viewer % 2 else 360}/{n - back}.m4s", n - back)
        for viewer in range(LISTENERS):
            sites["eu"].fetch(viewer, f"/live/whole_1000/s1/a64/{n}.m4s", n)
            sites["eu"].fetch(viewer, f"/live/whole_2000/s1/a64/{n}.m4s", n)  # some have it for the picture, and listen besides


def test_a_known_audience_is_told_within_two_per_cent_by_stream_and_site(sites):
    play(sites, 100, 130)
    over = threading.Event()

    def go_on():  # who asks may take long, and whoever fetches nothing is not there any more
        upto = 130
        while not over.is_set():
            play(sites, upto, upto + TEN)
            upto += TEN

    def is_told():
        each = [(zone, all_of_site(e, "whole_2000")) for zone, site in sites.items() for e in site.edges]
        return (near(viewers(sites, "whole_2000"), AUDIENCE) and near(viewers(sites, "whole_1000"), {"eu": LISTENERS})
                and all(near({zone: n}, {zone: AUDIENCE[zone]}) for zone, n in each))

    def is_told_to_operators():
        totals = status(sites)["totals"]
        assert totals["connections"] == 3  # that says nothing
        return near(totals["sites"], {"eu": AUDIENCE["eu"] + LISTENERS, "us": AUDIENCE["us"]})

    audience = threading.Thread(target=go_on)
    audience.start()
    try:
        wait_until(is_told, "the audience", seconds=300, every=2)
        wait_until(is_told_to_operators, "freshet status", seconds=300, every=2)
    finally:
        over.set()
        audience.join()
