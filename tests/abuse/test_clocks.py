"""Somebody sets the clocks of all machines by a day and an hour, or by seconds, and nodes are slow to answer: no broadcast, no viewer and
no recording notices."""
import datetime
import os
import re
import time

import pytest

import preload
from abuse import Said, lines
from faults import FaultCluster
from harness import TINY_LADDER, TOP, run, wait_until
from preload import Clock

TOKEN = os.path.join(TOP, "deploy", "token")
DAY_AND_AN_HOUR_S = 25 * 3600
SWEEP_S = 5  # of retention
STOPPED_S = 1.7
SETTLED_S = 700  # a machine that came up a moment ago is given the time at once


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Its machines' clocks are .clock; recordings are kept for a day; streams named private-… want a token, which .token is."""
    with open("/proc/uptime", encoding="ascii") as f:
        if float(f.read().split()[0]) < SETTLED_S:
            pytest.skip("this machine has just come up: its nodes would take the time that they are given")
    folder = tmp_path_factory.mktemp("clocks")
    keys, public = folder / "private.json", folder / "public.json"
    run(TOKEN, "keygen", "--keys", str(keys), "--public", str(public))
    clock = Clock(folder / "clock")
    sets = ["transcoderd.slate_after_ms=3000", "transcoderd.shed_after_ms=600000", "originD.retention_s=86400",
            'edged.private=["private-*"]', f"edged.view_jwks={public}"]
    library = preload.build("step_clock", folder)
    with preload.preloaded(library, STEP_CLOCK=folder / "clock"):
        made = FaultCluster(folder / "cluster", ladder=TINY_LADDER, sets=sets, flags=["--secure"], ingests=2, transcoders=2, origins=1, edges=1)
    made.clock, made.library = clock, library
    made.token = run(TOKEN, "make", "view", "private-*", "--for", "1h", "--keys", str(keys)).stdout.decode().strip()
    with made:
        made.wait_whole()
        yield made
        clock.set(0)


@pytest.fixture(scope="module")
def recordings(cluster):
    """Three that ended."""
    names = [f"kept-{n}" for n in range(3)]
    for name in names:
        assert cluster.publish_test_picture(name, seconds=2, size="320x180").wait() == 0
    for name in names:
        cluster.wait_state(name, "ended")
    return names


def instant_s(text):
    return datetime.datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()


def edge_off_s(cluster):
    """How far the time that players are told is from what it was before anybody set a clock."""
    before, told = time.time(), instant_s(cluster.get("/time").text())
    return told - before


def wait_stepped(cluster, but=()):
    wait_until(lambda: all(abs(cluster.metric(n, "freshet_clock_offset_seconds") + cluster.clock.off_s) < 0.5
                           for n in cluster.nodes() if n not in but), "all have seen the step")


def kept(cluster, names):
    return sum(cluster.stream(name) is not None and cluster.get(f"/live/{name}/manifest.mpd").status == 200 for name in names)


def may_watch(cluster):
    """404: there is no such stream, and who asked might have watched it."""
    return cluster.get(f"/t/{cluster.token}/live/private-x/manifest.mpd").status == 404


def begun_off_s(cluster, stream):
    entry = cluster.wait_playable(stream)
    manifest = cluster.get(f"/live/{stream}/{entry['session']}/manifest.mpd").text()
    return time.time() - instant_s(re.search(r'availabilityStartTime="([^"]+)"', manifest)[1])


@pytest.mark.parametrize("step_s", [DAY_AND_AN_HOUR_S, -2, pytest.param(-DAY_AND_AN_HOUR_S, marks=pytest.mark.long),
                                    pytest.param(2, marks=pytest.mark.long)])
def test_a_step_of_all_clocks(cluster, healthy, table, recordings, step_s):
    assert may_watch(cluster)
    with healthy.watched():
        cluster.clock.set(step_s)
        wait_stepped(cluster)
        stepped_at = time.monotonic()
        off_s = abs(edge_off_s(cluster))
        watched = may_watch(cluster)
        newcomer = cluster.publish_test_picture(f"new{step_s}".replace("-", "_"), size="320x180", seconds=8)
        since_s = begun_off_s(cluster, f"new{step_s}".replace("-", "_"))
        assert newcomer.wait() == 0
        wait_until(lambda: time.monotonic() - stepped_at > 2 * SWEEP_S + 1, "retention has looked twice", every=0.2)
        left = kept(cluster, recordings)
        cluster.clock.set(0)  # whoever did it puts it right
        wait_stepped(cluster)
        left_after = kept(cluster, recordings)
    hours = f"{step_s / 3600:+.0f} h" if abs(step_s) > 60 else f"{step_s:+d} s"
    table.row(f"a step of all clocks by {hours}: recordings that are gone", 0, len(recordings) - min(left, left_after))
    table.row(f"a step of all clocks by {hours}: /time is off, s", 1, f"{off_s:.2f}")
    table.row(f"a step of all clocks by {hours}: a token of an hour", "taken", "taken" if watched else "refused")
    table.row(f"a step of all clocks by {hours}: a new broadcast begins before now, s", 10, f"{since_s:.1f}")
    assert left == left_after == len(recordings)
    assert off_s < 1 and watched
    assert 0 < since_s < 10, "its epoch is where players look for it"


