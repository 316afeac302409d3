#!/usr/bin/env python3
"""CPU of a whole session in transcoderd (decode, 720+480+360 and two audio rungs, package, push) beside one ffmpeg
process that encodes the same ladder with the same x264 settings from the same input, turn about in one run.

The input is the same 720p30 H.264 file for both, read at its own pace. CPU is user + system time of the process over a
window of media time that both have in the middle of their run; ratios are what counts on a noisy machine."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
RUNGS = [("v720", 720, 2500), ("v480", 480, 1200), ("v360", 360, 600)]
AUDIO = [("a128", 128), ("a64", 64)]
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def make_input(path, seconds):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=s=1280x720:r=30:d={seconds}", "-f", "lavfi",
                    "-i", f"sine=frequency=440:sample_rate=48000:d={seconds}", "-vf", "noise=alls=8:allf=t", "-c:v", "libx264",
                    "-preset", "veryfast", "-b:v", "4M", "-g", "60", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2",
                    str(path)], check=True)


def ffmpeg_ladder(source, threads):
    """The peer: one process, one decode, a scaler a rung, the same x264 and AAC settings, written nowhere."""
    split = "".join(f"[s{i}]" for i in range(len(RUNGS)))
    chains = ";".join(f"[s{i}]scale=-2:{h}[v{i}]" for i, (_, h, _) in enumerate(RUNGS))
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-re", "-i", str(source), "-filter_complex", f"[0:v]split={len(RUNGS)}{split};{chains}"]
    for i, (_, _, kbit) in enumerate(RUNGS):
        command += ["-map", f"[v{i}]", f"-c:v:{i}", "libx264", f"-b:v:{i}", f"{kbit}k", f"-maxrate:v:{i}", f"{kbit * 1.1:.0f}k",
                    f"-bufsize:v:{i}", f"{kbit}k"]
    for i, (_, kbit) in enumerate(AUDIO):
        command += ["-map", "0:a", f"-c:a:{i}", "aac", f"-b:a:{i}", f"{kbit}k"]
    command += ["-preset", "veryfast", "-tune", "zerolatency", "-threads", str(threads), "-x264-params", "scenecut=0:open-gop=0",
                "-force_key_frames", "expr:gte(t,n_forced)", "-g", "9999", "-f", "null", "-"]
    return subprocess.Popen(command)


def measure(pid, settle_s, window_s):
    time.sleep(settle_s)
    before, at = cpu_seconds(pid), time.monotonic()
    time.sleep(window_s)
    return (cpu_seconds(pid) - before) / (time.monotonic() - at), rss_mb(pid)


def freshet(source, cluster, settle_s, window_s):
    nodes = {n["role"]: n for n in cluster["nodes"]}
    publisher = subprocess.Popen(["ffmpeg", "-v", "error", "-re", "-i", str(source), "-c", "copy", "-f", "flv", nodes["ingestd"]["rtmp"] + "/bench"])
    try:
        idle_mb = rss_mb(nodes["transcoderd"]["pid"])
        cpu, mb = measure(nodes["transcoderd"]["pid"], settle_s, window_s)
        streams = json.load(urllib.request.urlopen(nodes["edged"]["http"] + "/api/streams", timeout=5))["streams"]
        names = sorted(t["name"] for s in streams if s["id"] == "bench" for t in s["tracks"])
        wanted = sorted([r[0] for r in RUNGS] + [a[0] for a in AUDIO])
        if names != wanted:
            sys.exit(f"the session has the tracks {names}, not {wanted}")
        return cpu, mb - idle_mb
    finally:
        publisher.terminate()
        publisher.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="window of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    settle_s = 4
    with tempfile.TemporaryDirectory(prefix="freshet-transcode-") as scratch:
        source = pathlib.Path(scratch) / "source.mp4"
        make_input(source, args.seconds + settle_s + 10)
        ladder = [{"video": [{"height": h, "kbps": k, "fps_max": 30} for _, h, k in RUNGS],
                   "audio": [{"kbps": k} for _, k in AUDIO]}]
        local = [str(TOP / "deploy/local")]
        subprocess.run(local + ["up", "--dir", scratch + "/cluster", "--while", str(os.getpid()), "--detach",
                                "--set", "transcoderd.ladder=" + json.dumps(ladder)], check=True)
        try:
            cluster = json.loads((pathlib.Path(scratch) / "cluster/cluster.json").read_text())
            ours, theirs, memory = [], [], []
            for _ in range(args.rounds):
                peer = ffmpeg_ladder(source, 1)
                theirs.append(measure(peer.pid, settle_s, args.seconds))
                peer.terminate()
                peer.wait()
                cpu, mb = freshet(source, cluster, settle_s, args.seconds)
                ours.append(cpu)
                memory.append(mb)
        finally:
            subprocess.run(local + ["down", "--dir", scratch + "/cluster"], check=False)
    best_ours, best_theirs = min(ours), min(cpu for cpu, _ in theirs)
    print(f"\n{'CPU-s per stream second':34} {'best':>6}   each round")
    print(f"{'transcoderd, package and push':34} {best_ours:6.3f}   {' '.join(f'{v:.3f}' for v in ours)}")
    print(f"{'ffmpeg, one process, -threads 1':34} {best_theirs:6.3f}   {' '.join(f'{v:.3f}' for v, _ in theirs)}")
    print(f"ratio {best_ours / best_theirs:.2f} (aim 1.05)")
    print(f"memory of a session {memory[0]:.0f} MB (ffmpeg's process {theirs[0][1]:.0f} MB)")


main()
