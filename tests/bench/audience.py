#!/usr/bin/env python3
"""An audience at one edge: players that arrive within seconds, and each fetches the manifest, the init segment, and then every segment
of a live stream while it grows. How long each waits for its picture, how much later than it was made a piece is there, how often a
picture stands still, and what the edge spends on it. A player's picture begins when it has two pieces, --late-ms
behind the clock or as far behind as those two are; it stands still when the piece that is due then has not come, and goes on that much later. Players and origin share what cores the edge has not: where they have too little,
`client CPU` is near the seconds and what is printed is about them."""
import argparse
import sys
import time

from rig import Aims, Rig, fetches

PIECES, EVERY_MS = 5, 200
BEFORE_S = 3.5  # the stream is on before the first player comes, who comes in the middle of a segment


def play(rig, players, seconds, arrive_ms, size, late_ms=1000, sets=None, pieces=PIECES, every_ms=EVERY_MS):
    """(what the players saw, the edge's CPU s, FETCHes of each segment, for how long a thread of the edge waited for its core)"""
    since_us = time.monotonic_ns() // 1000
    stream = f"live_{size}_{pieces}_{every_ms}"
    edge = rig.edge([rig.origin("--since", since_us)], sets)
    time.sleep(max(0, since_us / 1e6 + BEFORE_S - time.monotonic()))
    before, waited_before = edge.cpu_s(), edge.waited_s()
    said = rig.crowd("follow", edge, "--connections", players, "--seconds", seconds, "--arrive-ms", arrive_ms, "--bytes", size,
                     "--pieces", pieces, "--every", every_ms, "--late-ms", late_ms, "--since", since_us, stream)
    cpu, waited_s = edge.cpu_s() - before, edge.waited_s() - waited_before
    segments = [n for key, n in fetches(edge).items() if key.startswith(f"/live/{stream}/") and key.endswith(".m4s")]
    rig.stop(edge, *edge.above)
    return said, cpu, segments, waited_s


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--players", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--arrive-ms", type=int, default=5000, help="all of them are there after so long")
    parser.add_argument("--late-ms", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1, help="the one is told in which the edge waited least for its core")
    parser.add_argument("--bytes", type=int, default=60000, help="of a segment, which is a second long")
    args = parser.parse_args()
    aims = Aims()
    with Rig("audience") as rig:
        rounds = [play(rig, args.players, args.seconds, args.arrive_ms, args.bytes, args.late_ms) for _ in range(args.rounds)]
    said, cpu, segments, waited_s = min(rounds, key=lambda one: one[3])
    print(f"{args.players} players within {args.arrive_ms / 1000:g} s, for {args.seconds} s: {said['requests']} requests, "
          f"{said['bytes'] / 1e6 / args.seconds:.0f} MB/s, {said['failed']} failed")
    for what, words in (("startup", "from arrival to the picture"), ("lateness", "from a piece's making to its viewer")):
        t = said[what]
        print(f"{what:9} p50 {t['p50']:7.1f}  p99 {t['p99']:7.1f}  max {t['max']:7.1f} ms   {words} ({t['count']})")
    print(f"stalls    {said['stalls']}, {said['stalled_s']:.2f} s of all players' time")
    print(f"edge      {cpu:.2f} CPU-s, {1e6 * cpu / max(1, said['requests']):.1f} µs a request; waited {waited_s:.2f} s for its core; "
          f"client CPU {said['client_cpu_s']:.1f} s")
    print(f"upstream  {len(segments)} segments, {sum(segments)} FETCHes, at most {max(segments, default=0)} for one of {PIECES} pieces")
    aims.most("stalls", said["stalls"], 0)
    aims.most("startup p99, s", said["startup"]["p99"] / 1e3, 0.5)
    aims.most("FETCHes of a segment", max(segments, default=0), PIECES + 1)
    aims.print()
    if said["failed"]:
        sys.exit("a player was not answered in full")


if __name__ == "__main__":
    main()
