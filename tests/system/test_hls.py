"""Players of HLS and low-latency HLS, served from the same stored chunks as those of DASH: playlists are read as a player reads them, each
version as soon as it is there, and every one is judged (hls_rules.py)."""
import concurrent.futures
import json
import re
import subprocess

import pytest

from harness import LATE_IS_FINE, TINY_LADDER, Cluster, request, wait_until
from hls_rules import Playlist, attributes, judge, judge_change, part_place

VARIABLE = "variable"  # 30 pictures a second, of which some are left out
RATES = {"11": "11", "12": "12", "12.5": "25/2", "14.985": "15000/1001", "15": "15", "18": "18", "23.976": "24000/1001", "24": "24", "25": "25",
         "29.97": "30000/1001", "30": "30", "48": "48", "50": "50", "59.94": "60000/1001", "60": "60", VARIABLE: "30"}
CHUNKS = {"11": 3, "12": 3, "14.985": 3, "12.5": 2, "18": 2, "23.976": 2, "24": 2, "29.97": 2, VARIABLE: 2}  # of 200 ms, of a part; one at the others
LONGEST = {1: 0.25, 2: 0.446, 3: 0.668}  # part, of so many chunks
SHORT = ["12", "25", "29.97"]  # also in chunks of 100 ms
VERSIONS = 18


def variants(text):
    """[(attributes, uri)] of a multivariant playlist, and its sounds."""
    lines = text.split("\n")
    pictures = [(attributes(a.partition(":")[2]), b) for a, b in zip(lines, lines[1:]) if a.startswith("#EXT-X-STREAM-INF:")]
    return pictures, [attributes(a.partition(":")[2]) for a in lines if a.startswith("#EXT-X-MEDIA:TYPE=AUDIO")]


class Player:
    """Follows one track by blocking reload."""

    def __init__(self, base, track, chunks=5):
        self.base, self.track, self.chunks, self.found = base, track, chunks, []
        self.url = f"{base}/{track}/media.m3u8"
        self.now = self.load("")

    def load(self, query):
        answer = wait_until(lambda: (a := request(self.url + query)).status != 503 and a, f"{self.url}{query}")
        assert answer.status == 200, (self.url, query, answer.status, answer.text()[:200])
        assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
        playlist = Playlist(answer.text())
        self.found += [f"{self.track}{query}: {what}" for what in judge(playlist, self.track.startswith("v"), chunks=self.chunks)]
        return playlist

    def next(self):
        n, part, _ = part_place(self.now.hint["URI"])
        later = self.load(f"?_HLS_msn={n}&_HLS_part={part}")
        if not later.ended and not later.has(n, part) and not later.has(n + 1, 0):
            self.found.append(f"{self.track}: answered without {n}.{part}")
        self.found += [f"{self.track}: {what}" for what in judge_change(self.now, later)]
        self.now = later


def part_bytes(base, track, part):
    answer = wait_until(lambda: (a := request(f"{base}/{track}/{part}")).status != 503 and a, f"part {part}")
    assert answer.status == 200, (track, part, answer.status)
    return answer.body


def follow(cluster, rate, in_segment=5):
    """Every version of every track of a stream at that rate, for a while; what is wrong with any."""
    stream = "hls" + rate.replace(".", "-")
    session = cluster.wait_playable(stream, seconds=180)["session"]
    base = cluster.url(f"/live/{stream}/{session}")
    tracks = [t["name"] for t in cluster.stream(stream)["tracks"]]
    pictures, sounds = variants(request(cluster.url(f"/live/{stream}/master.m3u8")).text())
    assert {v[1].split("/")[1] for v in pictures} | {s["URI"].split("/")[1] for s in sounds} == set(tracks)
    assert all(v[0]["CODECS"].count(",") == 1 for v in pictures), pictures
    assert rate == VARIABLE or all(abs(float(v[0]["FRAME-RATE"]) - float(rate)) < 0.01 for v in pictures), pictures
    players = [Player(base, track, in_segment) for track in tracks]

    def play(player):
        for _ in range(VERSIONS):
            player.next()
        assert part_bytes(base, player.track, player.now.hint["URI"])  # held until it is there
    with concurrent.futures.ThreadPoolExecutor(len(players)) as pool:
        for done in [pool.submit(play, player) for player in players]:
            done.result()
    for player in players:  # a segment is its parts, and what is skipped is what was told
        whole = [s for s in player.now.segments if s.uri][-1]
        assert b"".join(part_bytes(base, player.track, x["URI"]) for x in whole.parts) == cluster.segment(stream, session, player.track, whole.n)
        short = wait_until(lambda p=player: (now := p.load("?_HLS_skip=YES")).skipped and now, "there is something to skip")
        assert short.segments[0].n == short.first + short.skipped
        assert not judge_change(player.now, short)
        other = next(p for p in players if p is not player)
        assert f"../{other.track}/media.m3u8" in player.now.reports
        chunks = CHUNKS.get(rate, 1)
        most = LONGEST[chunks if player.track.startswith("v") else 1]
        assert player.now.part_target < most and float(player.now.control["PART-HOLD-BACK"]) < 3 * LONGEST[chunks]
        assert part_place(whole.parts[0]["URI"])[2] == (chunks if player.track.startswith("v") else 1) * in_segment // 5
    return [f"{rate}: {what}" for player in players for what in player.found]


