#!/usr/bin/env python3
"""A herd at one edge: all viewers ask at once for an object that no edge has yet, from an origin 200 ms away.

`whole`: connecting is included, the object is there complete. `growing`: all are connected, the object grows for 800 ms from the first
request on. Beside edged a bare epoll loop that has the bytes already and does nothing but send them (its first bytes come as late), in
alternating rounds of one run; CPU is the server's, in nanoseconds of its threads. One server thread. And how many FETCHes went up for
the object, which is to be at most its pieces and one. A viewer that got other than all bytes ends the benchmark."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from edge import TOP, Server, body_of, cpu_seconds, get, reserve_port, wait_for

TOOLS = TOP / "build/release/tools"
BYTES, PIECES, EVERY_MS, AWAY_MS = 319488, 5, 200, 200


def pin(cpus):
    """For preexec_fn: server and viewers do not take each other's core, where there are two."""
    return lambda: os.sched_setaffinity(0, cpus)


def cores():
    """(the server's, everyone else's)"""
    all_of_them = sorted(os.sched_getaffinity(0))
    return ({all_of_them[-1]}, set(all_of_them[:-1]) or set(all_of_them))


def start_edge(directory, fake_options=(), sets=None):
    """(edge, origin, the edge's admin port); what bounds strangers is wide enough for a crowd on one address."""
    fake, http, admin = reserve_port(), reserve_port(), reserve_port()
    server_cpus, other_cpus = cores()
    origin = subprocess.Popen([TOOLS / "fake_fetch", "--port", str(fake), *map(str, fake_options)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, preexec_fn=pin(other_cpus))
    keys = {"id": "edge-bench", "http_port": http, "fetch_port": reserve_port(), "admin_port": admin, "http_threads": 1,
            "origins": f"127.0.0.1:{fake}", "log_level": "warn", "drain_ms": 0, "connections_max": 100000, "misses_per_s": 0,
            "misses_of_one_per_s": 0, **(sets or {})}
    with open(directory / "edge.log", "wb") as log:
        edge = subprocess.Popen([TOP / "bin/edged", *(w for k, v in keys.items() for w in ("--set", f"{k}={v}"))], stderr=log,
                                preexec_fn=pin(server_cpus))
    wait_for(lambda: get(f"http://127.0.0.1:{admin}/readyz"), "edged")
    return Server("edged", edge, f"http://127.0.0.1:{http}", {}), origin, admin


def start_floor(*options):
    port = reserve_port()
    floor = subprocess.Popen([TOOLS / "http_floor", "--port", str(port), *map(str, options)], stdout=subprocess.PIPE, text=True,
                             preexec_fn=pin(cores()[0]))
    if floor.stdout.readline() != "ready\n":
        sys.exit("http_floor does not start")
    return Server("floor", floor, f"http://127.0.0.1:{port}", {})


def stop(process):
    process.terminate()
    process.wait()


def viewers(what, server, *options, look=None):
    """What the tool says. look() is called while the viewers of a herd are still connected, with the answer whole."""
    child = subprocess.Popen([TOOLS / "viewers", what, "--port", server.base.rpartition(":")[2], *map(str, options)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pin(cores()[1]))
    said = json.loads(child.stdout.readline())
    if look:
        look()
    child.communicate()
    return said


def one_herd(server, path, kind, args):
    before = cpu_seconds(server.pids())
    said = viewers("herd", server, "--connections", args.viewers, "--bytes", BYTES, *(["--connected"] if kind == "growing" else []), path)
    cpu = cpu_seconds(server.pids()) - before
    if said["failed"] or said["bytes"] != args.viewers * BYTES:
        sys.exit(f"{server.name}: {said['failed']} of {args.viewers} viewers did not get the object: {said}")
    return {"first": said["first"]["max"] / 1e3, "p50": said["last"]["p50"] / 1e3, "max": said["last"]["max"] / 1e3, "cpu": cpu}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=2000, help="9500 needs as many open files twice (ulimit -n)")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    directory, running = pathlib.Path(tempfile.mkdtemp(prefix="freshet-herd-")), []
    stream = {"whole": f"whole_{BYTES}", "growing": f"grow_{BYTES}_{PIECES}_{EVERY_MS}"}
    framing = {"whole": [], "growing": ["--pieces", PIECES, "--every", EVERY_MS]}
    try:
        edge, origin, _ = start_edge(directory, ["--after", AWAY_MS])
        running += [edge.process, origin]
        print(f"{'herd':8} {'server':6} {'first byte, all':>15} {'whole, median':>14} {'whole, all':>11} {'server CPU s':>13}   seconds; median of "
              f"{args.rounds} rounds, {args.viewers} viewers, {BYTES} bytes, origin {AWAY_MS} ms away")
        for kind, name in stream.items():
            seen, paths = {"edged": [], "floor": []}, []
            for n in range(args.rounds):
                floor = start_floor("--bytes", BYTES, "--after", AWAY_MS, *framing[kind])  # anew: it has one object, and a first request
                paths.append(f"/live/{name}/s/v720/{n}.m4s")
                for server in ([edge, floor] if n % 2 else [floor, edge]):
                    seen[server.name].append(one_herd(server, paths[-1], kind, args))
                stop(floor.process)
                if kind == "whole" and get(edge.base + paths[-1]) != body_of(BYTES):
                    sys.exit("edged serves other bytes")
            middle = {server: {what: statistics.median(r[what] for r in rounds) for what in rounds[0]} for server, rounds in seen.items()}
            for server, m in middle.items():
                print(f"{kind:8} {server:6} {m['first']:15.3f} {m['p50']:14.3f} {m['max']:11.3f} {m['cpu']:13.3f}")
            time.sleep(1.1)  # the counts are an object too, fresh for no longer
            counts = json.loads(get(f"{edge.base}/live/counts/manifest.mpd"))
            fetches = [counts[path] for path in paths]
            ratio = statistics.median(e["cpu"] / f["cpu"] for e, f in zip(seen["edged"], seen["floor"]))
            print(f"{kind:8} {'ratio':6} {'':15} {'':14} {'':11} {ratio:12.2f}×   FETCHes of one object: {max(fetches)} at most, "
                  f"{1 if kind == 'whole' else PIECES} pieces")
    finally:
        for process in running:
            stop(process)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
