#!/usr/bin/env python3
"""Live first: how long a live PUT takes while nobody reads, beside the scrubber at its usual rate, and beside 200 clients that
read old recordings as fast as they can.

Recordings are written, forgotten by the kernel, and read by the scrubber, without a pause, or by 200 connections from one address,
none of them slower than its answers. The bound is 10 ms for 99 of 100 PUTs; what is measured says as much about the machine as about
originD, so all runs are told, and what was read meanwhile."""
import asyncio
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "fault"), os.path.join(TOP, "tests", "system")]

import preload  # noqa: E402  (the path is set above)
from harness import run, wait_until  # noqa: E402
from store_faults import WRITER, Origin, metric, start_well  # noqa: E402

CLIENTS, RECORDINGS, SEGMENTS = 200, 8, 30
SALT = 16000  # makes a second of video 400 kB
LIVE_SEGMENTS, PACE_MS = 100, 20
SCRUB_BYTES_S = 5_000_000  # as by default: the recordings last for longer than the PUTs
BOUND_MS = 10


async def client(port, sessions, until, got):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        n = random.randrange(RECORDINGS)
        writer.write(f"GET /live/old{n}/{sessions[n]}/v720/{random.randrange(SEGMENTS)}.m4s HTTP/1.1\r\nHost: o\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        await reader.readexactly(length)
        got[head.split(" ")[1]] = got.get(head.split(" ")[1], 0) + 1
        got["bytes"] = got.get("bytes", 0) + length
    writer.close()


def clients(port, sessions, seconds, out):
    os.nice(19)  # they stand for other machines: what they compute is to cost originD nothing

    async def all_of_them():
        got = {}
        until = time.monotonic() + seconds
        await asyncio.gather(*(client(port, sessions, until, got) for _ in range(CLIENTS)), return_exceptions=True)
        return got
    out.put(asyncio.run(all_of_them()))


def forget(folder):
    os.sync()
    for path, _, names in os.walk(folder):
        for name in names:
            fd = os.open(os.path.join(path, name), os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def puts(origin, stream):
    """Milliseconds of each, sorted."""
    argv = [WRITER, "--origin", f"127.0.0.1:{origin.ports['port']}", "--stream", stream, "--salt", 500, "--to", LIVE_SEGMENTS,
            "--pace-ms", PACE_MS, "--times"]
    out = run(*map(str, argv), timeout=600)
    return sorted(int(line.split()[1]) / 1000 for line in out.stdout.decode().splitlines() if line.startswith("put "))


def part(ms, share):
    return ms[min(len(ms) - 1, int(len(ms) * share))]


def tell(what, ms):
    print(f"{what:28} {len(ms):5} PUTs   p50 {part(ms, .5):7.2f} ms   p99 {part(ms, .99):7.2f} ms   max {ms[-1]:7.2f} ms")


def beside_scrubber(origin):
    """The PUTs, and how many bytes a second the scrubber read meanwhile."""
    origin.settings["scrub_bytes_s"] = SCRUB_BYTES_S
    start_well(origin)
    wait_until(lambda: metric(origin, "originD_scrubbed_bytes_total") > 0, "a scrubber that reads")
    before, began = metric(origin, "originD_scrubbed_bytes_total"), time.monotonic()
    ms = puts(origin, "scrubbed")
    rate = (metric(origin, "originD_scrubbed_bytes_total") - before) / (time.monotonic() - began)
    origin.stop()
    origin.settings["scrub_bytes_s"] = 0
    return ms, rate


def compare(ms, alone):
    print(f"  p99 to that of nobody      {part(ms, .99) / part(alone, .99):5.1f}   "
          f"bound of {BOUND_MS} ms: {'kept' if part(ms, .99) <= BOUND_MS else 'NOT kept'}")


def main():
    folder = tempfile.mkdtemp(prefix="bench-cold-", dir=os.environ.get("BENCH_DIR"))
    origin = Origin(folder, preload.build("failing_disk", folder))
    origin.settings["sync"] = "none"  # the default: with another one it is the disk's own time that is measured
    try:
        start_well(origin)
        sessions = []
        for n in range(RECORDINGS):
            stored, status = origin.write("--stream", f"old{n}", "--salt", SALT, "--to", SEGMENTS, "--end")
            assert status == 0
            sessions.append(stored[0][0])
        origin.stop()
        forget(origin.data)
        start_well(origin)
        alone = puts(origin, "alone")
        origin.stop()
        forget(origin.data)
        scrubbed, scrub_rate = beside_scrubber(origin)
        forget(origin.data)
        start_well(origin)
        out = multiprocessing.Queue()
        seconds = LIVE_SEGMENTS * 6 * PACE_MS / 1000 + 3
        began = time.monotonic()
        readers = multiprocessing.Process(target=clients, args=(origin.ports["http_port"], sessions, seconds, out))
        readers.start()
        time.sleep(1)
        beside = puts(origin, "beside")
        got = out.get()
        readers.join()
        took = time.monotonic() - began
        tell("nobody reads", alone)
        tell("beside the scrubber", scrubbed)
        compare(scrubbed, alone)
        print(f"  scrubbed                   {scrub_rate / 1e6:5.2f} MB/s, of {SCRUB_BYTES_S / 1e6:g} that it may")
        tell(f"beside {CLIENTS} clients", beside)
        compare(beside, alone)
        size = got.pop("bytes", 0)
        print(f"  old reads                  {sum(got.values()) / took:5.0f} a second, {size / took / 1e6:.0f} MB/s, by status {got}")
        origin.stop()
    finally:
        if origin.process.poll() is None:
            origin.process.kill()
        shutil.rmtree(folder)


main()
