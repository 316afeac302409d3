#!/usr/bin/env python3
"""What things cost an edge here, one by one, and whether the model of tests/sim, given these figures, says what an audience then does.

Measured: audiences that differ in how long segments are, in how many pieces they come, and in how long everybody stays, from which
follows what a connection, a request, a piece and a byte cost each (hits without a pause, as in bench-edge, are cheaper: here every burst finds
the processor busy with something else before); objects that an edge has from another edge (a FETCH, at both ends); memory. Then players
that none of these was measured with arrive, and what the model says of them stands beside what they saw. The processor's work is the
edge's own; how long something took is also the doing of whatever else runs on the machine, which the model knows nothing of: of several
rounds that one is taken in which the edge waited least for its core, and how long it did is printed.

--save writes the figures where `make sim` reads them: tests/sim/figures.json, with what was predicted and measured."""
import argparse
import json
import os
import platform
import statistics
import sys
import time

import numpy

from audience import BEFORE_S, play
from follow import memory
from rig import TOP, Rig, turns

sys.path.insert(0, str(TOP / "tests/sim"))
from model import Figures  # noqa: E402
from plan import one_edge  # noqa: E402

SMALL, LARGE = 3000, 60000  # bytes of objects that one edge has from another


def fetch_us(rig, origin, size, count, args):
    """(of the one that answers, of the one that asks): CPU µs for one of count objects of a size, which the first has already."""
    central = rig.edge([origin])
    first, second = (rig.edge([central], {"upstream_role": "edged"}) for _ in range(2))
    def all_of(edge, number):
        paths = [f"/live/whole_{size}/s/v720/{number * count + n}.m4s" for n in range(count)]
        said = rig.crowd("hits", edge, "--connections", count, "--seconds", 0, *paths)
        if said["failed"]:
            sys.exit(f"{said['failed']} of {count} objects did not come from the edge above")
    seen = []
    for number in range(args.rounds + 1):
        all_of(first, number)
        before = central.cpu_s(), second.cpu_s()
        all_of(second, number)
        seen.append((1e6 * (central.cpu_s() - before[0]) / count, 1e6 * (second.cpu_s() - before[1]) / count))
    rig.stop(first, second, central)
    return [statistics.median(values) for values in zip(*seen[1:])]  # the first time connections are made


# Audiences that the costs are read from: (seconds, bytes of a segment, pieces, milliseconds of each).
SHAPES = [(3, 15000, 1, 1000), (10, 15000, 1, 1000), (8, 15000, 5, 200), (8, 240000, 5, 200)]


def shape_costs(rig, args):
    """Of each shape, in the round in which the edge waited least for its core: [connections, requests, pieces, kB]; its CPU µs. And the client's
    CPU µs of a piece."""
    seen = [[] for _ in SHAPES]
    for n in turns(range(len(SHAPES)), args.rounds):
        seconds, size, pieces, every_ms = SHAPES[n]
        said, cpu, _, waited_s = play(rig, args.viewers, seconds, 500, size, pieces=pieces, every_ms=every_ms)
        counts = [args.viewers, said["requests"], said["lateness"]["count"], said["bytes"] / 1e3]
        seen[n].append((waited_s, counts, 1e6 * cpu, 1e6 * said["client_cpu_s"]))
    best = [min(rows) for rows in seen]
    grown = best[2]
    return [row[1] for row in best], [row[2] for row in best], grown[3] / (grown[1][1] + grown[1][2])


def arrival_us(rig, origin, args):
    """CPU µs of one viewer who connects and asks for something small that is there."""
    edge, path, seen = rig.edge([origin]), f"/live/whole_{SMALL}/s/v720/1.m4s", []
    for _ in range(args.rounds + 1):
        before = edge.cpu_s()
        if rig.crowd("herd", edge, "--connections", args.viewers, "--bytes", SMALL, path)["failed"]:
            sys.exit("a viewer was not answered")
        seen.append(1e6 * (edge.cpu_s() - before) / args.viewers)
    rig.stop(edge)
    return statistics.median(seen[1:])


