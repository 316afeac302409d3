"""A track as one answer that never ends (`tail`): what is in it, whose pictures it has, where it begins and how it ends."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

import media as sources
import mp4
from harness import LATE_IS_FINE, TINY_LADDER, TOP, Cluster, Publisher, make_certificate, request, reserve_port, spawn, wait_until

# No reader is closed for being slow here: on a machine that does much else at once every one is.
SETS = [*LATE_IS_FINE, "edged.min_rate_bytes_s=0"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    certs = tmp_path_factory.mktemp("certs")
    make_certificate(certs, "edge", "localhost")
    with Cluster(tmp_path_factory.mktemp("tail"), sets=[*SETS, f"edged.https_certs={certs}"], ladder=TINY_LADDER) as made:
        yield made


class Tail(threading.Thread):
    """Reads one until it ends, or is let go of."""

    def __init__(self, url, receive_bytes=0):
        super().__init__(daemon=True)
        parts = urlsplit(url)
        secure = dict(context=ssl._create_unverified_context()) if parts.scheme == "https" else {}  # pylint: disable=protected-access
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self.connection = kind(parts.hostname, parts.port, timeout=240, **secure)
        if receive_bytes:  # what the kernel takes before anybody reads
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self.connection.sock.settimeout(240)
            self.connection.sock.connect((parts.hostname, parts.port))
        self.connection.request("GET", parts.path)
        self.answer = self.connection.getresponse()
        self.bytes, self.whole, self.over = bytearray(), False, False
        self.may_read = threading.Event()
        self.may_read.set()
        self.start()

    def run(self):
        try:
            while piece := self.answer.read1(1 << 14):
                self.bytes += piece
                self.may_read.wait()
            self.answer.read()
            self.whole = True
        except (OSError, http.client.HTTPException, ValueError):
            pass
        self.over = True

    def let_go(self):
        self.may_read.set()
        self.over or self.connection.sock.shutdown(2)
        self.join()


def start(cluster, stream, track="v180", **options):
    publisher = cluster.publish_test_picture(stream, size="320x180", fps=25, **options)
    session = cluster.wait_playable(stream, tracks=[track])["session"]
    return publisher, session, cluster.url(f"/live/{stream}/{session}/{track}/tail")


def first_segment(init, media):
    """Which one this begins with, by its first picture's time. A segment begins with styp, and no other chunk does."""
    assert media[4:8] == b"styp", media[:64]
    end = 0
    for kind, _, last in whole_boxes(media):
        end = last
        if kind == "mdat":
            break
    return mp4.samples(init, bytes(media[:end]))[0].dts // mp4.timescale(init)


def whole_boxes(data):
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at:at + 4], "big")
        if size < 8 or at + size > len(data):
            return
        yield bytes(data[at + 4:at + 8]).decode("latin-1"), at + 8, at + size
        at += size


@pytest.mark.parametrize("track", ["v180", "a64"])
def test_it_is_the_init_segment_and_every_segment_from_a_key_frame_on(cluster, track):
    _, session, url = start(cluster, f"all-{track}", track)
    stream = f"all-{track}"
    assert request(url, method="HEAD").headers["cache-control"] == "no-store"
    tail = Tail(url)
    assert tail.answer.status == 200 and tail.answer.getheader("content-type") == ("video/mp4" if track[0] == "v" else "audio/mp4")
    init = cluster.init(stream, session, track)
    wait_until(lambda: bytes(tail.bytes).count(b"stypmsdh") >= 6, "six segments")
    tail.let_go()
    assert tail.bytes.startswith(init)
    media = bytes(tail.bytes[len(init):])
    n = first_segment(init, media)
    stored = b"".join(cluster.segment(stream, session, track, k) for k in range(n, n + media.count(b"stypmsdh")))
    assert stored.startswith(media)


