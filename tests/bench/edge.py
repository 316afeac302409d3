#!/usr/bin/env python3
"""Cached objects over HTTP: edged beside nginx, which serves the same bytes from its cache (proxy_cache), and as files with sendfile from
memory and from a disk, and beside two loops that do nothing but hand one answer to the kernel, as a copy and as references to pages: what
no server gets below. One server thread each, pinned to a core, all by the same client that discards bodies in the kernel
(tests/tools/viewers), on keep-alive connections, in alternating rounds of one run. CPU of the server a request says the same on a machine
that is busy with other things; requests a second are the client's limit where that is the slower one (its CPU is printed too). Again
with wrk, which has to look at the bytes.

Two threads beside one: where client and server cannot have two cores each, it is their work that is compared, twice that of one thread by
that of two.

The same edge also serves an equal stream that is private, to viewers of sixteen tokens each in their URLs, and the public one by
URLs with the same tokens in them, which are then not looked at: what of a token's cost is the longer URL, and
what is the token. And again while a stranger sends forged ES256 tokens, each another one, as fast as one connection goes.

Also: an object that a thousand viewers want before it is there, and how many FETCHes that costs."""
import argparse
import re
import shutil
import statistics
import subprocess
import sys

from rig import TOP, Aims, Rig, body_of, cores, fetches, get, loaded, ratio, turns

SIZES = {"3 KB": 3000, "312 KB": 319488}
TOKENS = 16


def token(*argv):
    return subprocess.run([TOP / "deploy/token", *map(str, argv)], capture_output=True, text=True, check=True).stdout.strip()


def paths_of(server, size):
    if server.name.startswith("edged"):
        return [f"/live/whole_{size}/s/v720/1.m4s"]
    return [f"/{size}.m4s"]


def same_bytes(server, size):
    for path in paths_of(server, size):
        if get(server.base + path) != body_of(size):
            sys.exit(f"{server.name} serves other bytes")


def hits(rig, server, size, connections, seconds, cpus=None):
    """(requests a second, server CPU µs a request, p99 of an answer in ms, client CPU s)"""
    before = server.cpu_s()
    said = rig.crowd("hits", server, "--connections", connections, "--seconds", seconds, *paths_of(server, size), cpus=cpus)
    spent = server.cpu_s() - before
    if said["failed"]:
        sys.exit(f"{server.name}: {said['failed']} of {connections} connections failed")
    return said["requests"] / said["seconds"], 1e6 * spent / said["requests"], said["last"]["p99"], said["client_cpu_s"] / said["seconds"]


def compare(rig, edge, nginx, args, aims):
    print(f"{'object':7} {'conns':>5} {'server':12} {'requests/s':>11} {'MB/s':>7} {'CPU µs/request':>15} {'p99 ms':>8} {'client cores':>12}"
          f"   median of {args.rounds} rounds of {args.seconds} s")
    for what, size in SIZES.items():
        floors = [rig.floor("--bytes", size), rig.floor("--bytes", size, "--pages", name="bare pages")]  # such a loop has one object
        servers = [edge, *nginx, *floors]
        for server in servers:
            same_bytes(server, size)
        for connections in args.connections:
            seen = {server.name: [] for server in servers}
            for server in turns(servers, args.rounds):
                seen[server.name].append(hits(rig, server, size, connections, args.seconds))
            column = [{name: [row[i] for row in rows] for name, rows in seen.items()} for i in range(4)]
            for name in seen:
                rate, cost, p99, client = (statistics.median(values[name]) for values in column)
                print(f"{what:7} {connections:5} {name:12} {rate:11.0f} {rate * size / 1e6:7.0f} {cost:15.1f} {p99:8.2f} {client:12.2f}")
            for name in list(seen)[1:]:
                print(f"{what:7} {connections:5} edged, of {name:12}: {ratio(column[0], 'edged', name):.2f} × the requests, "
                      f"{ratio(column[1], name, 'edged'):.2f} × by CPU, {ratio(column[2], 'edged', name):.2f} × its p99", flush=True)
            by_cpu = lambda name, cost=column[1]: ratio(cost, name, "edged")
            if size == 3000:
                aims.least(f"{what}, {connections}: of the bare write loop, by CPU", by_cpu("bare write"), 0.90)
                aims.least(f"{what}, {connections}: of nginx's cache, by CPU", by_cpu("nginx cache"), 1.2)
                if connections >= 1000:
                    aims.most(f"{what}, {connections}: p99, of nginx's cache", ratio(column[2], "edged", "nginx cache"), 1.0)
            else:
                aims.least(f"{what}, {connections}: of nginx's files on a disk, by CPU", by_cpu("nginx disk"), 1.0)
                aims.least(f"{what}, {connections}: of the page-reference loop, by CPU", by_cpu("bare pages"), 0.90)
        rig.stop(*floors)


def two_threads(rig, one, origin, args, aims):
    """Where there are cores enough for server and client the rates, otherwise the work."""
    apart = len(cores()[1]) >= 3
    everything = cores()[0] | cores()[1]
    server_cpus, client_cpus = (set(sorted(everything)[-2:]), set(sorted(everything)[:-2])) if apart else (everything, everything)
    two = rig.edge([origin], threads=2, cpus=server_cpus)
    two.name = "edged two"
    same_bytes(two, SIZES["3 KB"])
    seen = {one.name: [], two.name: []}
    for server in turns([one, two], args.rounds):
        seen[server.name].append(hits(rig, server, SIZES["3 KB"], 64, args.seconds, client_cpus))
    rate, cost = ({name: [row[i] for row in rows] for name, rows in seen.items()} for i in range(2))
    gain = ratio(rate, two.name, one.name) if apart else 2 * ratio(cost, one.name, two.name)
    print(f"two threads: {gain:.2f} × one ({'requests a second' if apart else 'by the CPU of a request; client and server share the cores'}), "
          f"{statistics.median(cost[two.name]):.1f} µs a request for {statistics.median(cost[one.name]):.1f}")
    aims.least("two cores, of one", gain, 1.8)
    rig.stop(two)


