"""A zone is what fails together: a stream's origins are in two of them, and an edge asks the one in its own."""
import os

import pytest

from harness import TINY_LADDER, wait_until

STREAMS = ["zone-a", "zone-b", "zone-c"]


@pytest.fixture
def zones(make_cluster):
    """Origins 1 and 2 and edge 1 are in the west, origins 3 and 4 and edge 2 in the east."""
    sets = [f"{node}.zone={zone}" for node, zone in
            [("origin-1", "west"), ("origin-2", "west"), ("edge-1", "west"),
             ("origin-3", "east"), ("origin-4", "east"), ("edge-2", "east")]]
    return make_cluster(sets=sets, origins=4, edges=2, ladder=TINY_LADDER)


WEST, EAST = {"origin-1", "origin-2"}, {"origin-3", "origin-4"}


def owners(cluster, session):
    """The origins that have the session on their disks."""
    return {n for n in WEST | EAST
            if any(session in dirs for _, dirs, _ in os.walk(cluster.config(n)["data_dir"]))}


def bytes_of(cluster, edge):
    return tuple(cluster.metric(edge, "edged_upstream_bytes_total", zone=z) for z in ("own", "other"))


def test_a_stream_is_stored_in_two_zones_and_edges_ask_in_their_own(zones):
    for stream in STREAMS:
        zones.publish_test_picture(stream, size="320x180", audio=False)
    sessions = {s: zones.wait_playable(s)["session"] for s in STREAMS}
    for session in sessions.values():
        where = wait_until(lambda: len(o := owners(zones, session)) >= 2 and o, "two owners")
        assert len(where & WEST) == 1 and len(where & EAST) == 1, where

    for edge in ("edge-1", "edge-2"):
        own, other = bytes_of(zones, edge)
        for stream, session in sessions.items():
            for n in range(2, 10):
                zones.segment(stream, session, "v180", n, edge)
        own, other = (after - before for after, before in zip(bytes_of(zones, edge), (own, other)))
        # A slow answer is asked for at the other owner too: at most one FETCH in ten (edged/hedge.h).
        assert own > 4 * other, (edge, own, other)


def test_the_other_zone_serves_when_an_edges_own_is_gone(zones):
    zones.publish_test_picture("zone-a", size="320x180", audio=False)
    session = zones.wait_playable("zone-a")["session"]
    zones.do("kill", "origin-3", "origin-4")
    for n in range(5, 9):
        zones.segment("zone-a", session, "v180", n, "edge-2")
    assert bytes_of(zones, "edge-2")[1] > 0
