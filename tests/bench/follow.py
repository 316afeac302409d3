#!/usr/bin/env python3
"""What one connection costs an edge in memory: one that rests, one that follows a growing segment, and one that asks for an object and
does not read it. RSS of edged before and with the connections, divided by how many there are, and what the kernel has of them at the
edge's end: what is to be sent or read, and what it took for that."""
import argparse
import socket
import subprocess
import time

from rig import Aims, TOOLS, Rig, cores, get, wait_for

PAGE = 4096
BYTES = 319488
WHOLE = f"/live/whole_{BYTES}/s/v720/1.m4s"


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
    sockets = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", edge.port))
        if path:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PAGE)
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sockets.append(s)
    return sockets


def followers(rig, edge, n):
    """Viewers of a segment that grows for two minutes: none of them is done before they are looked at."""
    return rig.spawn([TOOLS / "viewers", "herd", "--port", edge.port, "--connections", n, "--bytes", BYTES,
                      f"/live/grow_{BYTES}_600_200/s/v720/1.m4s"], cores()[1], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def memory(rig, kind, n):
    """(bytes of edged, bytes of the kernel) for one of n connections."""
    edge = rig.edge([rig.origin()])  # anew: what was freed before is not there to be used again
    get(edge.base + WHOLE)
    before = settled(edge.rss), edge.kernel()
    held = followers(rig, edge, n) if kind == "follows" else connect(edge, kind == "reads not" and WHOLE, n)
    wait_for(lambda: edge.metric("edged_clients") >= n, f"edged has {n} connections")
    after = settled(edge.rss), settled(edge.kernel)
    if kind == "follows":
        rig.stop(held)
    else:
        for s in held:
            s.close()
    rig.stop(edge)
    return [(now - then) / n for now, then in zip(after, before)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=1000)
    args = parser.parse_args()
    aims = Aims()
    print(f"{'connection':12} {'edged, kB each':>15} {'kernel, kB each':>16}   {args.connections} connections; the kernel's at the edge's "
          "end")
    with Rig("follow") as rig:
        for kind, bound in (("rests", 10e3), ("follows", 12e3), ("reads not", None)):
            own, kernel = memory(rig, kind, args.connections)
            print(f"{kind:12} {own / 1e3:15.1f} {kernel / 1e3:16.1f}", flush=True)
            if bound:
                aims.most(f"{kind}: kB of edged", own / 1e3, bound / 1e3)
            else:
                aims.most(f"{kind}: kB of the kernel", kernel / 1e3, 64)
    aims.print()


if __name__ == "__main__":
    main()
