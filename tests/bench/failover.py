#!/usr/bin/python3
"""What a fault costs a viewer at the live edge: a stamped 720p broadcast with two 720p rungs, a viewer a track, and one fault of
one process. Beside it, in the same run, what a viewer of nginx's rtmp module (repackaging to HLS, its worker killed) and of plain
ffmpeg (the same two rungs to HLS, restarted by a supervisor) gets of the same source from the same broadcaster, which reconnects.

detected: until a node of the cluster, or the supervisor, says so. first new: until a viewer has the first chunk or segment with a
frame that was sent after the fault; without a fault that is 0 to 200 ms here and 0 to 1000 ms with segments of 1 s. missing: frames
of the source between the first and the last seen that were not seen. longest wait: between two chunks or segments; cost: how much
longer that is than the usual distance (200 ms here; a segment, which is a group of pictures of 2 s, there)."""
import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from datetime import datetime

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/fault"), str(TOP / "tests/system")]

import media  # noqa: E402  (the path is set above)
from broadcast import Broadcast, make_source  # noqa: E402
from broadcaster import Broadcaster  # noqa: E402
from faults import FaultCluster  # noqa: E402
from harness import reserve_port, wait_until  # noqa: E402

LADDER = [{"video": [{"height": 720, "kbps": 2500}, {"height": 718, "kbps": 1800}], "audio": [{"kbps": 96}]}]
SETTLED_S = 4  # of media before the fault
LOCKSTEP_S = 5  # until two encoders have begun anew together
Row = namedtuple("Row", "what detected_ms first_ms missing repeated wait_ms usual_ms aim_ms")


# ---- ours

def said_at(cluster, victim, since):
    """ms from the wall clock time `since` until the first line of another node that says that the victim is gone."""
    config = cluster.config(victim)
    ports = [f":{config[k]} " for k in ("port", "fetch_port") if k in config]
    first = None
    for name in cluster.nodes():
        for line in cluster.log(name).splitlines() if name != victim else ():
            if any(p in line for p in ports) and ("state=dead" in line or "lost" in line or "moving away" in line):
                at = datetime.fromisoformat(line[3:27].replace("Z", "+00:00")).timestamp() - since
                if at > -0.005 and (first is None or at < first):
                    first = at
    return None if first is None else max(first, 0) * 1000


def first_new_ms(show, at):
    """Over all viewers: from `at` to the first chunk with media of after it."""
    media_s = at - show.broadcaster.began
    return max(next(c.at for c in v.chunks if c.ends > media_s) - at for v in show.viewers) * 1000


def leading_origin(cluster, show):
    """The origin that the edges ask for this stream: the one that answers more."""
    def asked():
        return {o: cluster.metric(o, "originD_fetches_total") for o in cluster.names("origin")}
    before = asked()
    show.wait_seen(1)
    return max(after := asked(), key=lambda o: after[o] - before[o])


def leader_of_two(show):
    """In lock-step with its shadow."""
    transcoders = show.cluster.names("transcoder")
    wait_until(lambda: sum(show.cluster.metric(t, "transcoderd_shadows") for t in transcoders) == 1, "a second transcoder")
    show.wait_sent(show.sent_s() + LOCKSTEP_S)
    return show.transcoder()


def ours(cluster, source, what, pick, fault, aim_ms, n):
    cluster.revive()
    stream = f"hot{n}" if pick is leader_of_two else f"bench{n}"
    with Broadcast(cluster, stream, source, patience_s=5.0) as show:
        show.wait_sent(SETTLED_S)
        victim = pick(show)
        wall, at = time.time(), time.monotonic()
        fault(victim)
        show.wait_seen(3)
        show.finish()
        cluster.revive()
        missing = max(len(missing_of([x for x in v.numbers if x is not None])) for v in show.verdicts)
        repeated = max(len(v.repeated) + len(v.disordered) for v in show.verdicts)
        return Row(what, said_at(cluster, victim, wall), first_new_ms(show, at), missing, repeated, show.longest_wait(at) * 1000, 200, aim_ms)


def missing_of(numbers):
    return sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers)) if numbers else []


