"""What the attacks of this folder share: a stream that must not notice them, and what is measured of a node meanwhile.

A test has the fixtures `cluster` (one of each daemon; a file's SETS, LADDER and TIERS, if it has them, say otherwise), `healthy`, `table`
and `load`:

    def test_half_messages_cost_little(cluster, healthy, table, load):
        before = rss(pid(cluster, "ingest-1"))
        with healthy.watched():
            ...                                     # the attack, of load(10, 150) connections: the short form, and the long one
            most = rss(pid(cluster, "ingest-1")) - before
        table.row("150 connections with half a message each", "32 MiB", mib(most))
        assert most <= 32 << 20

A test takes the load from load(); with --abuse-long it is the second. What is longer than some seconds in any form is marked
`long`, and then only run with --abuse-long."""
import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import sys

from harness import process_state, spawn

HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZED = bool(os.environ.get("FRESHET_BIN"))  # then all is slower, and memory is another; what is counted is as ever
WAIT_MS = 500 * (8 if SANITIZED else 1)  # beyond what is usual: so late may a chunk of the healthy stream be
HOPS = 4  # broadcaster to proxy, transcoder, origin, edge and viewer: each may be run late
# A machine that gives others so much of itself is late by itself: then so many times WAIT_MS, and more as less of it is left for us. An
# encoder that has a tenth of what it needs falls behind without a bound; that no frame is missing holds there too.
BUSY_SHARE, BUSY_TIMES, LEFT_LEAST = 0.3, 10, 0.02
AFTER_S = 1  # what an attack left behind is looked at too
LEFT_S = 60  # a source with less to go is begun anew before an attack
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


# ---- what a node has and says

def pid(cluster, name):
    return cluster.node(name)["pid"]


def _status(of, field):
    with open(f"/proc/{of}/status", encoding="ascii") as f:
        return next(line.split()[1] for line in f if line.startswith(field + ":"))


def rss(of):
    """Bytes in memory."""
    return int(_status(of, "VmRSS")) << 10


def most_rss(of):
    """The most there ever were, since forget_most_rss()."""
    return int(_status(of, "VmHWM")) << 10


