"""A disk that takes long for every write, as one that fails or is shared: viewers and the other origin do not wait for it."""
import pytest

import preload
from broadcast import Broadcast
from faults import FaultCluster
from harness import wait_until


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """The cluster; .disk("origin-1", 300) makes one origin's disk slow."""
    directory = tmp_path_factory.mktemp("slow")
    control = directory / "control"
    control.write_text("nothing 0\n")
    with preload.preloaded(preload.build("slow_disk", directory), SLOW_DISK=control), \
            FaultCluster(directory / "cluster", sets=["originD.sync=segment"]) as cluster:
        cluster.disk = lambda word, ms: control.write_text(f"/{word}/ {ms}\n")
        yield cluster
        cluster.disk("nothing", 0)


def slowest_put(cluster):
    """Puts that took more than 200 ms, at all transcoders."""
    total = 0
    for name in cluster.names("transcoder"):
        seen = cluster.metrics(name)
        total += seen["transcoderd_put_seconds_count"] - seen['transcoderd_put_seconds_bucket{le="0.2"}']
    return total


@pytest.mark.parametrize("victim", ["origin-1", "origin-2"])
def test_a_slow_disk_of_one_origin_costs_no_frame(slow, source, stream, victim):
    slow.revive()
    with Broadcast(slow, stream, source) as show:
        before = slowest_put(slow)
        slow.disk(victim, 400)
        show.wait_seen(5)
        wait_until(lambda: slowest_put(slow) > before, "the disk is slow")
        slow.disk("nothing", 0)
        slow.wait_whole()
        show.finish().assert_nothing_lost()
        slow.wait_same_everywhere(show)


def test_slow_disks_everywhere_make_it_late_and_lose_nothing(slow, source, stream):
    slow.revive()
    with Broadcast(slow, stream, source) as show:
        slow.disk("data", 150)
        show.wait_seen(5, seconds=60)
        slow.disk("nothing", 0)
        show.wait_seen(1, seconds=60)
        show.finish().assert_nothing_lost()
        slow.wait_same_everywhere(show)
