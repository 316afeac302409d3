"""700 requests of one address wait at an origin for the next segment: none is refused, and all get it."""
import os
import socket

import pytest

from harness import is_within
from store_faults import Origin, metric, start_well

WAITING = 700


def read_answer(s):
    data = b""
    while piece := s.recv(1 << 16):
        data += piece
    return int(data.split(b" ", 2)[1])


def begin(origin, session, segment):
    """So many that wait at the same time; None: on a busy machine the first had waited for long enough before the last came."""
    ask = f"GET /live/cam/{session}/v720/{segment}.m4s HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n\r\n".encode()
    waiting = []
    for _ in range(WAITING):
        waiting.append(socket.create_connection(("127.0.0.1", origin.ports["http_port"]), timeout=30))
        waiting[-1].sendall(ask)
    if is_within(lambda: metric(origin, "originD_fetches_waiting") == WAITING, 3):
        return waiting
    for s in waiting:
        s.close()
    return None


@pytest.mark.bounded
def test_seven_hundred_waits_of_one_address_refuse_nobody(tmp_path):
    if os.environ.get("FRESHET_BIN"):
        pytest.skip("it starts an originD of its own")
    origin = Origin(tmp_path, "")
    start_well(origin)
    try:
        stored, status = origin.write("--stream", "cam", "--salt", 1, "--to", 2)
        assert status == 0
        waiting = next(filter(None, (begin(origin, stored[0][0], 2) for _ in range(10))))
        _, status = origin.write("--stream", "cam", "--salt", 1, "--from", 2, "--to", 3)
        assert status == 0
        statuses = [read_answer(s) for s in waiting]
        assert statuses.count(200) == WAITING, {status: statuses.count(status) for status in set(statuses)}
        assert metric(origin, "originD_refused_fetches_total") == 0
    finally:
        origin.stop()