def forget_most_rss(of):
    with open(f"/proc/{of}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def cpu(of):
    """Seconds of a processor it has used."""
    with open(f"/proc/{of}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def fds(of):
    return len(os.listdir(f"/proc/{of}/fd"))


def threads(of):
    return int(_status(of, "Threads"))


def metric(cluster, node, name, **labels):
    return cluster.metric(node, name, **labels)


def lines(cluster, node, *having):
    """Of its log, those that have all these words."""
    return [line for line in cluster.log(node).splitlines() if all(word in line for word in having)]


class Said:
    """with Said(cluster, "ingest-1") as said: … – said.lines(*having): what the node has written since."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node

    def __enter__(self):
        self.at = len(self.cluster.log(self.node))
        return self

    def __exit__(self, *_):
        pass

    def lines(self, *having):
        return [line for line in self.cluster.log(self.node)[self.at:].splitlines() if all(word in line for word in having)]


def mib(bytes_):
    return f"{bytes_ / (1 << 20):.1f} MiB"


def _parents():
    """{pid: its parent's} of all processes"""
    out = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as f:
                out[int(entry)] = int(f.read().rpartition(")")[2].split()[1])
    return out


def _is_ours(process, parents, ours):
    while process > 1 and process not in ours:
        process = parents.get(process, 0)
    return process in ours


class Others:
    """What share of all processors went to what is neither of the cluster nor of this test."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.began = self._seen()

    def _seen(self):
        """(ticks that were used, all ticks, seconds that were used by us)"""
        with open("/proc/stat", encoding="ascii") as f:
            fields = [int(n) for n in f.readline().split()[1:9]]
        parents, ours = _parents(), {os.getpid(), *(n["pid"] for n in self.cluster.nodes().values())}
        used = os.times().children_user + os.times().children_system
        for process in parents:
            if _is_ours(process, parents, ours):
                with contextlib.suppress(OSError):
                    used += cpu(process)
        return sum(fields) - fields[3] - fields[4], sum(fields), used

    def share(self):
        (ran, all_, used), (ran_before, all_before, used_before) = self._seen(), self.began
        took = max(all_ - all_before, 1) * TICK_S
        return max(0, (ran - ran_before) * TICK_S - (used - used_before)) / took


def allowed_ms(wait_ms, seen):
    """How late that may come beside an attack which on a machine that does nothing else comes within wait_ms. seen: what watched() gave."""
    times = BUSY_TIMES / max(1 - seen["others"], LEFT_LEAST) if seen["others"] > BUSY_SHARE else 1
    return times * wait_ms + HOPS * seen["lag_ms"]


# ---- attackers

def aside(function, *arguments):
    """Calls it in a process of its own, which gives way to the daemons' as an attacker of another machine does, and ends with this
    one. join() or kill() it."""
    def child():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        os.nice(10)
        function(*arguments)
    process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
    process.start()
    return process


@contextlib.contextmanager
def attackers(count, function, *arguments):
    """So many of them while the block runs, each called with its number in front of arguments; then they are killed."""
    processes = [aside(function, n, *arguments) for n in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


# ---- the stream that must not notice

class Healthy:
    """watched(): the stream beside an attack. It goes on from one test to the next; begun anew when its source is nearly over, and
    after it was hurt."""

    def __init__(self, cluster, source):
        self.cluster, self.source = cluster, source
        self.process, self.count = None, 0

    def _begin(self):
        self.end()
        self.count += 1
        log = open(os.path.join(self.cluster.dir, f"witness-{self.count}.txt"), "wb")
        self.process = spawn([sys.executable, os.path.join(HERE, "witness.py"), self.cluster.dir, f"healthy{self.count}", self.source],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.stream = self._read()["ready"]

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            with open(os.path.join(self.cluster.dir, f"witness-{self.count}.txt"), encoding="utf-8", errors="replace") as f:
                raise AssertionError(f"the witness ended:\n{f.read()[-2000:]}")
        answer = json.loads(line)
        assert "failed" not in answer, answer["failed"]
        return answer

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self._read()

    def running(self):
        """With enough of its source to go. Begins what has to be begun; done by watched()."""
        if not self.process or self.process.poll() is not None or self.ask("mark")["left_s"] < LEFT_S:
            self._begin()

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextlib.contextmanager
    def watched(self, table, test, wait_ms=WAIT_MS, killed=()):
        self.running()
        pids = {name: node["pid"] for name, node in self.cluster.nodes().items() if name not in killed}
        begin, others = self.ask("mark")["media_s"], Others(self.cluster)
        seen = {}
        yield seen
        seen.update(self.ask("judge", begin, self.ask("mark")["media_s"] + AFTER_S))
        seen["others"] = round(others.share(), 2)
        bound_ms = allowed_ms(wait_ms, seen)
        told = f"{seen['wait_ms']} ms, {len(seen['missing'])} of {seen['frames']} missing"
        if seen["others"] > BUSY_SHARE:
            told += f" (others took {seen['others']:.0%} of this machine)"
        print(f"the healthy stream: {told}; {seen}")
        table.row(f"{test}: the stream beside", f"{wait_ms} ms, 0 missing", told)
        hurt = seen["missing"] or seen["wait_ms"] > bound_ms or seen["frames"] == 0
        if hurt:
            self.end()
        assert not seen["missing"], f"frames are missing: {seen}"
        assert seen["wait_ms"] <= bound_ms, f"a chunk came {seen['wait_ms']} ms later than usual, allowed: {bound_ms} ms; {seen}"
        for name, was in pids.items():
            assert process_state({**self.cluster.node(name), "pid": was}), f"{name} has died"


class Watching:
    """What a test sees of Healthy."""

    def __init__(self, healthy, table, test):
        self._healthy, self._table, self._test = healthy, table, test

    def watched(self, **options):
        """Runs the block, then asserts that no frame is missing of what was sent meanwhile and that no chunk came more than 500 ms later
        than usual, and that no node has died, but for those that the block kills. As a value: a dict that afterwards has wait_ms,
        lag_ms, others, frames, missing, trouble."""
        return self._healthy.watched(self._table, self._test, **options)

    def start(self):
        """Before a block that is not to wait for the stream's begin."""
        self._healthy.running()
        return self._healthy.stream