def freshet(scratch, source, rounds, only):
    cluster = FaultCluster(scratch / "cluster", ladder=LADDER, sets=['ingestd.redundancy=[{"match": "hot*", "transcoders": 2}]'])
    faults = [("transcoder: kill -9", lambda s: s.transcoder(), cluster.kill, 700),
              ("transcoder: frozen", lambda s: s.transcoder(), cluster.freeze, 2500),
              ("transcoder: SIGTERM", lambda s: s.transcoder(), cluster.stop, None),
              ("one of two: kill -9", leader_of_two, cluster.kill, 50),
              ("one of two: frozen", leader_of_two, cluster.freeze, 50),
              ("origin: kill -9", lambda s: leading_origin(cluster, s), cluster.kill, 200),
              ("origin: frozen", lambda s: leading_origin(cluster, s), cluster.freeze, None),
              ("edge: kill -9", lambda s: "edge-1", cluster.kill, None),
              ("proxy: kill -9", lambda s: "ingest-1", cluster.kill, None)]
    rows = []
    try:
        for n, (what, pick, fault, aim_ms) in enumerate(f for f in faults if only in f[0]):
            tried = [ours(cluster, source, what, pick, fault, aim_ms, f"{n}_{i}") for i in range(rounds)]
            rows.append(worst_frames(tried))
    finally:
        cluster.revive()
        cluster.down()
    return rows


