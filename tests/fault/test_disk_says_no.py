"""A disk that takes no write any more, for whatever reason: that is told, not once a chunk, and the node says that it is not ready."""
import errno
import json
import os
import subprocess

import pytest

import preload
from harness import request, wait_until
from store_faults import Origin


@pytest.mark.parametrize("call, at, how", [("pwrite", 60, "EIO"), ("pwrite", 60, "EROFS"), ("open", 30, "EMFILE"), ("open", 30, "EACCES"),
                                           ("open", 30, "ENOENT")])
def test_a_disk_that_takes_no_write_is_told_once_and_makes_the_node_unready(tmp_path, call, at, how):
    """Of the last ones the next volume's file cannot be made. Whatever says so: the chunk is good, and its writer tries again."""
    origin = Origin(tmp_path, preload.build("failing_disk", tmp_path))
    origin.settings["volume_segments"] = 2
    assert origin.start(call=call, at=at, how=getattr(errno, how), on=1)
    try:
        stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", 100)  # it tries for a second, each 20 ms
        assert stored and status == 4
        told = [line for line in origin.log().splitlines() if "level=warn" in line or "level=error" in line]
        refused = [line for line in told if "PUT refused" in line]
        assert len(refused) <= 3, f"{len(refused)} lines of one writer in a second"
        ready = f"http://127.0.0.1:{origin.ports['admin_port']}/readyz"
        wait_until(lambda: request(ready).status == 503, "the node says that it stores nothing", 10)
    finally:
        origin.stop()


def ready(origin):
    return request(f"http://127.0.0.1:{origin.ports['admin_port']}/readyz")


def generation(origin):
    """As the disk has it."""
    session = next(path for path, _, names in os.walk(origin.data) if "session.json" in names)
    with open(os.path.join(session, "session.json"), encoding="utf-8") as f:
        return json.loads(f.readline())["generation"]


def claim_in_vain(origin, stream="cam"):
    """As a transcoder does that tries again and again; returns what the log said meanwhile, without what each connection leaves."""
    before = len(origin.log().splitlines())
    stored, status = origin.write("--stream", stream, "--salt", 1, "--to", 4)  # 50 tries, each 20 ms
    assert not stored and status == 4
    return [line for line in origin.log().splitlines()[before:] if "HELLO" not in line]


CALLS = [("open", "EMFILE"), ("open", "EROFS"), ("pwrite", "EIO"), ("fsync", "EIO"), ("rename", "EROFS"), ("mkdir", "ENOSPC")]


@pytest.mark.parametrize("call, how", CALLS)
def test_a_store_whose_disk_fails_between_broadcasts_is_not_ready_and_takes_no_claims(tmp_path, call, how):
    origin = Origin(tmp_path, preload.build("failing_disk", tmp_path))
    fails = tmp_path / "fails"
    origin.environment = {"FAULT_WHILE": str(fails)}
    assert origin.start(call=call, how=getattr(errno, how))
    try:
        stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", 1)
        assert stored and status == 0
        before = generation(origin)
        fails.touch()
        said = claim_in_vain(origin, "new" if call == "mkdir" else "cam")  # a stream that goes on needs no new folder
        wait_until(lambda: ready(origin).status == 503, "the node says that it stores nothing", 15)
        words = ready(origin).text()
        assert how == "ENOSPC" and "no space" in words or os.strerror(getattr(errno, how)) in words, words
        assert len(said) <= 4, said
        said = claim_in_vain(origin) if how != "ENOSPC" else []
        assert len(said) <= 1, said
        fails.unlink()
        wait_until(lambda: ready(origin).status == 200, "the node stores again", 15)
        more, status = origin.write("--stream", "cam", "--salt", 0, "--to", 2)
        assert more and status == 0
        assert generation(origin) <= before + 2, "claims that were refused raised the generation"
    finally:
        origin.stop()


def test_a_file_system_that_becomes_read_only_is_told_once_and_is_ready_again_when_it_is_mended(tmp_path):
    """By a second mount of the folder over itself: while files are open no other way is given to become read-only."""
    origin = Origin(tmp_path, preload.build("failing_disk", tmp_path))
    os.makedirs(origin.data)
    mounts = 0
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", origin.data], capture_output=True).returncode:
        pytest.skip("only root can mount")
    try:
        mounts += 1
        assert origin.start()
        stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", 2)
        assert stored and status == 0
        before = generation(origin)
        subprocess.run(["mount", "--bind", origin.data, origin.data], check=True)
        mounts += 1
        subprocess.run(["mount", "-o", "remount,bind,ro", origin.data], check=True)
        wait_until(lambda: ready(origin).status == 503, "the node says that it stores nothing", 5)
        assert "Read-only file system" in ready(origin).text()
        assert not claim_in_vain(origin)
        assert generation(origin) == before
        assert origin.log().count("writes are refused") == 1
        subprocess.run(["umount", origin.data], check=True)
        mounts -= 1
        wait_until(lambda: ready(origin).status == 200, "the node stores again", 5)
        more, status = origin.write("--stream", "cam", "--salt", 0, "--to", 3)
        assert more and status == 0
        assert origin.log().count("the disk takes writes again") == 1
        assert generation(origin) == before + 1
    finally:
        if origin.process:
            origin.stop()
        for _ in range(mounts):
            subprocess.run(["umount", "-l", origin.data], check=False)
