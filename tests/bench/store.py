#!/usr/bin/env python3
"""What the store costs as it grows: appending, starting with very much in it, seeking into old recordings, filling in a new copy.

Stores are made by tests/tools/make_store.c, at most 10 GB, in BENCH_DIR or build/, and removed at the end. Each figure stands beside what
the same machine does plainly in the same run (write(2), read(2), cp), or beside its aim. Names of parts as arguments: only those.
  --streams N, --live N, --recordings N, --hours N   smaller stores"""
import argparse
import concurrent.futures
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "fault"), os.path.join(TOP, "tests", "system")]

import preload  # noqa: E402  (the path is set above)
from harness import request, wait_until  # noqa: E402
from store_faults import Origin, metric, start_well  # noqa: E402

MAKE_STORE = os.path.join(TOP, "build", "release", "tools", "make_store")
STORE_WRITER = os.path.join(TOP, "build", "release", "tools", "store_writer")
ROOM_BYTES = 10 << 30
CHUNK_BYTES = 40000  # 200 ms of 1.6 Mbit/s
APPEND_MB = 600
FILL_SECONDS, FILL_CHUNK_BYTES = 1800, 20000  # 900 MB
OLD_CHUNK_BYTES = 200
PEERS_S = 12  # in which two origins read each other's list of what is live some times
SETTLE_S = 2  # what a start leaves for later is done by then


def make(*arguments):
    return subprocess.run([MAKE_STORE, *map(str, arguments)], check=True, stdout=subprocess.PIPE).stdout.decode()