def packets(url, seconds):
    """[presentation time] of the pictures that ffmpeg's reader gets, of so many seconds"""
    told = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-read_intervals", f"%+{seconds}", "-show_entries",
                           "packet=pts_time", "-of", "json", url], capture_output=True, text=True, timeout=240, check=True)
    return sorted(float(p["pts_time"]) for p in json.loads(told.stdout)["packets"])


def test_ffmpeg_reads_it_live_and_sees_every_picture_once(cluster):
    _, _, url = start(cluster, "probe")
    times = packets(url, 5)
    assert len(times) >= 100
    steps = [b - a for a, b in zip(times, times[1:])]
    assert all(abs(step - 0.04) < 0.002 for step in steps), steps


def test_it_ends_with_the_broadcast_and_has_all_of_it(cluster):
    publisher, session, url = start(cluster, "ends", seconds=10)
    tail = Tail(url)
    publisher.wait()
    wait_until(lambda: tail.over, "it has ended", seconds=120)
    assert tail.whole
    init = cluster.init("ends", session, "v180")
    media = bytes(tail.bytes[len(init):])
    n = first_segment(init, media)
    stored = cluster.recording("ends", session, "v180")[1]
    assert media == b"".join(stored[n:])
    wait_until(lambda: request(url, method="HEAD").status == 404, "there is none any more")


def test_who_reads_too_slowly_goes_on_with_a_newer_segment(cluster):
    _, session, url = start(cluster, "slow")
    moved = cluster.metric("edge-1", "edged_tail_moved_total")
    init = cluster.init("slow", session, "v180")
    tail = Tail(url, receive_bytes=4096)
    n = wait_until(lambda: (seen := told_segments(init, bytes(tail.bytes[len(init):]))) and seen[0], "a chunk")
    tail.may_read.clear()
    cluster.segment("slow", session, "v180", n + 15)
    tail.may_read.set()
    wait_until(lambda: cluster.metric("edge-1", "edged_tail_moved_total") > moved, "it is given something newer")
    assert cluster.metric("edge-1", "edged_tail_left_out_total") >= 1
    seen = wait_until(lambda: (s := told_segments(init, bytes(tail.bytes[len(init):]))) and any(b > a + 1 for a, b in zip(s, s[1:])) and s, "it reads that")
    assert seen == sorted(set(seen)) and seen[0] == n
    tail.let_go()
    times = [s.dts for s in mp4.samples(init, whole_part(bytes(tail.bytes[len(init):])))]
    assert times == sorted(set(times))  # none comes twice, and none out of order


def whole_part(media):
    """Up to its last whole chunk."""
    ends = [last for kind, _, last in whole_boxes(media) if kind == "mdat"]
    return media[:ends[-1] if ends else 0]


def told_segments(init, media):
    """The segments in it, in their order."""
    out = []
    for sample in mp4.samples(init, whole_part(media)):
        n = sample.dts // mp4.timescale(init)
        if not out or out[-1] != n:
            out.append(n)
    return out


def test_deaths_above_are_not_seen_in_it_and_an_edge_that_leaves_ends_it_well(tmp_path):
    with Cluster(tmp_path, sets=SETS, ladder=TINY_LADDER, origins=2, transcoders=2, edges=2) as cluster:
        _, session, url = start(cluster, "faults")
        other = cluster.url(f"/live/faults/{session}/v180/tail", "edge-2")
        init = cluster.init("faults", session, "v180")
        leaves, stays = Tail(url), Tail(other)
        wait_until(lambda: len(leaves.bytes) > len(init) and len(stays.bytes) > len(init), "both have begun")
        asked = {n: cluster.metric(n, "originD_fetches_total") for n in ("origin-1", "origin-2")}
        cluster.do("kill", max(asked, key=asked.get))
        leads = max(("transcoder-1", "transcoder-2"), key=lambda n: cluster.metric(n, "transcoderd_sessions"))
        cluster.do("kill", leads)
        have = len(told_segments(init, bytes(stays.bytes[len(init):])))
        wait_until(lambda: len(told_segments(init, bytes(stays.bytes[len(init):]))) > have + 8, "it goes on", seconds=120)
        cluster.do("stop", "edge-1")
        wait_until(lambda: leaves.over, "the edge's own has ended")
        assert leaves.whole
        stays.let_go()
        for tail in (leaves, stays):
            media = bytes(tail.bytes[len(init):])
            n = first_segment(init, media)
            last = told_segments(init, media)[-1]
            stored = b"".join(wait_until(lambda k=k: (a := cluster.get(f"/live/faults/{session}/v180/{k}.m4s", "edge-2")).status == 200 and a,
                                         f"segment {k}").body for k in range(n, last + 1))
            assert stored == media if tail is leaves else stored.startswith(media)


