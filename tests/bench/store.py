#!/usr/bin/python3
"""What the store costs: appends of one track beside plain write(2) of the same bytes, a start over the track, seeks into volumes that
nobody has in memory (tests/tools/store_bench.c); and how long an origin with many recordings needs until it serves, and how much
memory."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/system")]

from harness import reserve_port  # noqa: E402  (the path is set above)

STREAMS = 1000
WINDOW_US = 86_400_000_000  # they began within a day


def make_recordings(data, count):
    """Heads and tracks as originD writes them; media are not there, which nobody notices who does not ask for them."""
    now = int(time.time() * 1e6)
    tracks = json.dumps([{"name": f"v{t}00", "start_us": 0, "first_segment": 0, "bandwidth": 1, "fps_milli": 0, "eras": [[0, 1, "t1"]],
                          "volumes": [[k, 0, 123456, 54000000, 1, 3000, 15000, k * 600, k * 600 + 599, 300000] for k in range(6)],
                          "at_end": {"any": True, "first_segment": 0, "last_segment": 3599, "end_us": 3600000000, "guess_us": 0,
                                     "file_bytes": 740736, "average_bps": 1, "peak_bps": 1, "fps_milli": 1}} for t in range(1, 8)],
                        separators=(",", ":"))
    for i in range(count):
        epoch = now - WINDOW_US + i * (WINDOW_US // count)
        session = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(epoch / 1e6)) + f"-{i:08x}"
        head = {"version": 3, "session": session, "stream": f"cam-{i % STREAMS}", "title": "", "node": "t1", "epoch_us": epoch,
                "generation": 1, "grace_ms": 30000, "state": "ended", "ended_by_writer": True, "ended_wall_us": epoch + 3600000000,
                "end_us": 3600000000, "volume_segments": 600,
                "sum": {"tracks": 7, "lacking": 0, "playable": True, "bytes": 5185152, "digest": f"{i:016x}", "written_generation": 1,
                        "written_place": 0}}
        folder = data / head["stream"] / session
        folder.mkdir(parents=True)
        (folder / "session.json").write_text(json.dumps(head, separators=(",", ":")) + "\n" + tracks + "\n", encoding="utf-8")


def start(data, count):
    """Seconds until it is ready, its resident memory in MB, processor seconds."""
    ports = {key: reserve_port() for key in ("port", "fetch_port", "http_port", "admin_port")}
    sets = [f"--set={key}={value}" for key, value in {**ports, "data_dir": data, "retention_s": 0, "min_free_bytes": 0}.items()]
    began = time.monotonic()
    with subprocess.Popen([TOP / "bin/originD", *sets], stderr=subprocess.DEVNULL) as origin:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['admin_port']}/readyz", timeout=1):
                    break
            except (urllib.error.URLError, OSError):
                if origin.poll() is not None or time.monotonic() - began > 120:
                    sys.exit("originD does not start")
                time.sleep(0.005)
        seconds = time.monotonic() - began
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['admin_port']}/metrics") as answer:
            found = next(int(line.split()[-1]) for line in answer.read().decode().splitlines()
                         if line.startswith('originD_sessions{status="ended"}'))
        status = pathlib.Path(f"/proc/{origin.pid}/status").read_text(encoding="ascii")
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        times = pathlib.Path(f"/proc/{origin.pid}/stat").read_text(encoding="ascii").split()[13:15]
        origin.terminate()
    if found != count:
        sys.exit(f"originD found {found} of {count} recordings: is what make_recordings() writes still what it reads?")
    return seconds, memory / 1024, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=100_000)
    parser.add_argument("--chunks", type=int, default=20_000, help="of 60 kB: as many as an hour of 720p has")
    parser.add_argument("--dir", default=None, help="where the files are made; as large as chunks and recordings are")
    args = parser.parse_args()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="bench-store-", dir=args.dir))
    try:
        subprocess.run([TOP / "build/release/tools/store_bench", scratch / "log", str(args.chunks)], check=True)
        make_recordings(scratch / "data", args.recordings)
        for when in ("first start", "start again"):
            seconds, memory, processor = start(scratch / "data", args.recordings)
            print(f"{when}, {args.recordings} recordings: {seconds:.2f} s, of which processor {processor:.2f} s; {memory:.0f} MB")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