def worst_frames(tried):
    """Median of the times, the worst of what was lost."""
    tried.sort(key=lambda r: r.wait_ms)
    return tried[len(tried) // 2]._replace(missing=max(r.missing for r in tried), repeated=max(r.repeated for r in tried))


# ---- the peers

class HlsViewer(threading.Thread):
    """Takes each segment that a playlist names as soon as it is named, straight from the disk: no HTTP in between."""

    def __init__(self, playlist, keep):
        super().__init__(daemon=True)
        self.playlist, self.keep = playlist, keep
        self.segments, self.over = [], threading.Event()  # [(when, copy)]
        keep.mkdir()

    def run(self):
        seen = set()
        while not self.over.wait(0.01):
            try:
                named = [line for line in self.playlist.read_text().splitlines() if line and not line.startswith("#")]
            except FileNotFoundError:
                continue
            for name in named:
                path = self.playlist.parent / name
                try:
                    key = (name, path.stat().st_mtime_ns)
                    if key not in seen:
                        copy = self.keep / f"{len(self.segments):04}.ts"
                        shutil.copyfile(path, copy)
                        seen.add(key)
                        self.segments.append((time.monotonic(), copy))
                except FileNotFoundError:
                    continue


def peer(scratch, source, what, url, playlist, kill, process_gone):
    """The server runs already. kill() ends its working process and returns ms until that was known."""
    viewer = HlsViewer(playlist, scratch / f"seen-{playlist.parent.name}")
    viewer.start()
    broadcaster = Broadcaster(source, [url])
    broadcaster.start()
    wait_until(lambda: len(viewer.segments) >= SETTLED_S, "the peer's segments", 40)
    at = time.monotonic()
    kill()
    wait_until(process_gone, "the peer's supervisor knows", every=0.002)
    detected_ms = (time.monotonic() - at) * 1000
    wait_until(lambda: broadcaster.connections >= 2, "the broadcaster is back", 30)
    have = len(viewer.segments)
    wait_until(lambda: len(viewer.segments) >= have + 4, "the peer's segments go on", 40)
    broadcaster.end()
    viewer.over.set()
    viewer.join()
    sent = next(n for n, when in broadcaster.sent if when > at)
    numbers, first_ms = [], None
    for when, copy in viewer.segments:
        got = [n for n in media.read_numbers(copy, 1280, 720) if n is not None]
        numbers += got
        if first_ms is None and got and max(got) >= sent:
            first_ms = (when - at) * 1000
    times = [when for when, _ in viewer.segments]
    waits = [(b - a) * 1000 for a, b in zip(times[1:], times[2:])]
    repeated = sum(1 for a, b in zip(numbers, numbers[1:]) if b <= a)
    return Row(what, detected_ms, first_ms, len(missing_of(numbers)), repeated, max(waits), sorted(waits)[len(waits) // 2], None)


def nginx(scratch, source, port):
    module = next(iter(pathlib.Path("/usr/lib/nginx/modules").glob("*rtmp*.so")))
    hls = scratch / "nginx"
    hls.mkdir()
    hls.chmod(0o777)
    scratch.chmod(0o755)
    conf = scratch / "nginx.conf"
    conf.write_text(f"load_module {module};\nuser root;\ndaemon off;\nworker_processes 1;\npid {scratch}/nginx.pid;\n"
                    f"error_log {scratch}/error.log;\nevents {{ worker_connections 1024; }}\n"
                    f"rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{ live on; hls on; hls_path {hls}; "
                    "hls_fragment 1s; hls_playlist_length 20s; hls_continuous on; hls_cleanup off; } } }\n")
    master = subprocess.Popen([shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", str(conf)], stderr=subprocess.DEVNULL)

    def worker():
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(master.pid)], capture_output=True, text=True).stdout.split()
        return int(out[0]) if out else None
    try:
        first = wait_until(worker, "nginx's worker")
        return peer(scratch, source, "nginx-rtmp: worker killed", f"rtmp://127.0.0.1:{port}/live/x", hls / "x.m3u8",
                    lambda: os.kill(first, signal.SIGKILL), lambda: worker() not in (None, first))
    finally:
        master.terminate()
        master.wait()


class Supervised(threading.Thread):
    """Starts a command again as soon as it ends, as a supervisor without back-off."""

    def __init__(self, argv):
        super().__init__(daemon=True)
        self.argv, self.over, self.starts, self.process = argv, False, 0, None

    def run(self):
        while not self.over:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.starts += 1
            self.process.wait()

    def end(self):
        self.over = True
        self.process.kill()
        self.join()


def ffmpeg(scratch, source, port):
    url = f"rtmp://127.0.0.1:{port}/live/x"
    argv = ["ffmpeg", "-v", "error", "-listen", "1", "-i", url]
    for i, rung in enumerate(LADDER[0]["video"]):
        hls = scratch / f"ffmpeg{i}"
        hls.mkdir()
        argv += ["-map", "0:v", "-map", "0:a", "-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-threads", "1",
                 "-vf", f"scale=-2:{rung['height']}", "-b:v", f"{rung['kbps']}k", "-g", "30", "-c:a", "aac", "-b:a", "96k", "-f", "hls",
                 "-hls_time", "1", "-hls_list_size", "30", "-hls_flags", "append_list+temp_file", str(hls / "x.m3u8")]
    supervised = Supervised(argv)
    supervised.start()
    try:
        wait_until(lambda: supervised.starts == 1, "ffmpeg")
        wait_until(lambda: listens(port), "ffmpeg listens")
        return peer(scratch, source, "ffmpeg, supervised: killed", url, scratch / "ffmpeg0/x.m3u8",
                    lambda: supervised.process.kill(), lambda: supervised.starts == 2)
    finally:
        supervised.end()


def listens(port):
    """Without connecting: ffmpeg takes one connection only."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(f":{port:04X} 00000000:0000 0A" in line for line in f)


# ---- the table

def cell(value, width=11):
    return f"{'-' if value is None else format(value, '.0f'):>{width}}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="broadcasts a fault; times are their median, frames the worst")
    parser.add_argument("--seconds", type=int, default=60, help="of the source")
    parser.add_argument("--only", default="", help="faults with this in their name, and no peers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freshet-failover-") as name:
        scratch = pathlib.Path(name)
        source = make_source(scratch, args.seconds, size="1280x720")
        rows = freshet(scratch, source, args.rounds, args.only)
        peers = [] if args.only else [run(scratch, source, reserve_port()) for run in (nginx, ffmpeg)]
    print(f"\n720p30, keyframes every 2 s, two 720p rungs; median of {args.rounds} a fault, frames the worst; times in ms")
    print(f"{'':28}{'detected':>11}{'first new':>11}{'missing':>11}{'repeated':>11}{'longest wait':>14}{'cost':>8}{'aim':>8}"
          f"{'nginx ×':>9}{'ffmpeg ×':>9}")
    for row in rows + peers:
        ratios = "".join(f"{p.wait_ms / row.wait_ms:9.1f}" for p in peers) if row not in peers else ""
        print(f"{row.what:28}{cell(row.detected_ms)}{cell(row.first_ms)}{cell(row.missing)}{cell(row.repeated)}{cell(row.wait_ms, 14)}"
              f"{cell(max(row.wait_ms - row.usual_ms, 0), 8)}{cell(row.aim_ms, 8)}{ratios}")
    print("aim: for the cost. ×: the peers' longest waits over ours. They cannot do the other scenarios: nobody notices that one of their\n"
          "processes is frozen, and there is no second one to go on. Frames repeated after the proxy's death are slate.")


main()