# ---- through what lies between an edge and its viewers

def viewers_part(folder, edge):
    """deploy/haproxy/haproxy.cfg, what is the viewers' in it, in front of this edge: (arguments, its port, its port with TLS)"""
    ports = [reserve_port() for _ in range(2)]
    make_certificate(folder, "tls", "localhost")
    (folder / "tls").mkdir()
    (folder / "tls" / "tls.pem").write_text((folder / "tls.crt").read_text() + (folder / "tls.key").read_text())
    with open(os.path.join(TOP, "deploy", "haproxy", "haproxy.cfg"), encoding="utf-8") as f:
        text = f.read().partition("# ---- broadcasters")[0]
    for line, instead in (("bind :8080", f"bind 127.0.0.1:{ports[0]}"), ("bind :8443 ssl crt /run/freshet/tls/", f"bind 127.0.0.1:{ports[1]} ssl crt {folder}/tls/"),
                          ("init-addr none resolvers engine resolve-prefer ipv4 ", ""),
                          ("server-template edge 1-32 edge:8080 port 9490", f"server edge {edge['http'].split('/')[2]} port {edge['admin'].rpartition(':')[2]}")):
        assert text.count(line) == 1, line
        text = text.replace(line, instead)
    path = folder / "haproxy.cfg"
    path.write_text(text)
    return ["haproxy", "-db", "-f", str(path)], *ports


@pytest.fixture(scope="module")
def balancer(cluster, tmp_path_factory):
    """Its addresses, with TLS and without; None: it is not installed."""
    if not shutil.which("haproxy"):
        yield None
        return
    folder = tmp_path_factory.mktemp("haproxy")
    arguments, plain, secure = viewers_part(folder, cluster.node("edge-1"))
    with open(folder / "log", "wb") as out:
        process = spawn(arguments, stdout=out, stderr=out)
    try:
        wait_until(lambda: request(f"http://127.0.0.1:{plain}/time").status == 200, "haproxy sends on")
        yield {"haproxy": f"http://127.0.0.1:{plain}", "haproxy-https": f"https://127.0.0.1:{secure}"}
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("way", ["https", "haproxy", "haproxy-https"])
def test_no_chunk_waits_for_others_in_tls_or_in_the_balancer(cluster, balancer, way):
    """Of sound, of which a chunk is so small that ten of them fit into any buffer."""
    if way != "https" and not balancer:
        pytest.skip("haproxy is not installed")
    base = balancer[way] if way != "https" else f"https://127.0.0.1:{cluster.config('edge-1')['https_port']}"
    _, session, url = start(cluster, way, "a64")
    init = cluster.init(way, session, "a64")
    direct, through = Tail(url), Tail(f"{base}/live/{way}/{session}/a64/tail")

    def has(tail):
        """Up to which second."""
        seen = mp4.samples(init, whole_part(bytes(tail.bytes[len(init):])))
        return (seen[-1].dts + seen[-1].duration) / mp4.timescale(init) if seen else 0

    wait_until(lambda: has(direct) and has(through), "both have begun")
    behind, have = [], has(direct)
    while len(behind) < 30:
        have = wait_until(lambda: (now := has(direct)) > have and now, "another chunk", every=0.01)
        behind.append(have - has(through))
    for tail in (direct, through):
        tail.let_go()
    assert through.answer.status == 200 and through.answer.getheader("content-type") == "audio/mp4"
    assert statistics.median(behind) <= 0.65, behind  # chunks of 200 ms; with a buffer of 16 kB between them it is a second
    n = first_segment(init, bytes(through.bytes[len(init):]))
    media = whole_part(bytes(through.bytes[len(init):]))
    stored = b"".join(cluster.segment(way, session, "a64", k) for k in range(n, n + media.count(b"stypmsdh")))
    assert stored.startswith(media)