@pytest.mark.parametrize("rates", [list(RATES)[n::3] for n in range(3)], ids=",".join)
def test_every_version_that_a_player_sees_is_by_the_rules(cluster, rates):
    for rate in rates:
        drops = ("-vf", "select='not(eq(mod(n,5),3)+eq(mod(n,11),7))'", "-fps_mode", "vfr") if rate == VARIABLE else ()
        cluster.publish_test_picture("hls" + rate.replace(".", "-"), size="160x90", fps=RATES[rate], gop=30, more=drops)
    with concurrent.futures.ThreadPoolExecutor(len(rates)) as pool:  # side by side: most of the time is that of the clock
        found = [done.result() for done in [pool.submit(follow, cluster, rate) for rate in rates]]
    assert not [what for of_one in found for what in of_one]


def test_on_the_short_grid_too_every_version_is_by_the_rules(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["transcoderd.chunk_ms=100"])
    for rate in SHORT:
        cluster.publish_test_picture("hls" + rate.replace(".", "-"), size="160x90", fps=RATES[rate], gop=30)
    with concurrent.futures.ThreadPoolExecutor(len(SHORT)) as pool:
        found = [done.result() for done in [pool.submit(follow, cluster, rate, 10) for rate in SHORT]]
    assert not [what for of_one in found for what in of_one]


def test_what_cannot_be_asked_for_is_refused(cluster):
    cluster.publish_test_picture("hlsbad", size="160x90")
    session = cluster.wait_playable("hlsbad")["session"]
    track = cluster.stream("hlsbad")["tracks"][0]["name"]
    url = cluster.url(f"/live/hlsbad/{session}/{track}/media.m3u8")
    wait_until(lambda: request(url).status == 200, "a playlist")
    for query in ("?_HLS_part=1", "?_HLS_msn=x", "?_HLS_msn=1000000", "?_HLS_msn=4294967295&_HLS_part=0"):
        assert request(url + query).status == 400, query
    assert request(url + "?_HLS_msn=0").status == 200
    assert request(cluster.url(f"/live/hlsbad/{session}/v9999/media.m3u8")).status == 404
    assert request(cluster.url(f"/live/hlsbad/{session}/{track}/0.7.m4s")).status == 404


def frames(url):
    told = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets",
                           "-of", "json", url], capture_output=True, text=True, timeout=240, check=True)
    return [int(s["nb_read_packets"]) for s in json.loads(told.stdout)["streams"]]


def test_ffmpeg_plays_it_live_and_a_recording_has_each_picture_once(cluster):
    publisher = cluster.publish_test_picture("hlsfilm", seconds=12, size="160x90", fps=25)
    session = cluster.wait_playable("hlsfilm")["session"]
    url = cluster.url("/live/hlsfilm/master.m3u8")
    wait_until(lambda: request(url).status == 200, "the playlist")
    subprocess.run(["ffmpeg", "-v", "error", "-i", url, "-t", "2", "-f", "null", "-"], timeout=240, check=True)
    publisher.wait()
    cluster.wait_state("hlsfilm", "ended", seconds=120)
    base = cluster.url(f"/live/hlsfilm/{session}")
    pictures, _ = variants(request(f"{base}/master.m3u8").text())
    for _, uri in pictures:
        answer = wait_until(lambda: (a := request(f"{base}/{uri}")).status == 200 and "ENDLIST" in a.text() and a, "it has ended")
        playlist = Playlist(answer.text())
        assert not judge(playlist) and playlist.tags["#EXT-X-PLAYLIST-TYPE"] == "VOD"
        assert "immutable" in answer.headers["cache-control"]
        length = sum(s.duration for s in playlist.segments if not s.gap)
        assert frames(f"{base}/{uri}") == [round(25 * length)]


