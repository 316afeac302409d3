#!/usr/bin/env python3
"""Cached objects over HTTP: edged beside nginx serving the same bytes as files with sendfile, one server thread each, from
the same load generator (wrk, keep-alive connections) in alternating rounds of one run. Requests a second, and CPU of the
server per thousand requests, which says the same on a machine that is busy with other things.

The same edge also serves an equal stream that is private, to viewers of sixteen tokens each in their URLs, and the public one by
URLs with the same tokens in them, which are then not looked at: what of a token's cost is the longer URL, which the HTTP library
reads byte by byte, and what is the token. And again while a stranger sends forged ES256 tokens, each another one, as fast as one connection goes.

Also: an object that a thousand viewers want while it is being made, and how many FETCHes that costs (one that waited in
vain for half a second may be among them)."""
import argparse
import json
import pathlib
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
SIZES = {"3 KB": 3000, "312 KB": 319488}
TOKENS = 16


def token(*argv):
    return subprocess.run([TOP / "deploy/token", *map(str, argv)], capture_output=True, text=True, check=True).stdout.strip()


RESERVED = []


def reserve_port():
    """Bound but not listening until we end: nobody else gets it but by its number."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    RESERVED.append(s)
    return s.getsockname()[1]


def body_of(size):
    return bytes((i * 7 + i // 251) & 255 for i in range(size))


def wait_for(condition, what):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"{what}: does not get ready")


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read()


def cpu_seconds(pids):
    """Of all their threads, in nanoseconds and not in ticks of the clock."""
    return sum(int(task.read_text().split()[0]) for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


class Server:
    def __init__(self, name, process, base, paths):
        self.name, self.process, self.base, self.paths = name, process, base, paths

    def pids(self):
        """The process and its workers."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


def start_edge(directory):
    fake, http, admin = reserve_port(), reserve_port(), reserve_port()
    token("keygen", "--keys", directory / "keys.json", "--public", directory / "public.json")
    origin = subprocess.Popen([TOP / "build/release/tools/fake_fetch", "--port", str(fake)], stdout=subprocess.DEVNULL)
    sets = {"id": "edge-bench", "http_port": http, "fetch_port": reserve_port(), "admin_port": admin, "http_threads": 1,
            "origins": f"127.0.0.1:{fake}", "log_level": "warn", "drain_ms": 0, "view_jwks": directory / "public.json",
            "private": '["whole_3001", "whole_319489"]'}
    with open(directory / "edge.log", "wb") as log:
        edge = subprocess.Popen([TOP / "bin/edged", *(w for k, v in sets.items() for w in ("--set", f"{k}={v}"))], stderr=log)
    base = f"http://127.0.0.1:{http}"
    wait_for(lambda: get(f"http://127.0.0.1:{admin}/readyz"), "edged")
    opened = Server("edged", edge, base, {s: [f"/live/whole_{n}/s/v720/1.m4s"] for s, n in SIZES.items()})
    tokens = [token("make", "view", "whole_*", "--for", "1h", "--jti", n, "--keys", directory / "keys.json") for n in range(TOKENS)]
    longer = Server("long", edge, base, {s: [f"/t/{t}/live/whole_{n}/s/v720/1.m4s" for t in tokens] for s, n in SIZES.items()})
    private = Server("private", edge, base, {s: [f"/t/{t}/live/whole_{n + 1}/s/v720/1.m4s" for t in tokens] for s, n in SIZES.items()})
    return opened, longer, private, origin