def test_an_origin_that_starts_with_a_wrong_clock(cluster, table, recordings):
    cluster.clock.set(DAY_AND_AN_HOUR_S)
    cluster.stop("origin-1")
    cluster.wait_left_well("origin-1")
    with preload.preloaded(cluster.library, STEP_CLOCK=cluster.clock.path), Said(cluster, "origin-1") as said:
        cluster.restart("origin-1")
        started_at = time.monotonic()
        wait_until(lambda: time.monotonic() - started_at > 2 * SWEEP_S + 1, "retention has looked twice", every=0.2)
        left = kept(cluster, recordings)
        behind_s = cluster.metric("origin-1", "originD_age_clock_behind_seconds")
        told = said.lines("recordings are kept for longer")
    cluster.clock.set(0)
    table.row("an origin starts with a clock that is 25 h ahead: recordings that are gone", 0, len(recordings) - left)
    assert left == len(recordings)
    assert told and behind_s > 24 * 3600
    wait_until(lambda: cluster.metric("origin-1", "originD_age_clock_behind_seconds") < 60, "it has seen that the clock is right again")
    cluster.stop("origin-1")  # its wall clock is 25 h ahead for good, as it began
    cluster.wait_left_well("origin-1")
    with preload.preloaded(cluster.library, STEP_CLOCK=cluster.clock.path):
        cluster.restart("origin-1")
    cluster.wait_whole()


def test_a_transcoder_that_was_stopped_is_no_clock_that_differs(tmp_path, table):
    """It is the only one, so that OPEN waits before its door; less than it takes until it counts as dead."""
    with FaultCluster(tmp_path / "one", ladder=TINY_LADDER, sets=["transcoderd.slate_after_ms=3000", "transcoderd.shed_after_ms=600000"],
                      ingests=1, transcoders=1, origins=1, edges=1) as cluster:
        cluster.wait_whole()
        seen_ms = 0
        for n in range(3):
            publisher = cluster.publish_test_picture(f"late-{n}", size="320x180")
            cluster.freeze("transcoder-1")
            frozen_at = time.monotonic()
            wait_until(lambda: time.monotonic() - frozen_at > STOPPED_S, "OPEN waits before its door", every=0.02)
            cluster.thaw("transcoder-1")
            cluster.wait_playable(f"late-{n}")
            publisher.kill()
        skews = [abs(int(re.search(r"skew_ms=(-?[0-9]+)", line)[1])) for line in lines(cluster, "transcoder-1", "skew_ms=")]
        seen_ms = max(skews or [0])
        apart_s = cluster.metric("ingest-1", "freshet_peer_clocks_apart_seconds")
    table.row(f"a transcoder stopped for {STOPPED_S} s with OPEN before its door: taken for a difference of clocks, ms", 50, seen_ms)
    assert seen_ms <= 50 and apart_s < 0.05


def test_certificates_made_after_the_time_that_the_clock_was_set_to(cluster, table, tmp_path):
    """They are not good yet by a clock that was set back behind their making, and the other one's node is let in all the same."""
    right = Clock(tmp_path / "right")
    cluster.clock.set(-DAY_AND_AN_HOUR_S)
    wait_stepped(cluster)
    cluster.stop("ingest-2")
    cluster.wait_gone("ingest-2")
    with preload.preloaded(cluster.library, STEP_CLOCK=right.path):
        cluster.restart("ingest-2")
    live = wait_until(lambda: cluster.metric("ingest-2", "freshet_peers", role="transcoderd", state="live") == 2, "both transcoders let it in")
    cluster.clock.set(0)
    wait_stepped(cluster, but=["ingest-2"])
    table.row("clocks set back by 25 h: a node with a certificate made since then", "let in", "let in" if live else "refused")


def test_a_proxy_whose_clock_differs_is_known_by_that(cluster, table, tmp_path):
    """Not by much, and told as well: a session's time is its transcoder's, whatever the proxy's clock says."""
    off = Clock(tmp_path / "wrong")
    off.set(-3)
    cluster.stop("ingest-2")
    cluster.wait_gone("ingest-2")
    with preload.preloaded(cluster.library, STEP_CLOCK=tmp_path / "wrong"):
        cluster.restart("ingest-2")
    cluster.wait_whole()
    apart_s = wait_until(lambda: cluster.metric("ingest-2", "freshet_peer_clocks_apart_seconds"), "it knows")
    publisher = cluster.publish_test_picture("apart", size="320x180", ingest="ingest-2")
    since_s = begun_off_s(cluster, "apart")
    publisher.kill()
    table.row("a proxy whose clock is 3 s behind: known by how much, s", "2.95 to 3.05", f"{apart_s:.3f}")
    assert 2.95 < apart_s < 3.05
    assert 0 < since_s < 10
