"""The disk of one origin is full: it says so, the other one stores, and what is lacking is copied when there is room."""
import os
import subprocess

import pytest

from broadcast import Broadcast
from faults import FaultCluster
from harness import request, wait_until


@pytest.fixture
def small(tmp_path):
    """The cluster; .disk is the folder of origin-1's own little disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        sets = [f"origin-1.data_dir={disk}", "origin-1.min_free_bytes=4000000"]
        with FaultCluster(tmp_path / "cluster", sets=sets) as cluster:
            cluster.disk = disk
            yield cluster
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def ready(cluster, name):
    return request(cluster.node(name)["admin"] + "/readyz").status == 200


def test_a_full_disk_of_one_origin_costs_no_frame(small, source, stream):
    with Broadcast(small, stream, source) as show:
        (small.disk / "filler").write_bytes(os.urandom(13_000_000))
        wait_until(lambda: not ready(small, "origin-1"), "origin-1 says that it is full")
        show.wait_seen(3)
        (small.disk / "filler").unlink()
        wait_until(lambda: ready(small, "origin-1"), "origin-1 has room again")
        small.wait_whole()
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        small.wait_same_everywhere(show, {"origin-1": str(small.disk)})
