"""The admin port answers a probe whatever else is connected to it, and when no descriptor is left."""
import contextlib
import os
import resource
import socket
import subprocess
import threading
import time
from urllib.parse import urlsplit

import pytest

from abuse import cpu, pid
from harness import request, wait_until

NODES = ["ingest-1", "transcoder-1", "origin-1", "edge-1"]
BUSY = 0.1  # of a processor: what a daemon with one small stream may take more than before
PROBE_S = 3  # a probe's patience: deploy/docker-compose.yml's
BACKLOG = 4096  # common/daemon/descriptors.h; no more than net.core.somaxconn


def place(cluster, node):
    url = urlsplit(cluster.node(node)["admin"])
    return url.hostname, url.port


def probe(cluster, node, path="/healthz"):
    """Seconds it took; None: no good answer."""
    began = time.monotonic()
    try:
        good = request(cluster.node(node)["admin"] + path, timeout=PROBE_S).status == 200
    except OSError:
        return None
    return time.monotonic() - began if good else None


def probes(cluster, node, seconds):
    """(how many were answered, of how many, the longest an answer took)"""
    end, answers = time.monotonic() + seconds, []
    while time.monotonic() < end:
        answers.append(probe(cluster, node))
        time.sleep(0.1)
    good = [a for a in answers if a is not None]
    return len(good), len(answers), max(good, default=PROBE_S)


class Load:
    """The share of a processor that a process takes while the block runs."""

    def __init__(self, of):
        self.of = of

    def __enter__(self):
        self.began, self.had = time.monotonic(), cpu(self.of)
        return self

    def __exit__(self, *_):
        self.share = (cpu(self.of) - self.had) / (time.monotonic() - self.began)


@contextlib.contextmanager
def no_descriptor_left(of):
    """As when whatever else the process does has taken all: there may be no more than are in use from 0 on."""
    before, used = resource.prlimit(of, resource.RLIMIT_NOFILE), set(map(int, os.listdir(f"/proc/{of}/fd")))
    resource.prlimit(of, resource.RLIMIT_NOFILE, (next(n for n in range(before[1]) if n not in used), before[1]))
    try:
        yield
    finally:
        resource.prlimit(of, resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("node", NODES)
def test_out_of_descriptors_it_answers_and_does_not_spin(cluster, healthy, table, node, load):
    healthy.start()
    of = pid(cluster, node)
    with Load(of) as quiet:
        time.sleep(1)  # a second of its usual work
    with healthy.watched(), no_descriptor_left(of):
        with Load(of) as busy:
            good, count, _ = probes(cluster, node, load(2, 20))
    wait_until(lambda: probe(cluster, node), "it answers again")
    more = busy.share - quiet.share
    table.row(f"{node} without a descriptor: probes answered; processor", f"{count} of {count}; {BUSY:.0%} more",
              f"{good} of {count}; {more:.0%} more")
    assert good == count
    assert more <= BUSY


class Crowd:
    """So many connections that owe a request: silent ones, or such as send another byte of it now and then. One that was closed comes
    again."""
    REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 4000

    def __init__(self, where, count, trickle_s=None):
        self.where, self.count, self.trickle_s = where, count, trickle_s
        self.over = threading.Event()
        self.sockets = [self.connect() for _ in range(count)]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        s = socket.create_connection(self.where, timeout=5)
        s.setblocking(False)
        return s

    def run(self):
        at = 0
        while not self.over.wait(self.trickle_s or 0.2):
            at += 1
            for i, s in enumerate(self.sockets):
                try:
                    if self.trickle_s:
                        s.send(self.REQUEST[at:at + 1])
                    elif s.recv(1) == b"":
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    s.close()
                    self.sockets[i] = self.connect()

    def end(self):
        self.over.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


@pytest.mark.parametrize("node", NODES)
def test_who_comes_with_a_crowd_is_not_left_at_the_door(cluster, table, node):
    """A connection that finds the queue of a port full is dropped by the kernel, and asks again after a second."""
    listening = subprocess.run(["ss", "-Hltnp"], check=True, capture_output=True, text=True).stdout
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as f:
        bound = min(BACKLOG, int(f.read()))
    queues = [int(line.split()[2]) for line in listening.splitlines() if f"pid={pid(cluster, node)}," in line]
    table.row(f"{node}: connections that may wait at a port to be accepted", f"at least {bound}", min(queues))
    assert min(queues) >= bound


@pytest.mark.parametrize("how, trickle_s", [("silent", None), ("trickling", 0.3)])
@pytest.mark.parametrize("count", [64, 300])
def test_a_crowd_keeps_no_probe_out(cluster, healthy, table, how, trickle_s, count, load):
    node = "edge-1"
    with healthy.watched():
        crowd = Crowd(place(cluster, node), count, trickle_s)
        try:
            with Load(pid(cluster, node)) as busy:
                good, asked, worst = probes(cluster, node, load(2, 30))
        finally:
            crowd.end()
    table.row(f"{count} {how} connections at the admin port: probes answered", f"{asked} of {asked}",
              f"{good} of {asked}, {worst * 1000:.0f} ms at worst, {busy.share:.0%} of a processor")
    assert good == asked
