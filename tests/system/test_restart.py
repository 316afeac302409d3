"""Stops and crashes: what was stored is there again, and nothing half-done is served."""
import os
import runpy
import signal
import subprocess
import sys
import threading

import pytest

import mp4
from harness import LOCAL, TINY_LADDER, UP_S, process_state, request, spawn, wait_until


def whole(init, segments):
    """Every segment parses to its last byte, and time goes on without a hole."""
    last = None
    for segment in segments:
        for s in mp4.samples(init, segment):
            # RTMP's whole milliseconds make the length of the last one of a chunk a guess
            assert last is None or s.dts >= last - mp4.timescale(init) // 500, "time runs backwards"
            last = s.dts + s.duration
    return last


def recorded(cluster, stream, seconds=5):
    publisher = cluster.publish_test_picture(stream, size="320x180", seconds=seconds)
    session = cluster.wait_playable(stream)["session"]
    assert publisher.wait() == 0
    cluster.wait_state(stream, "ended")
    return session


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_origin_that_comes_back_serves_the_same_bytes(make_cluster, how):
    cluster = make_cluster(ladder=TINY_LADDER)
    session = recorded(cluster, "kept")
    before = {t: cluster.recording("kept", session, t) for t in ("v180", "a64")}
    cluster.do(how, "origin-1")
    cluster.do("start", "origin-1")
    # Past the edge's cache: a fresh edge has nothing.
    cluster.do("stop", "edge-1")
    cluster.do("start", "edge-1")
    wait_until(lambda: cluster.stream("kept"), "the recording is listed again")
    for track, bytes_before in before.items():
        assert cluster.recording("kept", session, track) == bytes_before
    assert cluster.get(f"/live/kept/{session}/manifest.mpd").status == 200