class DashReader:
    """Reads each segment of a track by its number, as a player of DASH does that goes by the manifest's clock, and looks at the manifest now and then."""

    def __init__(self, cluster, stream, session, track):
        self.cluster, self.stream, self.base = cluster, f"/live/{stream}", f"/live/{stream}/{session}/{track}"
        self.next, self.told = 1, None

    def go_on(self, segments):
        for _ in range(segments):
            wait_until(lambda: (a := self.cluster.get(f"{self.base}/{self.next}.m4s")).status != 503 and a, f"segment {self.next}")
            answer = self.cluster.get(f"{self.base}/{self.next}.m4s")
            assert answer.status == 200 and answer.body[4:8] == b"styp", (self.next, answer.status)
            mpd = self.cluster.get(f"{self.stream}/manifest.mpd")
            assert mpd.status == 200, mpd.status
            start = re.search(r'availabilityStartTime="([^"]+)"', mpd.text()).group(1)
            assert self.told in (None, start) and mpd.text().count("<Period ") == 1
            self.told = start
            self.next += 1


def test_what_players_are_told_stays_by_the_rules_when_an_origin_and_an_encoder_die(tmp_path):
    with Cluster(tmp_path, sets=LATE_IS_FINE, ladder=TINY_LADDER, origins=2, transcoders=2) as cluster:
        cluster.publish_test_picture("hlsfault", size="160x90", fps=25)
        session = cluster.wait_playable("hlsfault")["session"]
        base = cluster.url(f"/live/hlsfault/{session}")
        tracks = [t["name"] for t in cluster.stream("hlsfault")["tracks"]]
        players = [Player(base, t) for t in tracks]
        dash = [DashReader(cluster, "hlsfault", session, t) for t in tracks]

        def go_on(versions):
            with concurrent.futures.ThreadPoolExecutor(len(players) + len(dash)) as pool:
                work = [pool.submit(lambda p: [p.next() for _ in range(versions)], p) for p in players]
                for done in work + [pool.submit(d.go_on, versions // 4) for d in dash]:
                    done.result()
        go_on(8)
        asked = {n: cluster.metric(n, "originD_fetches_total") for n in ("origin-1", "origin-2")}
        cluster.do("kill", max(asked, key=asked.get))
        go_on(16)
        leads = max(("transcoder-1", "transcoder-2"), key=lambda n: cluster.metric(n, "transcoderd_sessions"))
        cluster.do("kill", leads)
        go_on(24)
        assert not [what for player in players for what in player.found]


def test_old_players_have_segments_of_several_seconds_made_of_the_same_bytes(cluster):
    publisher = cluster.publish_test_picture("hlsold", seconds=14, size="160x90", fps=25)
    session = cluster.wait_playable("hlsold")["session"]
    base = cluster.url(f"/live/hlsold/{session}")
    master = wait_until(lambda: (a := request(cluster.url("/live/hlsold/classic.m3u8"))).status == 200 and a, "the playlist")
    pictures, sounds = variants(master.text())
    tracks = [t["name"] for t in cluster.stream("hlsold")["tracks"]]
    assert {v[1].split("/")[1] for v in pictures} | {s["URI"].split("/")[1] for s in sounds} == set(tracks)
    url = f"{base}/{tracks[0]}/classic.m3u8"
    live = wait_until(lambda: (a := request(url)).status == 200 and a.text(), "a whole segment")
    assert "#EXT-X-TARGETDURATION:4\n" in live and "\n#EXTINF:4.000000,\n0x4.m4s\n" in live and "PART" not in live and "ENDLIST" not in live
    whole = request(f"{base}/{tracks[0]}/0x4.m4s")
    assert whole.status == 200 and int(whole.headers["content-length"]) == len(whole.body) and "immutable" in whole.headers["cache-control"]
    assert whole.body == b"".join(cluster.segment("hlsold", session, tracks[0], n) for n in range(4))
    part = request(f"{base}/{tracks[0]}/0x4.m4s", headers={"Range": "bytes=100-199"})
    assert part.status == 206 and part.body == whole.body[100:200]
    assert request(cluster.node("origin-1")["http"] + f"/live/hlsold/{session}/{tracks[0]}/0x4.m4s").body == whole.body
    mpd = request(cluster.url("/live/hlsold/classic.mpd")).text()
    assert mpd.count("/$Number$x4.m4s") == len(tracks) and "availabilityTimeOffset" not in mpd
    subprocess.run(["ffmpeg", "-v", "error", "-i", cluster.url("/live/hlsold/classic.m3u8"), "-t", "2", "-f", "null", "-"], timeout=240, check=True)
    publisher.wait()
    cluster.wait_state("hlsold", "ended", seconds=120)
    for uri in (f"{pictures[0][1].partition('/')[2]}", "classic.mpd"):
        told = wait_until(lambda u=uri: (a := request(f"{base}/{u}")).status == 200 and ("ENDLIST" in a.text() or '"static"' in a.text()) and a,
                          "it has ended").text()
        lengths = re.findall(r"#EXTINF:([\d.]+)", told)
        assert "m3u8" not in uri or lengths[:-1] == ["4.000000"] * (len(lengths) - 1)
        assert all(abs(n - 350) <= 2 for n in frames(f"{base}/{uri}")), frames(f"{base}/{uri}")
