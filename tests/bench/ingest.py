#!/usr/bin/env python3
"""CPU of the RTMP tier per publisher-second: 50 publishers of 1 Mbit/s each from our own load generator, into ingestd with
everything relayed over nng, by RTMP and by RTMPS, into nginx with its rtmp module, and into a receive-only floor (a process that only reads the
sockets), one after the other in one run. Memory per publisher is the growth of the process over its idle size.

Only the measured process is counted: not the generator, not the transcoder at the other end."""
import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TOP / "build/release/tools"
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))


def wait_port(port, process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with status {process.returncode}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit(f"port {port} does not open")


def wait_ready(admin, process):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not get ready")


def load(port, args, scheme="rtmp"):
    return subprocess.Popen([TOOLS / "rtmp_load", f"--url={scheme}://127.0.0.1:{port}/live", f"--publishers={args.publishers}",
                             f"--kbps={args.kbps}", f"--seconds={args.seconds + 8}"], stdout=subprocess.DEVNULL)


def replay_kb(admin):
    """What of a process's memory is frames that are kept for a transcoder's death; 0 for the peers, which keep none."""
    if not admin:
        return 0
    text = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=2).read().decode()
    return int(re.search(r"^ingestd_replay_bytes (\d+)", text, re.M).group(1)) / 1024


def measure(pid, port, args, admin=None, scheme="rtmp"):
    """CPU ms a publisher-second, kB a publisher, and kB of it in the replay buffer (the mean over the time)."""
    idle_kb = rss_kb(pid)
    generator = load(port, args, scheme)
    try:
        time.sleep(4)
        before, at = cpu_seconds(pid), time.monotonic()
        kept = []
        while time.monotonic() - at < args.seconds:
            time.sleep(1)
            kept.append(replay_kb(admin))
        if generator.poll() is not None:
            sys.exit("the load generator ended early")
        cpu_ms = (cpu_seconds(pid) - before) / (time.monotonic() - at) * 1000 / args.publishers
        return cpu_ms, (rss_kb(pid) - idle_kb) / args.publishers, sum(kept) / len(kept) / args.publishers
    finally:
        generator.terminate()
        generator.wait()


def with_process(command, ready, port, args, admin=None, scheme="rtmp"):
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ready(process)
        return measure(process.pid, port, args, admin, scheme)
    finally:
        process.terminate()
        process.wait()


def certificate(scratch):
    """A directory with a pair for localhost."""
    directory = pathlib.Path(scratch) / "certs"
    if not directory.exists():
        directory.mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-keyout", directory / "tls.key", "-out", directory / "tls.crt", "-subj", "/CN=localhost"],
                       check=True, stderr=subprocess.DEVNULL)
    return directory


def ingestd(scratch, args, scheme="rtmp"):
    base = args.port_base
    sink = subprocess.Popen([TOOLS / "fake_transcoder", f"--port={base + 1}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(base + 1, sink)
        settings = {"rtmp_port": base + 2, "admin_port": base + 3, "transcoders": f"127.0.0.1:{base + 1}", "id": "bench",
                    "replay_bytes": 1 << 20, "publishers_of_address": 0, "publishes_of_address_per_s": 0}
        if scheme == "rtmps":
            settings |= {"rtmps_port": base + 4, "rtmps_certs": certificate(scratch)}
        command = [TOP / "bin/ingestd"] + [word for k, v in settings.items() for word in ("--set", f"{k}={v}")]
        return with_process(command, lambda p: wait_ready(base + 3, p), base + (4 if scheme == "rtmps" else 2), args,
                            base + 3, scheme)
    finally:
        sink.terminate()
        sink.wait()


def nginx(scratch, args):
    port = args.port_base + 10
    conf = pathlib.Path(scratch) / "nginx.conf"
    module = next(iter(pathlib.Path("/usr/lib/nginx/modules").glob("*rtmp*.so")))
    conf.write_text(f"load_module {module};\ndaemon off;\nmaster_process off;\nworker_processes 1;\npid {scratch}/nginx.pid;\n"
                    f"error_log {scratch}/error.log;\nevents {{ worker_connections 1024; }}\n"
                    f"rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n")
    return with_process([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", conf], lambda p: wait_port(port, p), port, args)


def floor(scratch, args):
    port = args.port_base + 20
    return with_process([TOOLS / "rtmp_floor", f"--port={port}"], lambda p: wait_port(port, p), port, args)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishers", type=int, default=50)
    parser.add_argument("--kbps", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--port-base", type=int, default=24500)
    args = parser.parse_args()
    rows = {"ingestd, relaying over nng": ingestd, "the same, by RTMPS": lambda s, a: ingestd(s, a, "rtmps"),
            "nginx with rtmp": nginx, "receive-only floor": floor}
    results = {name: [] for name in rows}
    with tempfile.TemporaryDirectory(prefix="freshet-ingest-") as scratch:
        for _ in range(args.rounds):
            for name, run in rows.items():
                results[name].append(run(scratch, args))
    print(f"{args.publishers} publishers of {args.kbps} kbit/s, {args.seconds} s, best of {args.rounds}")
    print(f"{'':28} {'CPU ms per':>14} {'× floor':>9} {'kB per':>10} {'of it kept':>11}\n"
          f"{'':28} {'publisher-s':>14} {'':>9} {'publisher':>10} {'for replay':>11}")
    floor_ms = min(cpu for cpu, *_ in results["receive-only floor"])
    for name, values in results.items():
        cpu, kb, kept = min(values)
        print(f"{name:28} {cpu:14.3f} {cpu / floor_ms:9.2f} {kb:10.0f} {kept:11.0f}")
    print("aim: ingestd ≤ 0.40 ms; ≤ 150 kB beyond the replay buffer (here at most 1 MB a publisher)")


main()
