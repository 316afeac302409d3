#!/usr/bin/env python3
"""Three edges of one site that share their objects, and viewers at all of them who want segment after segment, of which in the middle one
edge is killed. How many FETCHes reach the origin: one an object, and one more for who dies. Whether a viewer of the others saw an error,
and how long the slowest waited. Again for segments that grow, and for a site whose tier above are two edges, siblings too."""
import argparse
import signal
import statistics
import subprocess
import sys

from rig import BIN, Aims, Rig, body_of, fetches, get

BYTES, PIECES, EVERY_MS = 60000, 5, 40
STREAMS = {"whole": f"whole_{BYTES}", "growing": f"grow_{BYTES}_{PIECES}_{EVERY_MS}"}


def site(rig, above, count, **sets):
    """Edges that know each other."""
    ports = [rig.port() for _ in range(count)]
    names = ",".join(f"127.0.0.1:{port}" for port in ports)
    edges = [rig.edge(above, {"siblings": names, "fetch_port": port, **sets}, ready=False) for port in ports]
    for edge in edges:
        rig.wait_ready(edge)
    return edges


def segment(rig, edges, path, viewers):
    """(how many viewers were not answered, milliseconds until the last one of all had it)"""
    crowds = [rig.start_crowd("herd", edge, "--connections", viewers, "--bytes", BYTES, path) for edge in edges]
    seen = [rig.said(crowd) for crowd in crowds]
    return sum(one["failed"] for one in seen), max(one["last"]["max"] for one in seen)


def season(rig, edges, kind, args, kill):
    """Of all segments: (FETCHes each, viewers that were not answered, what the last one of each waited)"""
    failed, waited, paths = 0, [], []
    edges = list(edges)
    for n in range(args.segments):
        if kill and n == args.segments // 2:
            edges[-1].process.send_signal(signal.SIGKILL)
            edges.pop()
        paths.append(f"/live/{STREAMS[kind]}/s/v720/{n}.m4s")
        wrong, last = segment(rig, edges, paths[-1], args.viewers)
        failed += wrong
        waited.append(last)
    for path in (paths[0], paths[-1]):
        if get(edges[0].base + path) != body_of(BYTES):
            sys.exit("an edge serves other bytes")
    counts = fetches(edges[0])
    return [counts[path] for path in paths], failed, waited


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=50)
    parser.add_argument("--viewers", type=int, default=100, help="of each edge")
    args = parser.parse_args()
    if "siblings = " not in subprocess.run([BIN / "edged", "--help"], capture_output=True, text=True, check=True).stdout:
        sys.exit("this edged knows nothing of siblings")
    aims = Aims()
    print(f"{'tiers':22} {'segments':8} {'FETCHes':>8} {'of one':>7} {'not answered':>13} {'all have it, median':>20} {'max ms':>8}"
          f"   {args.segments} segments, {args.viewers} viewers at each edge, one of three edges killed in the middle")
    for tiers in ("siblings", "siblings, two central"):
        for kind in STREAMS:
            with Rig("siblings") as rig:
                above, role = [rig.origin()], {}
                if tiers != "siblings":
                    above, role = site(rig, above, 2), {"upstream_role": "edged"}
                counts, failed, waited = season(rig, site(rig, above, 3, **role), kind, args, kill=True)
            print(f"{tiers:22} {kind:8} {sum(counts):8} {max(counts):7} {failed:13} {statistics.median(waited):20.0f} {max(waited):8.0f}",
                  flush=True)
            aims.most(f"{tiers}, {kind}: viewers not answered", failed, 0)
            if kind == "whole":
                aims.most(f"{tiers}, {kind}: FETCHes beyond one an object", sum(counts) - args.segments, 1)
            else:
                aims.most(f"{tiers}, {kind}: FETCHes of an object", max(counts), 2 * (PIECES + 1))
    aims.print()


if __name__ == "__main__":
    main()