def forget(folder):
    """By the kernel: what is read from there comes from the disk."""
    for path, _, names in os.walk(folder):
        for name in names:
            fd = os.open(os.path.join(path, name), os.O_RDONLY)
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def memory_mb(origin, what="VmRSS"):
    with open(f"/proc/{origin.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith(what + ":"))


def processor_s(origin):
    with open(f"/proc/{origin.process.pid}/stat", encoding="ascii") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def tell(what, value, unit, beside=""):
    print(f"{what:46} {value:10.2f} {unit:6} {beside}", flush=True)


def aim(value, most):
    return f"aim {most:g}: {'kept' if value <= most else 'NOT kept'}"


class Bench:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.turns, self.origins = preload.build("loop_turns", folder, os.path.dirname(os.path.abspath(__file__))), []

    def origin(self, name, **settings):
        os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        origin = Origin(os.path.join(self.folder, name), self.turns)
        self.origins.append(origin)
        origin.environment = {"LOOP_TURNS": os.path.join(origin.folder, "turns")}
        origin.settings = {"min_free_bytes": 0, "retention_s": 0, **settings}
        return origin

    def end(self, origin):
        origin.stop()
        shutil.rmtree(origin.folder)

    def kill(self):
        """What a part that failed left."""
        for origin in self.origins:
            if origin.process and origin.process.poll() is None:
                origin.process.kill()
                origin.process.wait()

    def append(self):
        rates = {line.split()[0]: float(line.split()[1])
                 for line in make("append", os.path.join(self.folder, "append"), APPEND_MB, CHUNK_BYTES).splitlines()}
        shutil.rmtree(os.path.join(self.folder, "append"))
        tell("append: write(2) to one file", rates["plain"], "MB/s", f"chunks of {CHUNK_BYTES} bytes, {APPEND_MB} MB, not synced")
        for name, what in (("volume", "volume_append() (CRC, record)"), ("log", "one track (loop, pool, checks)"),
                           ("logs", "seven tracks at once")):
            tell(f"append: {what}", rates[name], "MB/s", f"{rates[name] / rates['plain']:.2f} of write(2)")

    def start(self, origin, what, least_mb, most_mb):
        """Until it is ready, beside the aims."""
        began = time.monotonic()
        start_well(origin)
        seconds, processor = time.monotonic() - began, processor_s(origin)
        time.sleep(SETTLE_S)
        mb = memory_mb(origin) - least_mb
        tell(f"{what}: until ready", seconds, "s", f"{aim(seconds, 2)}; processor time: {processor:.2f} s")
        self.longest_stop(origin, f"{what}: the longest stop of the loop")
        tell(f"{what}: memory beyond an empty origin's", mb, "MB",
             f"{aim(mb, most_mb)}; at most {memory_mb(origin, 'VmHWM') - least_mb:.0f} MB; all {mb + least_mb:.0f} MB")

    def longest_stop(self, origin, what):
        """Of the loop, since it was told last."""
        with open(origin.environment["LOOP_TURNS"], "r+b") as f:
            busy_ms, clock_ms = struct.unpack("2d", f.read(16))
            f.seek(0)
            f.write(bytes(16))
        tell(what, busy_ms, "ms", f"{aim(busy_ms, 20)}; by the clock, with what else this machine did: {clock_ms:.1f} ms")

    def lists(self, origin, what, live, recordings):
        """As a client does that reads the list of streams and then every page of recordings."""
        base, took, told, path = f"http://127.0.0.1:{origin.ports['http_port']}", [], set(), "/api/recordings"

        def get(path):
            began = time.monotonic()
            answer = request(base + path)
            took.append((time.monotonic() - began) * 1000)
            assert answer.status == 200, answer.status
            return answer
        streams = get("/api/streams")
        assert sum(s["state"] != "ended" for s in streams.json()["streams"]) == live
        tell(f"{what}: the list of streams", took.pop(), "ms", f"{len(streams.body) / 1000:.0f} kB")
        while path:
            page = get(path).json()
            told.update(r["session"] for r in page["recordings"])
            path = page.get("next")
        assert len(told) == recordings, f"{len(told)} recordings were told"
        tell(f"{what}: a page of recordings", sum(took) / len(took), "ms", f"mean of {len(took)}, at most {max(took):.1f} ms")
        self.longest_stop(origin, f"{what}: the longest stop for these")

    def names(self, origin, what):
        """As an edge does that begins: all names there are."""
        began = time.monotonic()
        subprocess.run([STORE_WRITER, "--origin", f"127.0.0.1:{origin.ports['fetch_port']}", "--fetch", "/names/0/0"], check=True,
                       stdout=subprocess.DEVNULL)
        tell(f"{what}: a page of names", (time.monotonic() - began) * 1000, "ms", "a process and a connection included")
        self.longest_stop(origin, f"{what}: the longest stop for it")

    def empty(self):
        origin = self.origin("empty")
        start_well(origin)
        mb = memory_mb(origin)
        self.end(origin)
        return mb

    def many(self):
        empty_mb, origin = self.empty(), self.origin("many")
        make("heads", origin.data, self.options.recordings)
        self.start(origin, f"{self.options.recordings} recordings", empty_mb, 100)
        ended = metric(origin, "originD_sessions")
        assert ended == self.options.recordings, f"it found {ended:.0f}"
        self.lists(origin, f"{self.options.recordings} recordings", 0, self.options.recordings)
        self.end(origin)

    def live(self):
        empty_mb, origin = self.empty(), self.origin("live", max_sessions=self.options.streams)
        make("live", origin.data, self.options.streams, self.options.hours)
        self.start(origin, f"{self.options.streams} live, 7 tracks, {self.options.hours} h", empty_mb, 64)
        assert metric(origin, "originD_sessions") == self.options.streams
        self.lists(origin, f"{self.options.streams} live", self.options.streams, 0)
        self.end(origin)

    def peers(self):
        """Two origins with the same live sessions, that nobody writes to: then they compare all of them as often as ever."""
        a, b = (self.origin(name, id=name, max_sessions=self.options.live) for name in "ab")
        for o in (a, b):
            o.settings["peers"] = ",".join(f"127.0.0.1:{o.ports['fetch_port']}" for o in (a, b))
        make("live", a.data, self.options.live, 0, 2)
        subprocess.run(["cp", "-a", "--sparse=always", a.data, b.data], check=True)
        with concurrent.futures.ThreadPoolExecutor() as pool:  # who spawned a process has to outlive it
            list(pool.map(start_well, (a, b)))
            time.sleep(SETTLE_S)
            self.longest_stop(a, f"{self.options.live} live at two origins: the longest stop as they start")
            used = processor_s(a)
            time.sleep(PEERS_S)
            share = 100 * (processor_s(a) - used) / PEERS_S
            self.longest_stop(a, f"{self.options.live} live at two origins: the longest stop in {PEERS_S} s")
            tell(f"{self.options.live} live at two origins: processor", share, "%", aim(share, 25))
            assert metric(a, "originD_behind_sessions") == 0
            self.lists(a, f"{self.options.live} live at two origins", self.options.live, 0)
            self.names(a, f"{self.options.live} live at two origins")
            self.end(b)
            self.end(a)

    def seek(self):
        origin = self.origin("seek")
        session = make("recording", origin.data, self.options.hours * 3600, OLD_CHUNK_BYTES).strip()
        forget(origin.data)
        start_well(origin)
        half, hour = self.options.hours * 1800, 3600

        def get(segment):
            began = time.monotonic()
            answer = request(f"http://127.0.0.1:{origin.ports['http_port']}/live/old/{session}/v720/{segment}.m4s")
            assert answer.status == 200, answer.status
            return (time.monotonic() - began) * 1000

        def plainly(number):
            began = time.monotonic()
            for suffix in ("idx", "mp4"):
                with open(os.path.join(origin.data, "old", session, "v720", f"{number:06}.{suffix}"), "rb") as f:
                    f.read(1000)
            return (time.monotonic() - began) * 1000

        first, other, again, oldest, newest = get(half), get(half + hour), get(half + hour + 1), get(hour // 2), get(2 * half - hour // 2)
        plain = plainly(half // 600 + 3)
        tell("seek: the first GET of a recording", first, "ms",
             f"of {self.options.hours} h; its tracks are read, an index, the segment; {first / plain:.1f} of open and read of two cold files")
        tell("seek: into a volume that nobody asked for", other, "ms", f"{other / plain:.1f} of that")
        tell("seek: in the same volume", again, "ms", f"{again / plain:.1f} of that")
        tell("seek: into the oldest hour", oldest, "ms", f"into the newest: {newest:.2f} ms")
        self.end(origin)

    def rewind(self):
        """Players of HLS that can go back to the beginning of a long broadcast, each asking for all of its playlist, as one does that comes."""
        empty_mb, origin = self.empty(), self.origin("rewind", recording='[{"match": "*", "rewind": "all"}]')
        make("live", origin.data, 1, self.options.hours)
        start_well(origin)
        base = f"http://127.0.0.1:{origin.ports['http_port']}"
        entry = wait_until(lambda: request(base + "/api/streams").json()["streams"], "the stream")[0]
        of_track = [f"{base}/live/{entry['id']}/{entry['session']}/{track['name']}/media" for track in entry["tracks"]]

        def load(suffix):
            began = time.monotonic()
            answers = [request(url + suffix) for url in of_track]
            assert all(a.status == 200 for a in answers), [a.status for a in answers]
            return (time.monotonic() - began) * 1000 / len(answers), len(answers[0].body) / 1e6
        wait_until(lambda: request(of_track[0] + ".m3u8").status == 200, "a playlist")
        self.longest_stop(origin, f"rewind: {self.options.hours} h, until it is told")
        used, rounds = processor_s(origin), 20
        took, mb = [load(".m3u8") for _ in range(rounds)][-1]
        tell("rewind: processor time of a whole playlist", (processor_s(origin) - used) * 1000 / rounds / len(of_track), "ms",
             f"{mb:.2f} MB; {took:.1f} ms for the one who asks; of {len(of_track)} tracks, {rounds} times each")
        self.longest_stop(origin, "rewind: the longest stop of the loop by that")
        used = processor_s(origin)
        took, mb = [load(".skip.m3u8") for _ in range(rounds)][-1]
        tell("rewind: processor time of a delta", (processor_s(origin) - used) * 1000 / rounds / len(of_track), "ms", f"{mb * 1000:.1f} kB")
        self.longest_stop(origin, "rewind: the longest stop of the loop by that")
        tell("rewind: memory beyond an empty origin's", memory_mb(origin) - empty_mb, "MB")
        self.end(origin)

    def fill(self):
        a, b = (self.origin(name, id=name, fill_bytes_s=1 << 40) for name in "ab")
        peers = ",".join(f"127.0.0.1:{o.ports['fetch_port']}" for o in (a, b))
        for o in (a, b):
            o.settings["peers"] = peers
        make("recording", a.data, FILL_SECONDS, FILL_CHUNK_BYTES)
        size = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(a.data) for name in names)
        began = time.monotonic()
        subprocess.run(["cp", "-r", a.data, os.path.join(self.folder, "copied")], check=True)
        plain = size / 1e6 / (time.monotonic() - began)
        shutil.rmtree(os.path.join(self.folder, "copied"))
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor() as pool:  # each waits for the other; who spawned a process has to outlive it
            list(pool.map(start_well, (a, b)))
            wait_until(lambda: metric(b, "originD_stored_bytes") >= metric(a, "originD_stored_bytes") and
                       metric(b, "originD_lacking_sessions") == 0, "a second origin that has all of it", 300)
            rate = size / 1e6 / (time.monotonic() - began)
            self.end(b)
            self.end(a)
        tell("fill: an empty second origin fills in", rate, "MB/s",
             f"{size / 1e6:.0f} MB, checked by CRC; {rate / plain:.2f} of cp ({plain:.0f} MB/s); by default it takes 50 MB/s at most")


PARTS = ["append", "many", "live", "peers", "seek", "rewind", "fill"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--live", type=int, default=1000)
    parser.add_argument("--recordings", type=int, default=100000)
    parser.add_argument("--hours", type=int, default=24)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    folder = tempfile.mkdtemp(prefix="bench-store-", dir=os.environ.get("BENCH_DIR", os.path.join(TOP, "build")))
    bench = Bench(folder, options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was made is removed then too
    try:
        if shutil.disk_usage(folder).free < ROOM_BYTES:
            sys.exit(f"{folder}: less than {ROOM_BYTES >> 30} GB are free")
        for part in options.parts or PARTS:
            getattr(bench, part)()
    finally:
        bench.kill()
        shutil.rmtree(folder)


main()