def start_nginx(directory):
    port = reserve_port()
    root = directory / "root"
    root.mkdir()
    for size in SIZES.values():
        (root / f"{size}.m4s").write_bytes(body_of(size))
    (directory / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log; user root;
        events {{ worker_connections 4096; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000;
          open_file_cache max=100; types {{ video/mp4 m4s; }}
          server {{ listen 127.0.0.1:{port}; root {root}; add_header Access-Control-Allow-Origin *;
                    add_header Cache-Control "max-age=31536000, immutable"; add_header Timing-Allow-Origin *; }}
        }}""")
    nginx = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-p", directory, "-c", directory / "nginx.conf"],
                             stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    wait_for(lambda: get(f"{base}/3000.m4s"), "nginx")
    return Server("nginx", nginx, base, {s: [f"/{n}.m4s"] for s, n in SIZES.items()})


def measure(server, size, args):
    """Each connection asks for the next of the server's paths in turn (wrk runs the same script for all of them)."""
    for path in server.paths[size]:
        if get(server.base + path) != body_of(SIZES[size] + (server.name == "private")):
            sys.exit(f"{server.name} serves other bytes")
    script = args.directory / "paths.lua"
    script.write_text("local asks, n = {}, 0\nfunction init() for _, path in ipairs({"
                      + ", ".join(f'"{path}"' for path in server.paths[size])
                      + "}) do asks[#asks + 1] = wrk.format('GET', path) end end\n"
                      "function request() n = n % #asks + 1 return asks[n] end\n")
    before = cpu_seconds(server.pids())
    out = subprocess.run(["wrk", "-t1", f"-c{args.connections}", f"-d{args.seconds}s", "-s", script, server.base],
                         capture_output=True, text=True, check=True).stdout
    spent = cpu_seconds(server.pids()) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{server.name}: {out}")
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


def flood(private, size, args):
    """A second: hits of who has a token, beside one connection that sends forged ones, and those. And CPU for one of either."""
    path = private.paths[size][0]
    before, _, rest = path[3:].partition("/")
    script = args.directory / "forge.lua"
    script.write_text(FORGE % (before.rpartition(".")[0], "/" + rest))
    stranger = subprocess.Popen(["wrk", "-t1", "-c1", f"-d{args.seconds + 1}s", "-s", script, private.base], stdout=subprocess.PIPE, text=True)
    try:
        rate, cost = measure(private, size, args)
    finally:
        out = stranger.communicate()[0]
    forged = float(re.search(r"Requests/sec: +([\d.]+)", out).group(1))
    return rate, forged, cost * rate / (rate + forged)


def ratio(values, a, b):
    return statistics.median(x / y for x, y in zip(values[a], values[b]))


def crowd(edge, viewers):
    """FETCHes that one object costs which `viewers` connections ask for at the same time, and when all have it."""
    path = "/live/late_3000_1000/s/v720/7.m4s"
    host, port = edge.base[7:].split(":")
    began, sockets = time.monotonic(), []
    for _ in range(viewers):
        s = socket.create_connection((host, int(port)))
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        sockets.append(s)
    asked = time.monotonic()
    waiting = selectors.DefaultSelector()
    for s in sockets:
        waiting.register(s, selectors.EVENT_READ, bytearray())
    while waiting.get_map():
        for key, _ in waiting.select():
            piece = key.fileobj.recv(65536)
            key.data.extend(piece)
            if not piece:
                if body_of(3000) not in key.data:  # framed as one chunk: its length was not known yet
                    sys.exit("a viewer of the crowd got other bytes")
                waiting.unregister(key.fileobj)
                key.fileobj.close()
    done = time.monotonic()
    fetches = json.loads(get(f"{edge.base}/live/counts/manifest.mpd"))[path]
    print(f"{viewers} viewers ask for one object within {asked - began:.2f} s, before it is there: {fetches} FETCH upstream, "
          f"all have it {done - began:.2f} s after the first asked (it is there after 1.00 s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    args.directory = directory = pathlib.Path(tempfile.mkdtemp(prefix="freshet-edge-"))
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk")
    running = []
    try:
        edge, longer, private, origin = start_edge(directory)
        running += [edge.process, origin]
        nginx = start_nginx(directory)
        running.append(nginx.process)
        print(f"{'object':8} {'server':7} {'requests/s':>11} {'MB/s':>7} {'server CPU µs/request':>22}   median of "
              f"{args.rounds} rounds of {args.seconds} s, {args.connections} connections, one server thread")
        for size, count in SIZES.items():
            rates, costs = {}, {}
            for n in range(args.rounds):
                turn = [edge, longer, private, nginx]
                for server in turn[n % 4:] + turn[:n % 4]:  # nobody is always the first after the pause
                    rate, cost = measure(server, size, args)
                    rates.setdefault(server.name, []).append(rate)
                    costs.setdefault(server.name, []).append(cost)
            rate = {name: statistics.median(v) for name, v in rates.items()}
            cost = {name: statistics.median(v) for name, v in costs.items()}
            for name in rate:
                print(f"{size:8} {name:7} {rate[name]:11.0f} {rate[name] * count / 1e6:7.0f} {cost[name]:22.1f}")
            print(f"{size:8} {'ratio':7} {rate['edged'] / rate['nginx']:10.2f}× {'':7} {cost['edged'] / cost['nginx']:21.2f}×")
            for what, a, b, words in (("URL", "long", "edged", "of a public URL as long as one with a token, to the short one"),
                                      ("token", "private", "long", "of a token that is looked at, to a public URL of the same length"),
                                      ("both", "private", "edged", "of a private stream's URL, to the short public one")):
                print(f"{size:8} {what:7} {ratio(rates, a, b):10.3f}× {'':7} {ratio(costs, a, b):21.3f}×   {words}; median of rounds")
            flooded, forged, cost_of_all = flood(private, size, args)
            print(f"{size:8} {'flooded':7} {flooded:11.0f} {'':7} {cost_of_all:22.1f}   beside {forged:.0f} requests a second with forged "
                  "tokens, all refused; CPU over all of them")
        crowd(edge, 1000)
    finally:
        for process in running:
            process.terminate()
            process.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
