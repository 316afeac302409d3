#!/usr/bin/env python3
"""A herd at one edge: all viewers ask at once for an object that no edge has yet, from an origin 200 ms away.

`whole`: connecting is included, the object is there complete. `growing`: all are connected, the object grows for 800 ms from the first
request on. Beside edged a bare epoll loop that has the bytes already and does nothing but send them (its first bytes come as late), in
alternating rounds of one run; CPU is the server's, in nanoseconds of its threads. One server thread. Times are those of the round in which
that server waited least for its core, CPU is the median. And how many FETCHes went up for
the object, which is to be at most its pieces and one. A viewer that got other than all bytes ends the benchmark. The origin's distance
is its own doing: its answers come so much later (a path of that length, which the kernel would have to make, also slows down what
arrives in many packets on a connection that has been silent)."""
import argparse
import statistics
import sys

from rig import Aims, Rig, body_of, fetches, get

BYTES, PIECES, EVERY_MS, AWAY_MS = 319488, 5, 200, 200
STREAM = {"whole": f"whole_{BYTES}", "growing": f"grow_{BYTES}_{PIECES}_{EVERY_MS}"}
FRAMING = {"whole": [], "growing": ["--pieces", PIECES, "--every", EVERY_MS]}
SPARE = 500  # descriptors that are not viewers'
# What is to be, of so many viewers: (median of the whole object, all of it, CPU s; None: not said)
AIMS = {("whole", 2000): (0.28, 0.35, 0.14), ("whole", 9500): (0.40, 0.60, None), ("growing", 2000): (None, 1.02, 0.20),
        ("growing", 9500): (None, 1.1, None)}
FIRST_AIM = {2000: 0.22}  # of the first byte of what grows


def one_herd(rig, server, path, kind, viewers):
    before, waited = server.cpu_s(), server.waited_s()
    said = rig.crowd("herd", server, "--connections", viewers, "--bytes", BYTES, *(["--connected"] if kind == "growing" else []), path)
    cpu, waited = server.cpu_s() - before, server.waited_s() - waited
    if said["failed"] or said["bytes"] != viewers * BYTES:
        sys.exit(f"{server.name}: {said['failed']} of {viewers} viewers did not get the object: {said}")
    return {"first": said["first"]["max"] / 1e3, "p50": said["last"]["p50"] / 1e3, "max": said["last"]["max"] / 1e3, "cpu": cpu,
            "client": said["client_cpu_s"], "waited": waited}


def rounds_of(rig, edge, kind, viewers, rounds):
    """({server's name: [what each round saw]}, the paths of the objects)"""
    seen, paths = {"edged": [], "floor": []}, []
    for n in range(rounds):
        floor = rig.floor("--bytes", BYTES, "--after", AWAY_MS, *FRAMING[kind], name="floor")  # anew: it has one object, and a first request
        # The numbers are far apart: the edge follows what is watched, and would have the next one before the herd asks.
        paths.append(f"/live/{STREAM[kind]}/s/v720/{viewers}{n}00.m4s")
        for server in ([edge, floor] if n % 2 else [floor, edge]):
            seen[server.name].append(one_herd(rig, server, paths[-1], kind, viewers))
        rig.stop(floor)
        if get(edge.base + paths[-1]) != body_of(BYTES):
            sys.exit("edged serves other bytes")
    return seen, paths


def check_aims(aims, kind, viewers, m, chains):
    median, longest, cpu = AIMS.get((kind, viewers), (None, None, None))
    what = f"{viewers} viewers, {kind}: "
    if median:
        aims.most(what + "median", m["p50"], median)
    if longest:
        aims.most(what + "all have it", m["max"], longest)
    if cpu:
        aims.most(what + "CPU s", m["cpu"], cpu)
    if kind == "growing" and viewers in FIRST_AIM:
        aims.most(what + "first byte of all", m["first"], FIRST_AIM[viewers])
    aims.most(what + "FETCHes of an object", chains, 1 if kind == "whole" else PIECES + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, nargs="+", default=[2000, 9500], help="each needs an open file at both ends")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    aims = Aims()
    with Rig("herd") as rig:
        edge = rig.edge([rig.origin("--after", AWAY_MS)])
        print(f"{'viewers':>7} {'herd':8} {'server':6} {'first byte, all':>15} {'whole, median':>14} {'whole, all':>11} {'server CPU s':>13} "
              f"{'client CPU s':>13} {'waited s':>9}   {args.rounds} rounds, {BYTES} bytes, origin {AWAY_MS} ms away")
        for viewers in args.viewers:
            if viewers + SPARE > rig.files:
                print(f"{viewers:7} need {viewers + SPARE} open files, and {rig.files} are allowed (ulimit -n): left out")
                continue
            for kind in STREAM:
                seen, paths = rounds_of(rig, edge, kind, viewers, args.rounds)
                calm = {server: {**min(rows, key=lambda r: r["waited"]), "cpu": statistics.median(r["cpu"] for r in rows)}
                        for server, rows in seen.items()}
                for server, m in calm.items():
                    print(f"{viewers:7} {kind:8} {server:6} {m['first']:15.3f} {m['p50']:14.3f} {m['max']:11.3f} {m['cpu']:13.3f} "
                          f"{m['client']:13.3f} {m['waited']:9.3f}")
                counts = fetches(edge)
                chains = max(counts[path] for path in paths)
                costs = statistics.median(e["cpu"] / f["cpu"] for e, f in zip(seen["edged"], seen["floor"]))
                print(f"{viewers:7} {kind:8} {'ratio':6} {'':15} {'':14} {'':11} {costs:12.2f}×   FETCHes of one object: {chains} at most, "
                      f"{1 if kind == 'whole' else PIECES} pieces", flush=True)
                check_aims(aims, kind, viewers, calm["edged"], chains)
    aims.print()


if __name__ == "__main__":
    main()
