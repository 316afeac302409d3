"""NTP, or a person, steps the system's clock of every machine by seconds in mid-broadcast: media time does not feel it."""
import datetime
import re
import time

import pytest

import preload
from broadcast import Broadcast
from faults import FaultCluster
from harness import wait_until
from preload import Clock


@pytest.fixture
def stepped(tmp_path):
    """A cluster whose daemons have .clock for a clock."""
    control = tmp_path / "clock"
    clock = Clock(control)
    library = preload.build("step_clock", tmp_path)
    with preload.preloaded(library, STEP_CLOCK=control):
        cluster = FaultCluster(tmp_path / "cluster", sets=["transcoderd.shed_after_ms=600000"])  # a busy machine is no fault
    cluster.clock, cluster.library = clock, library
    with cluster:
        yield cluster


def offset_s(cluster, node):
    return cluster.metric(node, "freshet_clock_offset_seconds")


def wait_stepped(cluster):
    """Every daemon says that its clock is that far from the system's: the step has come to it."""
    wait_until(lambda: all(abs(offset_s(cluster, n) + cluster.clock.off_s) < 0.5 for n in cluster.nodes()),
               f"all have seen the step, {[offset_s(cluster, n) for n in cluster.nodes()]}")


def instant_s(text):
    return datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()


def edge_time_s(cluster, edge):
    return instant_s(cluster.get("/time", edge).text())


def total(cluster, prefix, name):
    return sum(cluster.metric(n, name) for n in cluster.names(prefix))


@pytest.mark.parametrize("step_s", [pytest.param(5, marks=pytest.mark.bounded), -5])
def test_a_step_of_the_clock_is_not_seen(stepped, source, stream, step_s):
    with Broadcast(stepped, stream, source) as show:
        before = [total(stepped, "ingest", "ingestd_breaks_total"), total(stepped, "transcoder", "transcoderd_slate_seconds_total")]
        stepped.clock.set(step_s)
        wait_stepped(stepped)
        show.wait_seen(4)
        for edge in stepped.names("edge"):
            asked_at = time.time()
            assert asked_at - 1 < edge_time_s(stepped, edge) < time.time() + 1, "players are told the same time as before"
        after = [total(stepped, "ingest", "ingestd_breaks_total"), total(stepped, "transcoder", "transcoderd_slate_seconds_total")]
        assert after == before, "no break, no slate"
        show.finish().assert_nothing_lost()
    for node in stepped.nodes():
        assert "the system's clock was stepped" in stepped.log(node), f"{node} tells nobody"


def test_a_new_broadcast_after_a_step_is_where_players_look_for_it(stepped, source, stream):
    stepped.clock.set(-5)
    wait_stepped(stepped)
    with Broadcast(stepped, stream, source) as show:
        show.wait_seen(1)
        manifest = stepped.get(f"/live/{stream}/{show.session}/manifest.mpd").text()
        begun_s = instant_s(re.search(r'availabilityStartTime="([^"]+)"', manifest)[1])
        asked_at = show.now_s()
        assert asked_at - 1 < edge_time_s(stepped, "edge-1") - begun_s < show.now_s() + 1
        show.finish().assert_nothing_lost()


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_a_transcoder_that_is_an_hour_off_goes_on_with_a_broadcast_where_it_is(stepped, source, stream, tmp_path, off_s):
    Clock(tmp_path / "wrong").set(off_s)
    with Broadcast(stepped, stream, source) as show:
        victim = show.transcoder()
        for other in stepped.names("transcoder"):
            if other != victim:
                stepped.kill(other)
        stepped.stop(victim)
        stepped.wait_left_well(victim)
        with preload.preloaded(stepped.library, STEP_CLOCK=tmp_path / "wrong"):
            stepped.restart(victim)
        show.wait_seen(6)  # what stays late is moved after 4 s
        assert stepped.metric(victim, "transcoderd_clock_off_total") == 1
        assert total(stepped, "ingest", "ingestd_breaks_total") == 0
        show.finish().assert_nothing_lost()
