"""Old recordings on a disk that takes 200 ms for each read, and many who ask for them: live chunks are stored and served meanwhile."""
import http.client
import threading

import pytest

import preload
from harness import wait_until
from store_faults import Origin, metric, start_well

READERS = 100
ADDRESSES = 8  # of one, only two may read at a time: what keeps them all from the writers' threads is to be seen here
SEGMENTS = 40


class Readers:
    """So many clients that ask one after the other for what there is of an old session, each by a connection of its own."""

    def __init__(self, origin, session):
        self.origin, self.session = origin, session
        self.over, self.statuses, self.lock = threading.Event(), [], threading.Lock()
        self.threads = [threading.Thread(target=self.read, args=(i,), daemon=True) for i in range(READERS)]
        for thread in self.threads:
            thread.start()

    def read(self, first):
        address = f"127.0.0.{2 + first % ADDRESSES}"
        connection = http.client.HTTPConnection("127.0.0.1", self.origin.ports["http_port"], timeout=60, source_address=(address, 0))
        n = first
        while not self.over.is_set():
            n += 1
            try:
                connection.request("GET", f"/live/cam/{self.session}/v720/{n % SEGMENTS}.m4s")
                answer = connection.getresponse()
                answer.read()
            except (http.client.HTTPException, OSError):
                return
            with self.lock:
                self.statuses.append(answer.status)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


@pytest.fixture
def origin(tmp_path):
    control = tmp_path / "control"
    control.write_text("nothing 0\n")
    made = Origin(tmp_path, preload.build("slow_disk", tmp_path))
    made.environment["SLOW_READS"] = str(control)
    made.slow_reads = lambda word, ms: control.write_text(f"{word} {ms}\n")
    yield made
    made.stop()


@pytest.mark.bounded
def test_live_chunks_are_stored_and_served_while_many_read_old_ones(origin):
    start_well(origin)
    stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", SEGMENTS, "--end")
    assert status == 0
    old = stored[0][0]
    origin.stop()
    start_well(origin)  # nothing of the recording is in memory now …
    assert origin.fetch([(old, "v720", 0)])[0][0] == 0  # … but where its segments are
    origin.slow_reads(old, 200)
    readers = Readers(origin, old)
    try:
        wait_until(lambda: metric(origin, "originD_reads_waiting") > READERS // 2, "old reads stand in line", 60)
        before = len(readers.statuses)
        live, status = origin.write("--stream", "live", "--salt", 1, "--to", 20)
        assert status == 0 and len(live) == 20 * 6
        answers = origin.fetch({place[:3] for place in live}, stream="live")
        assert len(answers) == 40 and all(status == 0 for status, _ in answers)
        meanwhile = len(readers.statuses) - before
        # Each chunk behind one slow read would be 120 of them, and the FETCHes 40 more.
        assert meanwhile < 100, f"{meanwhile} old reads were over before"
        assert metric(origin, "originD_reads_waiting") > 0
    finally:
        origin.slow_reads("nothing", 0)
        readers.end()
    assert set(readers.statuses) <= {200, 503} and 200 in readers.statuses
