"""One originD whose disk fails at a chosen call (failing_disk.c), a writer that knows what was acknowledged, and the judge: whether
all of that is there when the disk is well again.

A case takes a second, most of which it waits, so SIDE_BY_SIDE of them run at a time.

As a program: tests/fault/store_faults.py WHEN CALL K HOW [once|on] repeats one case and says what became of it; WHEN CALL some N is
N cases of that call, from all over; all [SIDE_BY_SIDE] is every case, with a line for each call; without arguments it tells how many
calls there are."""
import contextlib
import errno
import itertools
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))

import preload  # noqa: E402  (the path is set above)
from harness import TOP, request, reserve_port, run, spawn  # noqa: E402

WRITER = os.path.join(TOP, "build", "release", "tools", "store_writer")
BIN = os.path.join(TOP, "bin")
START_S, STOP_S = 20, 20

# What each call may say. A reading call that fails says nothing of the file.
HOWS = {
    "open": ["EIO", "ENOSPC", "EMFILE", "EROFS"],
    "opendir": ["EIO", "EMFILE"],
    "readdir": ["EIO"],
    "read": ["EIO"],
    "pread": ["EIO"],
    "write": ["EIO", "ENOSPC"],
    "pwrite": ["EIO", "ENOSPC", "kill"],
    "fsync": ["EIO", "ENOSPC", "kill"],
    "fdatasync": ["EIO", "ENOSPC", "kill"],
    "ftruncate": ["EIO", "EROFS", "kill"],
    "rename": ["EIO", "ENOSPC", "EROFS", "kill"],
    "link": ["EIO", "ENOSPC", "EROFS", "kill"],
    "unlink": ["EIO", "EROFS", "kill"],
    "rmdir": ["EIO", "kill"],
    "mkdir": ["EIO", "ENOSPC", "EROFS", "kill"],
}
KILLS_TOO = ["open"]
for _call in KILLS_TOO:
    HOWS[_call].append("kill")


SIDE_BY_SIDE = 6
FILES_TRIES = 20  # a store that saves and saves gives a file another name in few of them

# Calls of the C library that change what is on a disk: of those that originD makes the library has to know every one.
CHANGES = set("""copy_file_range creat dprintf fallocate fdatasync fsync ftruncate link linkat mkdir mkdirat mkostemp mkstemp open open64
    openat openat64 posix_fallocate pwrite pwrite64 pwritev pwritev2 rename renameat renameat2 rmdir sendfile splice symlink symlinkat
    sync_file_range syncfs truncate unlink unlinkat write writev""".split())

# After one of these that failed all is served again when the disk is well: there was nothing to set aside.
READING = {"open", "opendir", "readdir", "read", "pread"}


class Lost(AssertionError):
    pass


class DidNotCome(AssertionError):
    """The call that was to fail was not made: the case shows nothing."""


def symbols(path, *options):
    return {line.split()[-1].split("@")[0] for line in run("nm", "-D", *options, path).stdout.decode().splitlines()}


def reserve_ports():
    return {name: reserve_port() for name in ("port", "fetch_port", "http_port", "admin_port")}