# ---- with wrk: bytes that are looked at, and tokens


def lua(paths):
    return ("local asks, n = {}, 0\nfunction init() for _, path in ipairs({" + ", ".join(f'"{path}"' for path in paths)
            + "}) do asks[#asks + 1] = wrk.format('GET', path) end end\nfunction request() n = n % #asks + 1 return asks[n] end\n")


def wrk(rig, server, paths, args):
    """(requests a second, server CPU µs a request). Each connection asks for the next path in turn."""
    script = rig.directory / "paths.lua"
    script.write_text(lua(paths))
    (requests,), spent = loaded(server, ["wrk", "-t1", "-c64", f"-d{args.seconds}s", "-s", script, server.base], r"(\d+) requests in")
    requests = int(requests)
    return requests / args.seconds, 1e6 * spent / requests


FORGE = """
-- a new signature, all of it possible, for each request: nothing that was verified before helps
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
function request()
  local made = {}
  for i = 1, 85 do local at = math.random(64) made[i] = digits:sub(at, at) end
  return wrk.format("GET", "/t/%s." .. table.concat(made) .. "A%s")
end
"""


def flood(rig, edge, paths, args):
    """A second: hits of who has a token, beside one connection that sends forged ones, and those. And CPU for one of either."""
    before, _, rest = paths[0][3:].partition("/")
    script = rig.directory / "forge.lua"
    script.write_text(FORGE % (before.rpartition(".")[0], "/" + rest))
    stranger = rig.spawn(["wrk", "-t1", "-c1", f"-d{args.seconds + 1}s", "-s", script, edge.base], cores()[1], stdout=subprocess.PIPE,
                         text=True)
    rate, cost = wrk(rig, edge, paths, args)
    out = stranger.communicate()[0]
    forged = float(re.search(r"Requests/sec: +([\d.]+)", out).group(1))
    return rate, forged, cost * rate / (rate + forged)


def tokens(rig, edge, nginx, args):
    made = [token("make", "view", "whole_*", "--for", "1h", "--jti", n, "--keys", rig.directory / "keys.json") for n in range(TOKENS)]
    print(f"{'object':7} {'with wrk':12} {'requests/s':>11} {'MB/s':>7} {'CPU µs/request':>15}   64 connections")
    for what, size in SIZES.items():
        asked = {"edged": (edge, paths_of(edge, size)), "long": (edge, [f"/t/{t}/live/whole_{size}/s/v720/1.m4s" for t in made]),
                 "private": (edge, [f"/t/{t}/live/whole_{size + 1}/s/v720/1.m4s" for t in made]), "nginx cache": (nginx, paths_of(nginx, size))}
        for server, paths in asked.values():
            for path in paths:
                get(server.base + path)
        rates, costs = {}, {}
        for name in turns(list(asked), args.rounds):
            rate, cost = wrk(rig, *asked[name], args)
            rates.setdefault(name, []).append(rate)
            costs.setdefault(name, []).append(cost)
        for name in asked:
            rate = statistics.median(rates[name])
            print(f"{what:7} {name:12} {rate:11.0f} {rate * size / 1e6:7.0f} {statistics.median(costs[name]):15.1f}")
        for name, other, words in (("edged", "nginx cache", "of edged, to nginx's cache"),
                                   ("long", "edged", "of a public URL as long as one with a token, to the short one"),
                                   ("private", "long", "of a token that is looked at, to a public URL of the same length"),
                                   ("private", "edged", "of a private stream's URL, to the short public one")):
            print(f"{what:7} {'':12} {ratio(rates, name, other):10.3f}× {'':7} {ratio(costs, name, other):14.3f}×   {words}")
        flooded, forged, cost_of_all = flood(rig, edge, asked["private"][1], args)
        print(f"{what:7} {'flooded':12} {flooded:11.0f} {'':7} {cost_of_all:15.1f}   beside {forged:.0f} requests a second with forged "
              "tokens, all refused; CPU over all of them", flush=True)


def crowd(rig, edge, viewers):
    path = "/live/late_3000_1000/s/v720/7.m4s"
    said = rig.crowd("herd", edge, "--connections", viewers, "--bytes", 3000, path)
    if said["failed"]:
        sys.exit(f"{said['failed']} of {viewers} viewers did not get what they waited for")
    if get(edge.base + path) != body_of(3000):
        sys.exit("edged serves other bytes")
    print(f"{viewers} viewers connect and ask for one object that is there after 1.00 s: {fetches(edge)[path]} FETCH upstream, all have it "
          f"{said['last']['max'] / 1e3:.2f} s after the first connected")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 1000])
    args = parser.parse_args()
    for tool in ("wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: deploy/install-deps --test")
    aims = Aims()
    with Rig("edge") as rig:
        token("keygen", "--keys", rig.directory / "keys.json", "--public", rig.directory / "public.json")
        origin = rig.origin()
        edge = rig.edge([origin], {"view_jwks": rig.directory / "public.json", "private": '["whole_3001", "whole_319489"]'})
        nginx = rig.nginx(list(SIZES.values()))
        compare(rig, edge, nginx, args, aims)
        two_threads(rig, edge, origin, args, aims)
        tokens(rig, edge, nginx[0], args)
        crowd(rig, edge, 1000)
    aims.print()


if __name__ == "__main__":
    main()
