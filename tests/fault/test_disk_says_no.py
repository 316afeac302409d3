"""A disk that takes no write any more, for whatever reason: that is told, not once a chunk, and the node says that it is not ready."""
import errno

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