class Origin:
    """originD on a folder, started again and again."""

    def __init__(self, folder, library, ports=None):
        self.folder, self.library = str(folder), library
        self.data = os.path.join(self.folder, "data")
        self.ports = ports or reserve_ports()
        self.log_path, self.counts_path = os.path.join(self.folder, "log"), os.path.join(self.folder, "counts")
        self.came_path = os.path.join(self.folder, "came")
        self.process, self.environment = None, {}
        # That a full disk costs the oldest recordings is retention's doing, not a loss: here nothing may go. And the scrubber reads
        # when it comes to it: which call is the k-th is to be the same each time.
        self.settings = {"sync": "segment", "min_free_bytes": 0, "when_full": "refuse", "scrub_bytes_s": 0}

    def start(self, **fault):
        """True: it is ready. False: it ended, or is not ready: for which a fault must be the reason."""
        settings = {**self.ports, "data_dir": self.data, "bind": "127.0.0.1", **self.settings}
        argv = [os.path.join(BIN, "originD")]
        for name, value in settings.items():
            argv += ["--set", f"{name}={value}"]
        environment = {**os.environ, "LD_PRELOAD": self.library, "FAULT_BELOW": self.data, "FAULT_COUNTS": self.counts_path, "FAULT_CAME": self.came_path,
                       **self.environment}
        environment.update({f"FAULT_{name.upper()}": str(value) for name, value in fault.items()})
        with open(self.log_path, "ab") as log:
            self.process = spawn(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if request(f"http://127.0.0.1:{self.ports['admin_port']}/readyz", timeout=2).status == 200:
                    return True
            except OSError:
                pass
            if fault and time.monotonic() > until - START_S + 2 and "writes are refused" in self.log():
                return True
            time.sleep(0.01)
        return False

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Lost("it does not end") from None

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def counts(self):
        with open(self.counts_path, encoding="ascii") as f:
            return {name: int(n) for name, n in (line.split() for line in f)}

    def came(self):
        """Whether the call that was to fail was made."""
        return os.path.exists(self.came_path)

    def write(self, *arguments):
        """What was acknowledged, and the writer's exit status."""
        done = run(WRITER, "--origin", f"127.0.0.1:{self.ports['port']}", *map(str, arguments), check=False)
        stored = [line.split()[1:] for line in done.stdout.decode().splitlines() if line.startswith("stored ") and line.count(" ") == 5]
        return [(s, t, int(n), int(k), bytes.fromhex(b)) for s, t, n, k, b in stored], done.returncode

    def fetch(self, places, stream="cam"):
        """[(status, bytes)] of segments; fewer when it died meanwhile."""
        keys = [f"/live/{stream}/{session}/{track}/{segment}.m4s" for session, track, segment in places]
        done = run(WRITER, "--origin", f"127.0.0.1:{self.ports['fetch_port']}", "--fetch", *keys, check=False)
        lines = [line.split(" ") for line in done.stdout.decode().splitlines()]
        return [(int(line[0]), bytes.fromhex(line[1])) for line in lines if len(line) == 2]

    def files(self):
        """{name: its bytes}. From the beginning again when one gets another name meanwhile: it would be missed under both."""
        for _ in range(FILES_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self.read_files()
        return self.read_files()

    def read_files(self):
        out = {}
        for folder, _, names in os.walk(self.data):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    out[os.path.relpath(os.path.join(folder, name), self.data)] = f.read()
        return out


def metric(origin, name):
    text = request(f"http://127.0.0.1:{origin.ports['admin_port']}/metrics").text()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


def record(origin):
    """One session that ends, and one of the same stream that stays live."""
    stored, status = origin.write("--stream", "cam", "--salt", 0, "--to", 4, "--end")
    if status == 0:
        more, _ = origin.write("--stream", "cam", "--salt", 1, "--to", 2)
        stored += more
    return stored


def judge(origin, stored):
    """Each acknowledged chunk is served; or is still in some file, and the log says that something was set aside. Returns how many
    are of the second kind."""
    segments, aside = {}, 0
    for session, track, segment, _, data in stored:
        segments.setdefault((session, track, segment), []).append(data)
    files, log = list(origin.files().values()), origin.log()
    told = re.search(r"set aside|kept aside|left out|cannot be read|cannot read", log)
    answers = origin.fetch(segments)
    if len(answers) < len(segments):
        raise Lost("it does not answer FETCH")
    for ((session, track, segment), chunks), (status, body) in zip(segments.items(), answers):
        if status == 0 and b"".join(chunks) in body:
            continue
        lost = sum(not any(c in f for f in files) for c in chunks)
        if lost:
            raise Lost(f"{session}/{track}/{segment}: {lost} of {len(chunks)} chunks are in no file any more (FETCH: {status})")
        if not told:
            raise Lost(f"{session}/{track}/{segment}: FETCH says {status}, the bytes are on the disk, and the log says nothing")
        aside += len(chunks)
    return aside


def start_well(origin):
    if not origin.start():
        raise Lost("it does not start on a disk that is well")


def see_it_well(origin, stored):
    """With a disk that works: all is there, the next writer goes on, and after one more start all of that is there."""
    start_well(origin)
    aside = judge(origin, stored)
    more, status = origin.write("--stream", "cam", "--salt", 1, "--from", 6, "--to", 7)
    if status != 0:
        raise Lost(f"nobody can write any more: the writer's status is {status}")
    origin.stop()
    start_well(origin)
    judge(origin, stored + more)
    origin.stop()
    return aside


def fault_of(call, k, how, on):
    return {"call": call, "at": k, "how": how if how == "kill" else getattr(errno, how), "on": int(on)}


def kill(origin):
    if origin.process.poll() is None:
        origin.process.kill()
        origin.process.wait()


def while_it_stores(origin, fault):
    """The disk fails while an empty origin starts and a writer writes."""
    stored = record(origin) if origin.start(**fault) else []
    origin.stop()
    return stored


class Template:
    """A store as it is after it was killed in mid-write, with a recording and a live session: to be copied for each case."""

    def __init__(self, folder, library, writes):
        origin = Origin(folder, library)
        origin.start(call="pwrite", at=writes - TORN_BEFORE_END, how="kill", on=0)
        self.stored = record(origin)
        origin.process.wait()
        self.data = origin.data
        assert len({s[0] for s in self.stored}) == 2, "it was not killed in the second session"


class Damaged:
    """The same, and a chunk in the middle of the live session is not what was written: it is lost, nothing else may be."""

    def __init__(self, folder, template):
        self.data = os.path.join(folder, "data")
        shutil.copytree(template.data, self.data)
        live = template.stored[-1][0]
        hurt = next(s for s in template.stored if s[0] == live and s[1] == "v720" and s[2:4] == (0, 2))
        self.stored = [s for s in template.stored if s != hurt]
        with open(os.path.join(self.data, "cam", live, "v720", "000000.mp4"), "r+b") as f:
            f.seek(f.read().index(hurt[4]) + len(hurt[4]) - 1)
            f.write(bytes([hurt[4][-1] ^ 1]))


def while_it_starts(origin, fault, template, ends=False):
    """The disk fails while an origin starts that has something, is asked for all of it, and gets more; or whose live session just
    ends: what it holds then is no reason to remove it."""
    shutil.copytree(template.data, origin.data)
    stored = list(template.stored)
    if origin.start(**fault):
        origin.fetch({s[:3] for s in stored})
        more, _ = origin.write("--stream", "cam", "--salt", 1, "--from", 3, "--to", 3 if ends else 5, *["--end"] * ends)
        stored += more
        time.sleep(TICKS_S * ends)
    origin.stop()
    return stored


TORN_BEFORE_END = 10  # writes: inside the second session's last segment, which nobody writes to again
WHENS = ["stores", "starts", "ends", "mends"]
TICKS_S = 0.6  # what an origin does from time to time, it has done by then
GOOD_RUNS = 4  # one in which a save more or less is needed is no rarity: a call that each of them had comes again
TRIES = 4


class Bench:
    """Counts the calls of good runs of each kind, and runs cases."""

    def __init__(self, folder, side_by_side=SIDE_BY_SIDE):
        self.folder = str(folder)
        self.library = preload.build("failing_disk", folder)
        self.numbers = itertools.count(1)
        self.pool = ThreadPoolExecutor(side_by_side)
        self.ports = queue.SimpleQueue()  # of which each case under way has a set
        for _ in range(side_by_side + 1):
            self.ports.put(reserve_ports())
        first, _ = self.case("stores", {})
        self.template = Template(self.place(), self.library, first["pwrite"])
        self.damaged = Damaged(self.place(), self.template)
        runs = {when: list(self.pool.map(lambda _, when=when: self.case(when, {})[0], range(GOOD_RUNS))) for when in WHENS}
        self.counts = {when: {call: min(r[call] for r in runs[when]) for call in HOWS} for when in WHENS}

    def place(self):
        path = os.path.join(self.folder, f"case-{next(self.numbers)}")
        os.makedirs(path)
        return path

    def case(self, when, fault):
        """The calls of a good run, and how many acknowledged chunks are only in a file that was set aside."""
        place, ports = self.place(), self.ports.get()
        origin = Origin(place, self.library, ports)
        try:
            if when == "stores":
                stored = while_it_stores(origin, fault)
            else:
                stored = while_it_starts(origin, fault, self.damaged if when == "mends" else self.template, when == "ends")
            came, counts = origin.came(), {} if fault else origin.counts()
            aside = see_it_well(origin, stored)
            if aside and when != "mends" and fault.get("call") in READING:
                raise Lost(f"{aside} acknowledged chunks are not served, though nothing but a reading call failed")
        finally:
            kill(origin)
            self.ports.put(ports)
        if fault and not came:
            raise DidNotCome("the call that was to fail was not made")
        shutil.rmtree(place)  # of a case that failed it stays
        return counts, aside

    def all(self, when, call):
        """(k, how, on) of every case."""
        return [(k, how, on) for k in range(1, self.counts[when].get(call, 0) + 1) for how in HOWS[call]
                for on in ([False] if how == "kill" else [False, True])]

    def fails(self, when, call, case):
        """What went wrong, as a line; None: nothing."""
        k, how, on = case
        for left in reversed(range(TRIES)):
            try:
                self.case(when, fault_of(call, k, how, on))
                return None
            except DidNotCome as e:
                why = e
                if left:
                    continue
            except (Lost, AssertionError, OSError, subprocess.SubprocessError) as e:
                why = e
            return f"{when} {call} {k} {how} {'on' if on else 'once'}: {why}"
        return None

    def run(self, when, call, cases):
        """What went wrong: one line a case."""
        return [line for line in self.pool.map(lambda c: self.fails(when, call, c), cases) if line]


def spread(cases, n):
    """n of them, from all over."""
    return [cases[i * len(cases) // n] for i in range(min(n, len(cases)))]


def run_all(bench):
    """With a line for each call as soon as it is known."""
    wrong, count, began = [], 0, time.monotonic()
    for when, call in itertools.product(WHENS, HOWS):
        cases, at = bench.all(when, call), time.monotonic()
        bad = bench.run(when, call, cases)
        wrong, count = wrong + bad, count + len(cases)
        print(f"{when} {call}: {len(cases)} cases, {len(bad)} wrong, {time.monotonic() - at:.0f} s", *bad, sep="\n  ", flush=True)
    print(f"{count} cases in {time.monotonic() - began:.0f} s")
    return count, wrong


def main():
    folder = tempfile.mkdtemp(prefix="store-faults-")
    arguments = sys.argv[1:]
    everything = arguments[:1] == ["all"]
    bench = Bench(folder, int(arguments[1]) if everything and len(arguments) > 1 else SIDE_BY_SIDE)
    if not arguments:
        for when in WHENS:
            print(when, bench.counts[when], sum(len(bench.all(when, call)) for call in HOWS), "cases")
        return 0
    if everything:
        count, wrong = run_all(bench)
    else:
        when, call, k, how = arguments[:4]
        cases = spread(bench.all(when, call), int(how)) if k == "some" else [(int(k), how, arguments[4:] == ["on"])]
        count, wrong = len(cases), bench.run(when, call, cases)
    print("\n".join(wrong) or "well", f"\n{count} cases, {len(wrong)} wrong; {folder}")
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