def measure(rig, args):
    origin = rig.origin()
    counts, cpu_us, reader_us = shape_costs(rig, args)
    arrival = arrival_us(rig, origin, args)
    # What a connection costs is known by itself, so that the other three are four shapes' to tell: arrival = connection + request + its kB.
    rows = [[n - connects, pieces, kb - SMALL / 1e3 * connects] for connects, n, pieces, kb in counts]
    rest = [us - connects * arrival for (connects, _, _, _), us in zip(counts, cpu_us)]
    request_us, piece_us, kb_us = numpy.linalg.lstsq(numpy.array(rows), numpy.array(rest), rcond=None)[0]
    answers, asks = zip(*(fetch_us(rig, origin, size, 200, args) for size in (SMALL, LARGE)))
    fetch_kb_us = (answers[1] - answers[0]) / (LARGE - SMALL) * 1e3
    rests, follows, reads_not = (memory(rig, kind, 1000) for kind in ("rests", "follows", "reads not"))
    figures = {"request_us": request_us, "kb_us": kb_us, "piece_us": piece_us, "connect_us": arrival - request_us - SMALL / 1e3 * kb_us,
               "fetch_us": answers[0] - SMALL / 1e3 * fetch_kb_us, "fetch_kb_us": fetch_kb_us, "miss_us": asks[0] - arrival,
               "rest_bytes": rests[0], "follow_bytes": follows[0], "kernel_bytes": reads_not[1]}
    return Figures(**{name: round(max(0.0, float(value)), 4) for name, value in figures.items()}), reader_us


def seen_of(said, cpu, segments):
    """As one_edge() tells it."""
    return {"requests": said["requests"], "edge CPU s": cpu, "FETCHes": sum(segments), "of one segment": max(segments),
            "startup p50 ms": said["startup"]["p50"], "startup p99 ms": said["startup"]["p99"], "lateness p50 ms": said["lateness"]["p50"],
            "lateness p99 ms": said["lateness"]["p99"], "stalls": said["stalls"]}


def processor():
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=2000, help="of the crowds that are measured")
    parser.add_argument("--players", type=int, nargs="+", default=[1000, 3000], help="of the audiences that are predicted")
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--bytes", type=int, default=60000, help="of a segment, which is a second long")
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    runs = []
    with Rig("model") as rig:
        figures, reader_us = measure(rig, args)
        for name, value in vars(figures).items():
            print(f"{name:14} {value:10.2f}")
        for players in args.players:
            arrive_s = args.seconds / 4
            told = one_edge(figures, reader_us, players, args.seconds, arrive_s, args.bytes, BEFORE_S)
            tries = [play(rig, players, args.seconds, int(arrive_s * 1000), args.bytes) for _ in range(args.rounds)]
            said, cpu, segments, waited_s = min(tries, key=lambda one: one[3])
            saw = seen_of(said, cpu, segments)
            print(f"{players} players of {args.bytes} bytes a second, for {args.seconds} s{'':6} {'model':>10} {'measured':>10} {'ratio':>7}")
            for what in told:
                of = f"{told[what] / saw[what]:7.2f}" if saw[what] else f"{'':>7}"
                print(f"  {what:38} {told[what]:10.2f} {saw[what]:10.2f} {of}")
            print(f"  the edge waited {waited_s:.2f} s for its core, the model's for nobody", flush=True)
            runs.append({"players": players, "seconds": args.seconds, "begins_s": BEFORE_S, "arrive_s": arrive_s, "bytes": args.bytes,
                         "waited_s": round(waited_s, 3), "model": told, "measured": saw})
    if args.save:
        out = {"of": f"{processor()}, {time.strftime('%Y-%m-%d')}", "figures": vars(figures), "reader_us": round(reader_us, 3),
               "runs": runs}
        (TOP / "tests/sim/figures.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
