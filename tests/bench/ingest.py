#!/usr/bin/env python3
"""CPU of the RTMP tier per publisher-second: publishers of 1 Mbit/s each from our own load generator, in chunks of 4096 bytes (what OBS sends)
and of 128 (what an encoder sends that says nothing), 50 and 400 of them. They publish, in alternating turns of one run, to

  ingestd        which relays all of it over nng; once by RTMPS, too
  nginx          with its rtmp module, which relays nothing
  nginx, push    which relays each stream to another server, as ingestd does
  floor          which only reads the sockets

Only the measured process is counted, in nanoseconds of its threads: not the generator, not who takes what is relayed. Memory of a publisher is
what the process grew by, less what is kept for a transcoder's death; latency is from the generator's send() of a picture to its arrival at the
transcoder."""
import argparse
import json
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

from rig import BIN, TOOLS, Aims, Rig, Server, cores, end, get, turns, wait_for

SETTLE_S = 4
ROOM = {"replay_bytes": 1 << 20, "publishers_of_address": 0, "publishes_of_address_per_s": 0}


def listens(port):
    def knock():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_for(knock, f"port {port} is open")


class Bench:
    def __init__(self, rig, args):
        self.rig, self.args = rig, args
        self.module = next(iter(pathlib.Path("/usr/lib/nginx/modules").glob("*rtmp*.so")))

    def certificate(self):
        """A directory with a pair for localhost."""
        directory = self.rig.directory / "certs"
        if not directory.exists():
            directory.mkdir()
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                            "-keyout", directory / "tls.key", "-out", directory / "tls.crt", "-subj", "/CN=localhost"],
                           check=True, stderr=subprocess.DEVNULL)
        return directory

    # Each starts a server, and whom it needs: (the server, the scheme, who is told SIGUSR2 when the measurement begins and then says the delays).

    def ingestd(self, scheme="rtmp"):
        taker_port, port, tls_port, admin = (self.rig.port() for _ in range(4))
        taker = self.rig.spawn([TOOLS / "fake_transcoder", f"--port={taker_port}", "--delays"], cores()[1], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
        listens(taker_port)
        settings = {"rtmp_port": port, "admin_port": admin, "transcoders": f"127.0.0.1:{taker_port}", "id": "bench", **ROOM}
        if scheme == "rtmps":
            settings |= {"rtmps_port": tls_port, "rtmps_certs": self.certificate()}
        process = self.rig.spawn([BIN / "ingestd", *(word for k, v in settings.items() for word in ("--set", f"{k}={v}"))], cores()[0],
                                 stderr=subprocess.DEVNULL)
        wait_for(lambda: get(f"http://127.0.0.1:{admin}/readyz"), "ingestd is ready")
        return Server("ingestd", process, f"{scheme}://127.0.0.1:{tls_port if scheme == 'rtmps' else port}", admin), taker

    def one_nginx(self, name, push, cpus):
        port = self.rig.port()
        conf = self.rig.directory / f"{name}-{port}.conf"
        conf.write_text(f"""load_module {self.module};
            daemon off; master_process off; worker_processes 1; worker_rlimit_nofile {self.rig.files};
            pid {conf}.pid; error_log {conf}.log;
            events {{ worker_connections 8192; }}
            rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; {push} }} }} }}""")
        process = self.rig.spawn([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-p", self.rig.directory, "-c", conf], cpus,
                                 stderr=subprocess.DEVNULL)
        listens(port)
        return Server(name, process, f"rtmp://127.0.0.1:{port}")

    def nginx(self):
        return self.one_nginx("nginx", "", cores()[0]), None

    def nginx_push(self):
        taker = self.one_nginx("taker", "", cores()[1])
        return self.one_nginx("push", f"push {taker.base}/live;", cores()[0]), taker.process

    def floor(self):
        port = self.rig.port()
        process = self.rig.spawn([TOOLS / "rtmp_floor", f"--port={port}"], cores()[0])
        listens(port)
        return Server("floor", process, f"rtmp://127.0.0.1:{port}"), None

    def measure(self, kind, publishers, chunk):
        """{cpu_ms of a publisher-second, kb of a publisher, kept_kb of it for replay, and of ingestd delays}"""
        server, taker = self.ingestd("rtmps") if kind == "ingestd, RTMPS" else {"ingestd": self.ingestd, "nginx": self.nginx,
                                                                              "nginx, push": self.nginx_push, "floor": self.floor}[kind]()
        idle = server.rss()
        load = self.rig.spawn([TOOLS / "rtmp_load", f"--url={server.base}/live", f"--publishers={publishers}", f"--kbps={self.args.kbps}",
                               f"--chunk={chunk}", f"--seconds={self.args.seconds + 600}"], cores()[1], stdout=subprocess.PIPE, text=True)
        time.sleep(SETTLE_S + publishers / 50)
        if server.admin:
            taker.send_signal(signal.SIGUSR2)
            wait_for(lambda: server.metric("ingestd_publishers") == publishers, "all publish")
        before, at, kept = server.cpu_s(), time.monotonic(), []
        while time.monotonic() - at < self.args.seconds:
            time.sleep(1)
            kept.append(server.metric("ingestd_replay_bytes") if server.admin else 0)
        if load.poll() is not None:
            sys.exit("the load generator ended early")
        found = {"cpu_ms": (server.cpu_s() - before) / (time.monotonic() - at) * 1000 / publishers}
        kept_kb = statistics.mean(kept) / 1e3 / publishers
        found |= {"kb": (server.rss() - idle) / 1e3 / publishers - kept_kb, "kept_kb": kept_kb}
        end(load)
        said = json.loads(load.stdout.read())
        if said["lost"]:
            sys.exit(f"{kind}: {said}")
        found["latest_ms"] = said["latest_ms"]
        if server.admin:
            taker.send_signal(signal.SIGTERM)
            found |= json.loads(taker.stdout.read().splitlines()[-1])
        self.rig.stop(load, server, *([taker] if taker else []))
        return found


def median(rows, name, what):
    return statistics.median(row[what] for row in rows[name])


def ratio(rows, one, other):
    return statistics.median(a["cpu_ms"] / b["cpu_ms"] for a, b in zip(rows[one], rows[other]))


def show(rows, publishers, chunk, aims):
    print(f"\n{publishers} publishers, chunks of {chunk} bytes\n{'':18}{'CPU ms a':>14}{'× nginx':>10}{'kB of a':>12}{'kept for':>10}"
          f"{'picture on its way, ms':>26}\n{'':18}{'publisher-s':>14}{'':>10}{'publisher':>12}{'replay':>10}{'p50':>18}{'p99':>8}", flush=True)
    for name, found in rows.items():
        delays = f"{median(rows, name, 'delay_p50_ms'):18.1f}{median(rows, name, 'delay_p99_ms'):8.1f}" if "delay_p50_ms" in found[0] else ""
        print(f"{name:18}{median(rows, name, 'cpu_ms'):14.3f}{ratio(rows, name, 'nginx'):10.2f}{median(rows, name, 'kb'):12.0f}"
              f"{median(rows, name, 'kept_kb'):10.0f}{delays}", flush=True)
    what = f"{publishers} publishers, chunks of {chunk}"
    aims.most(f"{what}: CPU × nginx that pushes", ratio(rows, "ingestd", "nginx, push"), 0.75)
    aims.most(f"{what}: CPU × nginx that relays nothing", ratio(rows, "ingestd", "nginx"), 1.1 if chunk > 128 else 1.0)
    aims.most(f"{what}: ms a picture is on its way, of 99 in 100", median(rows, "ingestd", "delay_p99_ms"), 12)
    aims.most(f"{what}: kB of a publisher beyond replay", median(rows, "ingestd", "kb"), 60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishers", type=int, nargs="+", default=[50, 400])
    parser.add_argument("--chunks", type=int, nargs="+", default=[4096, 128])
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    aims = Aims()
    print(f"{args.kbps} kbit/s each, {args.seconds} s, medians of {args.rounds} rounds; ratios are of rounds")
    with Rig("ingest") as rig:
        bench = Bench(rig, args)
        for publishers in args.publishers:
            for chunk in args.chunks:
                kinds = ["ingestd", "nginx", "nginx, push", "floor"] + (["ingestd, RTMPS"] if publishers == args.publishers[0] else [])
                rows = {kind: [] for kind in kinds}
                for kind in turns(kinds, args.rounds):
                    rows[kind].append(bench.measure(kind, publishers, chunk))
                show(rows, publishers, chunk, aims)
    print()
    aims.print()


if __name__ == "__main__":
    main()
