"""A writer whose every chunk a full disk refuses: the log says that once, not once a chunk."""
import errno

import pytest

import preload
from harness import request, wait_until
from store_faults import Origin


@pytest.mark.bounded
def test_a_full_disk_is_told_once_and_not_with_every_chunk(tmp_path):
    origin = Origin(tmp_path, preload.build("failing_disk", tmp_path))
    assert origin.start(call="pwrite", at=60, how=errno.ENOSPC, on=1)
    try:
        stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", 100)  # it tries for a second, each 20 ms
        assert stored and status == 4
        told = [line for line in origin.log().splitlines() if "no space" in line]
        assert 1 <= len(told) <= 3, f"{len(told)} lines: {told[:5]}"
        ready = f"http://127.0.0.1:{origin.ports['admin_port']}/readyz"
        wait_until(lambda: request(ready).status == 503, "the node says that it stores nothing", 10)
    finally:
        origin.stop()