# ---- players that Debian has, as the documents say that they are called

FPS = 25
PICTURES = 6 * FPS  # that each is to show
SOURCE_S = 20       # which is sent again and again
TOTAL = SOURCE_S * FPS
PATIENCE_S = 240
TRIES = 6           # of a player: on a machine with much else to do one may fall so far behind that it is given something newer


def numbers_of(argv, path):
    """Of the pictures that a player wrote into the file, until it ended."""
    player = Publisher(argv, f"{path}.txt")
    try:
        wait_until(lambda: not player.running(), path, seconds=PATIENCE_S)
    finally:
        player.kill()
    return sources.read_numbers(path, 320, 180) if os.path.exists(path) and os.path.getsize(path) else []


def ffmpeg(url, path):
    return numbers_of(["ffmpeg", "-v", "error", "-nostdin", "-i", url, "-frames:v", str(PICTURES + FPS), "-c", "copy", "-f", "matroska",
                       path], path)


def mpv(url, path):
    return numbers_of(["mpv", "--no-config", "--really-quiet", "--profile=low-latency", "--no-audio", f"--frames={PICTURES + FPS}",
                       "--ovc=libx264", "--ovcopts=preset=ultrafast", f"--o={path}", url], path)


def ffplay(url, path):
    """It shows them to nobody, and says of each when it is, which is its number, and what it is made of."""
    shown = ["ffplay", "-hide_banner", "-fflags", "nobuffer", "-sync", "video", "-vf", "showinfo", url]
    player = Publisher(["env", "SDL_VIDEODRIVER=dummy", "SDL_AUDIODRIVER=dummy", *shown], f"{path}.txt")
    try:
        wait_until(lambda: not player.running() or len(told_by(path)) > PICTURES, path, seconds=PATIENCE_S)
    finally:
        player.kill()
    told = told_by(path)
    assert len({sum_ for _, sum_ in told}) == len(told), "some came twice"
    return [round(time * FPS) % TOTAL for time, _ in told]


def told_by(path):
    """[when, checksum] of the pictures in what ffplay has said so far"""
    with open(f"{path}.txt", errors="replace") as said:
        return [(float(time), sum_) for time, sum_ in re.findall(r"pts_time: *([\d.]+) .*? checksum:(\w+)", said.read())]


@pytest.fixture(scope="module")
def numbered(cluster, tmp_path_factory):
    source = tmp_path_factory.mktemp("numbered") / "s.flv"
    sources.make_stamped(source, str(FPS), SOURCE_S, size="320x180", audio=False)
    cluster.publish_file("numbered", source, loop=True)
    session = cluster.wait_playable("numbered", tracks=["v180"])["session"]
    return cluster.url(f"/live/numbered/{session}/v180/tail")


@pytest.mark.parametrize("player", [ffmpeg, mpv, ffplay], ids=lambda player: player.__name__)
def test_a_player_shows_every_picture_once_from_where_it_begins(numbered, tmp_path, player):
    if not shutil.which(player.__name__):
        pytest.skip(f"{player.__name__} is not installed")
    for turn in range(TRIES):
        numbers = player(numbered, str(tmp_path / f"{turn}.mkv"))
        assert len(numbers) > TOTAL or len(numbers) == len(set(numbers)), f"some came twice: {numbers}"
        if len(numbers) >= PICTURES and numbers[0] is not None and \
                numbers == [(numbers[0] + n) % TOTAL for n in range(len(numbers))]:
            return
    pytest.fail(f"some are missing: {numbers}")
