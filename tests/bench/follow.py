#!/usr/bin/env python3
"""What one connection costs an edge in memory: one that rests, one that follows a growing segment, and one that asks for an object and
does not read it. RSS of edged, and the kernel's memory for TCP on all of the machine (both ends of a connection are in it), before and
with the connections, each divided by how many there are."""
import argparse
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from edge import get
from herd import TOOLS, start_edge, stop

PAGE = 4096
BYTES = 319488


def rss(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text()).group(1)) * 1024


def kernel():
    return int(re.search(r"TCP: .* mem (\d+)", pathlib.Path("/proc/net/sockstat").read_text()).group(1)) * PAGE


def settled(measure):
    """What is measured when it has not changed by a hundredth for half a second."""
    last, since = measure(), time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.05)
        now = measure()
        if abs(now - last) > last / 100:
            last, since = now, time.monotonic()
    return last


def connect(edge, path, n):
    host, port = edge.base[7:].split(":")
    sockets = []
    for _ in range(n):
        s = socket.create_connection((host, int(port)))
        if path:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PAGE)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sockets.append(s)
    return sockets


def followers(edge, n):
    """Viewers of a segment that grows for two minutes: none of them is done before they are looked at."""
    return subprocess.Popen([TOOLS / "viewers", "herd", "--port", edge.base.rpartition(":")[2], "--connections", str(n), "--bytes", str(BYTES),
                             f"/live/grow_{BYTES}_600_200/s/v720/1.m4s"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    args = parser.parse_args()
    directory, n = pathlib.Path(tempfile.mkdtemp(prefix="freshet-follow-")), args.connections
    print(f"{'connection':12} {'edged, kB each':>15} {'kernel, kB each':>16}   {n} connections; the kernel's is of both ends")
    try:
        for kind in ("rests", "follows", "reads not"):
            edge, origin, admin = start_edge(directory)  # anew: what was freed before is not there to be used again
            try:
                get(f"{edge.base}/live/whole_{BYTES}/s/v720/1.m4s")
                before = settled(lambda: rss(edge.process)), kernel()
                held = followers(edge, n) if kind == "follows" else connect(edge, kind == "reads not" and f"/live/whole_{BYTES}/s/v720/1.m4s", n)
                deadline = time.monotonic() + 60
                while (open_now := connections(admin)) < n:
                    if time.monotonic() > deadline:
                        sys.exit(f"edged has {open_now} of {n} connections after a minute")
                    time.sleep(0.05)
                after = settled(lambda: rss(edge.process)), kernel()
                print(f"{kind:12} {(after[0] - before[0]) / n / 1e3:15.1f} {(after[1] - before[1]) / n / 1e3:16.1f}", flush=True)
                if kind == "follows":
                    held.kill()
                    held.wait()
                else:
                    for s in held:
                        s.close()
            finally:
                stop(edge.process)
                stop(origin)
    finally:
        shutil.rmtree(directory)


def connections(admin):
    found = re.search(r"^edged_clients (\d+)", get(f"http://127.0.0.1:{admin}/metrics").decode(), re.M)
    return int(found.group(1)) if found else sys.exit("edged does not say how many connections it has")


if __name__ == "__main__":
    main()