def test_an_origin_killed_while_it_writes_takes_the_stream_up_again(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    cluster.publish_test_picture("cut", size="320x180")
    session = cluster.wait_playable("cut")["session"]
    cluster.do("kill", "origin-1")
    cluster.do("start", "origin-1")
    entry = cluster.wait_state("cut", "live")
    assert entry["session"] == session
    first = cluster.init("cut", session, "v180")
    # It goes on: two segments beyond what there is now.
    have = 0
    while cluster.get(f"/live/cut/{session}/v180/{have + 1}.m4s").status == 200 and have < 60:
        have += 1
        if have > 4:
            break
    cluster.segment("cut", session, "v180", have + 2)
    segments = [cluster.segment("cut", session, "v180", n) for n in range(have + 3)]
    assert whole(first, segments)


def test_an_origin_whose_start_takes_long_plays_recordings_meanwhile(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    session = recorded(cluster, "kept")
    before = cluster.recording("kept", session, "v180")
    cluster.do("stop", "origin-1", "edge-1")
    stuck = os.path.join(cluster.config("origin-1")["data_dir"], "late", "S9")
    os.makedirs(os.path.join(stuck, "v180"))
    os.mkfifo(os.path.join(stuck, "session.json"))  # who opens it waits for one who writes
    start = threading.Thread(target=cluster.do, args=("start", "origin-1", "edge-1"))
    start.start()
    try:
        wait_until(lambda: "open for reading" in cluster.log("origin-1").rpartition("starting")[2], "the origin reads for viewers")
        init, segments = before
        assert wait_until(lambda: cluster.init("kept", session, "v180"), "the edge serves, which starts too") == init
        assert [cluster.segment("kept", session, "v180", n) for n in range(len(segments))] == segments
        assert cluster.get(f"/live/kept/{session}/manifest.mpd").status == 200
        assert request(cluster.node("origin-1")["admin"] + "/readyz").status == 503
        assert cluster.get(f"/live/late/S9/manifest.mpd").status == 503, "what is not known yet was told not to be there"
    finally:
        with open(os.path.join(stuck, "session.json"), "w", encoding="ascii"):
            pass
        start.join()
    wait_until(lambda: cluster.stream("kept"), "the recording is listed again")
    wait_until(lambda: cluster.get("/live/late/S9/manifest.mpd").status == 404, "what was left alone is not there")


def test_a_torn_tail_is_cut_off_at_the_last_whole_chunk(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    session = recorded(cluster, "torn")
    cluster.do("kill", "origin-1")
    data = cluster.config("origin-1")["data_dir"]
    files = [os.path.join(at, f) for at, _, names in os.walk(data) for f in names if at.endswith("/v180") and f.endswith(".mp4")]
    assert files, f"no file of v180 in {data}"
    biggest = max(files, key=os.path.getsize)
    os.truncate(biggest, os.path.getsize(biggest) - 100)
    cluster.do("start", "origin-1")
    cluster.do("kill", "edge-1")
    cluster.do("start", "edge-1")
    wait_until(lambda: cluster.stream("torn"), "the recording is listed again")
    init, segments = cluster.recording("torn", session, "v180")
    assert len(segments) >= 4 and whole(init, segments)


FIRST_THREAD_ENDS = """
import ctypes, threading
threading.Thread(target=input).start()
ctypes.CDLL(None).syscall(60, 0)  # exit: of this thread alone
"""


def test_a_killed_daemon_is_there_until_its_last_thread_has_ended():
    """It has its ports until then, which its successor wants."""
    child = spawn([sys.executable, "-c", FIRST_THREAD_ENDS, "daemon"], stdin=subprocess.PIPE)
    node = {"pid": child.pid, "argv": [sys.executable, "-c", "daemon"]}
    state = runpy.run_path(LOCAL)["state"]
    try:
        with open(f"/proc/{child.pid}/stat", encoding="ascii") as stat:
            wait_until(lambda: stat.seek(0) == 0 and ") Z " in stat.read(), "its first thread to end")
        assert process_state(node) and state(node) == "running"
        child.stdin.close()
        wait_until(lambda: not process_state(node) and state(node) == "dead", "its end")
    finally:
        child.kill()
        child.wait()


def test_sigterm_ends_every_daemon_with_status_0(make_cluster, tmp_path):
    cluster = make_cluster(ladder=TINY_LADDER)
    cluster.publish_test_picture("going", size="320x180")
    cluster.wait_playable("going")
    cluster.do("stop", "ingest-1")
    cluster.do("stop", "transcoder-1", "origin-1", "edge-1")
    for name, node in cluster.nodes().items():
        # Again as our own child, for the exit status.
        with open(tmp_path / f"{name}.log", "wb") as log:
            child = spawn(node["argv"], stdout=log, stderr=log)
            try:
                wait_until(lambda: request_ok(node), f"{name} up")
                child.send_signal(signal.SIGTERM)
                assert child.wait(60) == 0, (tmp_path / f"{name}.log").read_text()[-2000:]
            finally:
                child.kill()


def request_ok(node):
    from harness import request
    return request(node["admin"] + "/healthz").status == 200


def test_a_transcoder_that_comes_back_takes_the_stream_up_in_the_same_session(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    cluster.publish_test_picture("again", size="320x180")
    session = cluster.wait_playable("again")["session"]
    cluster.do("kill", "transcoder-1")
    cluster.do("start", "transcoder-1")
    wait_until(lambda: cluster.metric("transcoder-1", "transcoderd_sessions") >= 1, "a session on the new transcoder")
    entry = cluster.wait_state("again", "live")
    assert entry["session"] == session
    init = cluster.init("again", session, "v180")
    segments = [cluster.segment("again", session, "v180", n) for n in range(6)]
    assert whole(init, segments) >= 5 * mp4.timescale(init)


@pytest.mark.parametrize("role", ["ingestd", "transcoderd", "originD", "edged"])
def test_bad_configuration_is_refused_with_status_2_and_in_words(role):
    binary = os.path.join(os.environ.get("FRESHET_BIN") or os.path.join(os.path.dirname(os.path.dirname(LOCAL)), "bin"), role)
    for arguments, words in ((["--set", "no_such_key=1"], ["no_such_key"]), (["--set", "admin_port=99999"], ["admin_port", "99999", "65535"]),
                             (["--set", "log_level=loud"], ["log_level", "loud", "debug"])):
        done = subprocess.run([binary] + arguments, capture_output=True, timeout=120)
        said = done.stderr.decode()
        assert done.returncode == 2 and all(w in said for w in words), said
    done = subprocess.run([binary, "--help"], capture_output=True, timeout=120)
    assert done.returncode == 0 and b"admin_port" in done.stdout
    assert subprocess.run([binary, "-n"], capture_output=True, timeout=120).returncode == 0


def test_up_fails_with_the_log_of_the_node_that_did_not_start(tmp_path):
    done = subprocess.run([LOCAL, "up", "--detach", "--dir", str(tmp_path / "c"), "--while", str(os.getpid()),
                           "--set", "originD.no_such_key=1"], capture_output=True, timeout=UP_S)
    said = done.stderr.decode()
    assert done.returncode == 1 and "origin-1" in said and "no_such_key" in said
