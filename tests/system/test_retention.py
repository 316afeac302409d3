"""Old recordings go, by age and by bytes; the live one never. A full disk harms nothing that is stored."""
import os
import subprocess

import pytest

from harness import TINY_LADDER, request, wait_until


def record(cluster, stream, seconds=3):
    publisher = cluster.publish_test_picture(stream, size="320x180", seconds=seconds)
    session = cluster.wait_playable(stream)["session"]
    assert publisher.wait() == 0
    cluster.wait_state(stream, "ended")
    return session


def gone(cluster, stream, session):
    """At the origin: an edge keeps what it has."""
    origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
    return request(f"{origin}/live/{stream}/{session}/v180/0.m4s").status == 404


def test_a_recording_goes_when_it_is_old_enough(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["originD.retention_s=5"])
    cluster.publish_test_picture("stays", size="320x180")
    live = cluster.wait_playable("stays")["session"]
    session = record(cluster, "old")
    wait_until(lambda: gone(cluster, "old", session), "the old recording is gone", 40)
    assert not gone(cluster, "stays", live)


def test_the_oldest_recordings_go_when_there_are_too_many_bytes(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["originD.retention_bytes=300000"])
    first = record(cluster, "first")
    second = record(cluster, "second", seconds=5)
    wait_until(lambda: gone(cluster, "first", first), "the first recording is gone", 40)
    assert not gone(cluster, "second", second)


def test_a_full_disk_makes_the_node_unready_and_harms_nothing_stored(make_cluster, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        cluster = make_cluster(ladder=TINY_LADDER, sets=[f"originD.data_dir={disk}", "originD.min_free_bytes=100000",
                                                         "transcoderd.drain_ms=300"])
        session = record(cluster, "before")
        stored = cluster.segment("before", session, "v180", 0)
        (disk / "filler").write_bytes(os.urandom(1_000_000))
        cluster.publish_test_picture("filling", size="320x180")
        wait_until(lambda: request(cluster.node("origin-1")["admin"] + "/readyz").status == 503, "not ready", 60)
        assert cluster.get(f"/live/before/{session}/v180/0.m4s").body == stored
        (disk / "filler").unlink()
        wait_until(lambda: request(cluster.node("origin-1")["admin"] + "/readyz").status == 200, "ready again")
        for publisher in cluster.publishers:
            publisher.kill()
        cluster.do("stop", "transcoder-1", "origin-1")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
