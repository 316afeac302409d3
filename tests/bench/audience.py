#!/usr/bin/env python3
"""An audience at one edge: players that arrive within seconds, and each fetches the manifest, the init segment, and then every segment
of a live stream while it grows. How long each waits for its picture, how much later than it was made a piece is there, how often a
picture stands still, and what the edge spends on it. A player's picture is --late-ms behind the clock; it stands still when the piece that
is due then has not come, and goes on that much later. Players and origin share what cores the edge has not: where they have too little,
`client CPU` is near the seconds and what is printed is about them."""
import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time

from edge import cpu_seconds, get
from herd import start_edge, stop, viewers

PIECES, EVERY_MS = 5, 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--arrive-ms", type=int, default=5000, help="all of them are there after so long")
    parser.add_argument("--late-ms", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=60000, help="of a segment, which is a second long")
    args = parser.parse_args()
    directory, running = pathlib.Path(tempfile.mkdtemp(prefix="freshet-audience-")), []
    since_us = time.monotonic_ns() // 1000
    stream = f"live_{args.bytes}_{PIECES}_{EVERY_MS}"
    try:
        edge, origin, _ = start_edge(directory, ["--since", since_us])
        running += [edge.process, origin]
        time.sleep(max(0, since_us / 1e6 + 3 - time.monotonic()))  # the stream is on before the first player comes
        before = cpu_seconds(edge.pids())
        said = viewers("follow", edge, "--connections", args.players, "--seconds", args.seconds, "--arrive-ms", args.arrive_ms, "--bytes", args.bytes,
                       "--pieces", PIECES, "--every", EVERY_MS, "--late-ms", args.late_ms, "--since", since_us, stream)
        cpu = cpu_seconds(edge.pids()) - before
        time.sleep(1.1)  # the counts are an object too, fresh for no longer
        counts = json.loads(get(f"{edge.base}/live/counts/manifest.mpd"))
        fetches = [n for key, n in counts.items() if key.startswith(f"/live/{stream}/") and key.endswith(".m4s")]
        print(f"{args.players} players within {args.arrive_ms / 1000:g} s, for {args.seconds} s: {said['requests']} requests, "
              f"{said['bytes'] / 1e6 / args.seconds:.0f} MB/s, {said['failed']} failed")
        for what, words in (("startup", "from arrival to the picture"), ("lateness", "from a piece's making to its viewer")):
            t = said[what]
            print(f"{what:9} p50 {t['p50']:7.1f}  p99 {t['p99']:7.1f}  max {t['max']:7.1f} ms   {words} ({t['count']})")
        print(f"stalls    {said['stalls']}, {said['stalled_s']:.2f} s of all players' time")
        print(f"edge      {cpu:.2f} CPU-s, {1e6 * cpu / max(1, said['requests']):.1f} µs a request; client CPU {said['client_cpu_s']:.1f} s")
        print(f"upstream  {len(fetches)} segments, {sum(fetches)} FETCHes, at most {max(fetches, default=0)} for one of {PIECES} pieces")
        if said["failed"]:
            sys.exit("a player was not answered in full")
    finally:
        for process in running:
            stop(process)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
