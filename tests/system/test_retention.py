"""Old recordings go, by age and by bytes; the live one never. A full disk costs the oldest media, and writers nothing."""
import os
import re
import subprocess

import pytest

from harness import TINY_LADDER, TOP, request, reserve_port, wait_until


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

    def removed():  # asked for, it would be read just then, and a newer one goes for one that is being read
        return re.search(f'session={first} stream=first msg="recording removed" reason=bytes', cluster.log("origin-1"))
    for n in range(6):  # how many bytes a second is on a busy machine is not known before
        newest = record(cluster, f"more{n}", seconds=5)
        if cluster.metric("origin-1", "originD_stored_bytes") > 300000 or removed():
            break
    wait_until(removed, "the first recording is gone", 40)
    assert gone(cluster, "first", first)
    assert not gone(cluster, f"more{n}", newest)


def depth(cluster, stream):
    """How far back a viewer can go, in seconds, as the manifest says."""
    return int(re.search(r'timeShiftBufferDepth="PT([0-9]+)S"', cluster.get(f"/live/{stream}/manifest.mpd").text())[1])


def test_a_broadcast_keeps_its_window_and_what_is_before_it_goes(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["originD.volume_segments=2", "originD.time_shift_s=4",
                                                     'originD.recording=[{"match": "window", "live": 4}, {"match": "whole", "rewind": "all"}]'])
    cluster.publish_test_picture("window", size="320x180")
    cluster.publish_test_picture("whole", size="320x180")
    session = cluster.wait_playable("window")["session"]
    other = cluster.wait_playable("whole")["session"]
    wait_until(lambda: gone(cluster, "window", session), "the first segment is gone", 60)
    assert cluster.metric("origin-1", "originD_removed_volumes_total", reason="window") >= 1
    assert not gone(cluster, "whole", other)
    assert depth(cluster, "window") <= 4
    assert depth(cluster, "whole") > 5
    playlist = cluster.get(f"/live/whole/{other}/v180/media.m3u8").text()
    assert "#EXT-X-MEDIA-SEQUENCE:0\n" in playlist and "\n0.m4s\n" in playlist
    window = cluster.get(f"/live/window/{session}/v180/media.m3u8").text()
    assert "#EXT-X-MEDIA-SEQUENCE:0\n" not in window
    folder = os.path.join(cluster.config("origin-1")["data_dir"], "window", session, "v180")
    volumes = sorted(n for n in os.listdir(folder) if n.endswith(".mp4") and n != "init.mp4")
    last = int(volumes[-1].split(".")[0])
    origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
    for n in range(last * 2 - 3, last * 2):
        assert request(f"{origin}/live/window/{session}/v180/{n}.m4s").status == 200, n


def test_a_second_origin_on_the_same_folder_does_not_start(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    config = cluster.config("origin-1")
    ports = [f"--set={key}={reserve_port()}" for key in ("port", "fetch_port", "http_port", "admin_port")]
    second = subprocess.run([os.path.join(TOP, "bin", "originD"), f"--set=data_dir={config['data_dir']}", *ports],
                            capture_output=True, timeout=20, check=False)
    assert second.returncode == 1
    assert b"another originD uses this folder" in second.stderr
    assert request(cluster.node("origin-1")["admin"] + "/readyz").status == 200


def test_a_full_disk_costs_the_oldest_recording_not_the_broadcast(make_cluster, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        cluster = make_cluster(ladder=TINY_LADDER, sets=[f"originD.data_dir={disk}", "originD.min_free_bytes=100000",
                                                         "transcoderd.drain_ms=300"])
        first, second = record(cluster, "first"), record(cluster, "second")
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(os.urandom(free - 50_000))
        wait_until(lambda: gone(cluster, "first", first), "the oldest is gone", 30)
        wait_until(lambda: request(cluster.node("origin-1")["admin"] + "/readyz").status == 200, "ready", 30)
        assert not gone(cluster, "second", second)
        cluster.do("stop", "transcoder-1", "origin-1")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def volumes(folder, track):
    return sorted(int(n.split(".")[0]) for n in os.listdir(os.path.join(folder, track)) if re.fullmatch(r"[0-9]+[.]mp4", n))


def test_a_full_disk_costs_a_broadcast_its_oldest_volumes_and_nothing_that_viewers_can_go_back_to(make_cluster, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        cluster = make_cluster(ladder=TINY_LADDER, sets=[f"originD.data_dir={disk}", "originD.min_free_bytes=200000",
                                                         "originD.volume_segments=2", "originD.time_shift_s=4",
                                                         "transcoderd.drain_ms=300"])
        publisher = cluster.publish_test_picture("long", size="320x180")
        session = cluster.wait_playable("long")["session"]
        folder = os.path.join(disk, "long", session)
        wait_until(lambda: volumes(folder, "v180")[-1:] >= [5], "a broadcast with a past")
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(os.urandom(free - 150_000))
        wait_until(lambda: gone(cluster, "long", session), "its beginning is gone", 30)
        last = volumes(folder, "v180")[-1]
        wait_until(lambda: volumes(folder, "v180")[-1] >= last + 4, "the broadcast goes on", 60)
        origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
        end = volumes(folder, "v180")[-1] * 2
        for n in range(end - 4, end):
            assert request(f"{origin}/live/long/{session}/v180/{n}.m4s").status == 200, n
        assert cluster.metric("origin-1", "originD_removed_volumes_total", reason="disk_full") >= 2
        assert cluster.metric("origin-1", "originD_refused_puts_total", status="no_space") == 0
        assert cluster.log("origin-1").count("live sessions lose their oldest volumes") == 1
        assert request(cluster.node("origin-1")["admin"] + "/readyz").status == 200
        publisher.kill()
        (disk / "filler").unlink()
        cluster.do("stop", "transcoder-1")
        wait_until(lambda: f'session={session} stream=long msg="session ended"' in cluster.log("origin-1"), "its end")
        manifest = request(f"{origin}/live/long/{session}/manifest.mpd").text()
        assert set(re.findall(r'startNumber="([0-9]+)"[^>]* media="[^"]*[.]m4s"', manifest)) == {str(volumes(folder, "v180")[0] * 2)}
        assert len({volumes(folder, track)[0] for track in os.listdir(folder) if os.path.isdir(os.path.join(folder, track))}) == 1
        cluster.do("stop", "origin-1")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_full_disk_makes_the_node_unready_and_harms_nothing_stored(make_cluster, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can make a small disk")
    try:
        cluster = make_cluster(ladder=TINY_LADDER, sets=[f"originD.data_dir={disk}", "originD.min_free_bytes=100000",
                                                         "originD.when_full=refuse", "transcoderd.drain_ms=300"])
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
