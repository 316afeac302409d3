"""A recording as one file (originD/recording.h), read in ranges: what ffmpeg and ffprobe make of it is what the tracks hold."""
import json
import os
import re
import struct
import subprocess

import pytest

from harness import LATE_IS_FINE, TINY_LADDER, Cluster, request, wait_until

TOOLS = os.environ.get("FRESHET_TOOLS") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "release", "tools")
JOIN = os.path.join(TOOLS, "join_recording")
STORED = ["-movflags", "+empty_moov+default_base_moof+cmaf+skip_trailer", "-frag_duration", "200000", "-use_editlist", "0"]
SECONDS = 8


def run(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracks")
    made = []
    for name, source, codec in (("v", f"testsrc2=s=320x180:r=25:d={SECONDS}", ["-c:v", "libx264", "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p",
                                                                              "-video_track_timescale", "90000"]),
                                ("a", f"sine=r=48000:d={SECONDS}", ["-c:a", "aac", "-ac", "2"])):
        made.append(str(folder / f"{name}.mp4"))
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *codec, "-bitexact", *STORED, made[-1])
    return made


def decoded(path, kind):
    """A hash of each decoded frame, without its time."""
    lines = run("ffmpeg", "-v", "error", "-i", path, "-map", f"0:{kind}:0", "-f", "framemd5", "-").splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


def packets(path, kind):
    probe = run("ffprobe", "-v", "error", "-select_streams", f"{kind}:0", "-show_entries", "packet=pts_time,size", "-of", "json", path)
    return [(round(float(p["pts_time"]), 3), int(p["size"])) for p in json.loads(probe)["packets"]]


def test_the_joined_file_decodes_to_what_both_tracks_hold(tracks, tmp_path):
    joined = str(tmp_path / "joined.mp4")
    run(JOIN, joined, "3", "0", *tracks)
    probe = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", joined))
    assert [s["codec_name"] for s in probe["streams"]] == ["h264", "aac"]
    assert abs(float(probe["format"]["duration"]) - SECONDS) < 0.1
    assert len(decoded(joined, "v")) == SECONDS * 25
    for kind, track in zip("va", tracks):
        assert decoded(joined, kind) == decoded(track, kind)
        assert packets(joined, kind) == packets(track, kind)


def boxes(data):
    """Types and sizes of the outermost boxes, of 64 bits too."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = struct.unpack_from(">Q", data, at + 8)[0] if size == 1 else size
        found.append((kind.decode(), size))
        at += size
    return found


def test_it_is_said_where_everything_lies_before_the_media_begin(tracks, tmp_path):
    """QuickTime and editors read no fragments, and who plays while he downloads needs the tables first."""
    joined = tmp_path / "joined.mp4"
    run(JOIN, str(joined), "3", "0", *tracks)
    found = boxes(joined.read_bytes())
    assert [kind for kind, _ in found] == ["ftyp", "moov", "mdat"]
    assert sum(size for _, size in found) == joined.stat().st_size
    assert b"moof" not in joined.read_bytes()[:found[0][1] + found[1][1]] and b"mvex" not in joined.read_bytes()[:found[0][1] + found[1][1]]


def test_an_editor_cuts_it_at_any_picture(tracks, tmp_path):
    joined = str(tmp_path / "joined.mp4")
    run(JOIN, joined, "3", "0", *tracks)
    run("ffmpeg", "-v", "error", "-ss", "4", "-i", joined, "-t", "2", "-c", "copy", "-f", "mp4", str(tmp_path / "cut.mp4"))
    assert decoded(str(tmp_path / "cut.mp4"), "v") == decoded(tracks[0], "v")[4 * 25:6 * 25]


def test_sound_and_picture_lie_beside_each_other(tracks, tmp_path):
    joined = str(tmp_path / "joined.mp4")
    run(JOIN, joined, "3", "0", *tracks)
    probe = run("ffprobe", "-v", "error", "-show_entries", "packet=stream_index,pts_time,pos", "-of", "json", joined)
    by_place = sorted(json.loads(probe)["packets"], key=lambda p: int(p["pos"]))
    newest = [0.0, 0.0]
    for packet in by_place:
        newest[packet["stream_index"]] = float(packet["pts_time"])
        assert abs(newest[0] - newest[1]) < 1.3


def test_a_recording_without_its_beginning_starts_at_zero(tracks, tmp_path):
    joined = str(tmp_path / "joined.mp4")
    run(JOIN, joined, "3", "3", *tracks)
    pictures, sound = packets(joined, "v"), packets(joined, "a")
    assert pictures[0][0] == 0 and len(pictures) == (SECONDS - 3) * 25
    assert 0 <= sound[0][0] < 0.25  # one chunk of what ffmpeg cut begins before the second
    assert decoded(joined, "v") == decoded(tracks[0], "v")[3 * 25:]


def test_one_track_alone_is_a_file_too(tracks, tmp_path):
    joined = str(tmp_path / "joined.mp4")
    run(JOIN, joined, "600", "0", tracks[1])
    assert decoded(joined, "a") == decoded(tracks[1], "a")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """An ended broadcast of several volumes at an origin: (cluster, path of its session, URL of the one file)."""
    with Cluster(tmp_path_factory.mktemp("cluster"), ladder=TINY_LADDER, sets=[*LATE_IS_FINE, "originD.volume_segments=3"]) as cluster:
        publisher = cluster.publish_test_picture("cam", size="320x180", seconds=10)
        session = cluster.wait_playable("cam")["session"]
        origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
        url = f"{origin}/live/cam/{session}/recording.mp4"
        assert request(url).status == 404  # it has no length yet
        assert publisher.wait() == 0
        cluster.wait_state("cam", "ended")
        wait_until(lambda: request(url, "HEAD").status == 200, "the recording")
        yield cluster, f"/live/cam/{session}", url


def test_an_ended_broadcast_is_one_file_at_the_origin(recorded, tmp_path):
    cluster, session, url = recorded
    head, whole = request(url, "HEAD"), request(url)
    assert whole.status == 200 and whole.headers["content-type"] == "video/mp4"
    assert int(head.headers["content-length"]) == len(whole.body)
    path = tmp_path / "recording.mp4"
    path.write_bytes(whole.body)
    for kind, track in (("v", "v180"), ("a", "a64")):
        segments, n = [cluster.get(f"{session}/{track}/init.mp4").body], 0
        while (answer := cluster.get(f"{session}/{track}/{n}.m4s")).status == 200:
            segments.append(answer.body)
            n += 1
        assert n >= 9
        alone = tmp_path / f"{track}.mp4"
        alone.write_bytes(b"".join(segments))
        assert decoded(str(path), kind) == decoded(str(alone), kind)


def test_an_edge_hands_the_file_on_in_pieces(recorded):
    """Each of which it fetches once, however many download it."""
    cluster, session, url = recorded
    whole, edge = request(url), f"{session}/recording.mp4"
    first, head = cluster.get(edge), request(cluster.url(edge), "HEAD")
    assert first.status == 200 and first.body == whole.body and "transfer-encoding" not in first.headers
    assert head.status == 200 and int(head.headers["content-length"]) == len(whole.body) and head.headers["content-type"] == "video/mp4"
    assert first.headers["etag"] == head.headers["etag"] and "recording" not in first.headers["content-disposition"]
    asked = cluster.metric("edge-1", "edged_upstream_fetches_total")
    assert cluster.get(edge).body == whole.body
    assert cluster.metric("edge-1", "edged_upstream_fetches_total") - asked <= 6  # names, lists, what is looked at again each second
    size = len(whole.body)
    for start, end in ((0, 0), (17, 5000), (size // 2, size // 2 + 100_000), (size - 1, size - 1), (size - 70_000, size + 5)):
        part = request(cluster.url(edge), headers={"Range": f"bytes={start}-{end}"})
        end = min(end, size - 1)
        assert part.status == 206 and part.headers["content-range"] == f"bytes {start}-{end}/{size}"
        assert part.body == whole.body[start:end + 1]
    assert request(cluster.url(edge), headers={"Range": f"bytes={size}-"}).status == 416
    assert request(cluster.url(edge), headers={"If-None-Match": head.headers["etag"]}).status == 304
    assert cluster.get(edge + "?from=3&to=6").body == request(url + "?from=3&to=6").body
    assert cluster.get(f"{session}/a64/recording.mp4").headers["content-type"] == "audio/mp4"
    assert [cluster.get(edge + wrong).status for wrong in ("?from=6&to=3", "?track=v180", "?from=1000")] == [400, 400, 404]
    assert cluster.get("/live/cam/20200101T000000Z-00000000/recording.mp4").status == 404


def test_an_edge_fetches_a_small_file_at_once_and_not_by_the_second(recorded):
    """Of a piece each second of each track was a FETCH: a round trip, where the origin is far."""
    cluster, session, url = recorded
    asked = cluster.metric("origin-1", "originD_fetches_total")
    clip = cluster.get(f"{session}/recording.mp4?from=1&to=10")
    asked = cluster.metric("origin-1", "originD_fetches_total") - asked
    assert clip.status == 200 and clip.body == request(url + "?from=1&to=10").body
    assert asked <= 10  # its facts, its header, two or three for four volumes; and lists that are looked at again


def test_a_clip_is_a_file_of_its_own(recorded, tmp_path):
    cluster, session, url = recorded
    clip, named = request(url + "?from=3&to=6"), request(url.replace("recording.mp4", "recording.3-6.mp4"))
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.body)
    assert clip.status == 200 and clip.body == named.body
    assert [kind for kind, _ in boxes(clip.body)] == ["ftyp", "moov", "mdat"]
    for kind, track in (("v", "v180"), ("a", "a64")):
        alone = tmp_path / f"{track}.mp4"
        alone.write_bytes(b"".join(cluster.get(f"{session}/{track}/{n}").body for n in ("init.mp4", "3.m4s", "4.m4s", "5.m4s")))
        assert decoded(str(path), kind) == decoded(str(alone), kind)
        assert packets(str(path), kind)[0][0] < 0.05
    probe = json.loads(run("ffprobe", "-v", "error", "-show_format", "-of", "json", str(path)))
    assert abs(float(probe["format"]["duration"]) - 3) < 0.1
    assert clip.headers["etag"] not in (request(url, "HEAD").headers["etag"], request(url + "?from=3&to=7", "HEAD").headers["etag"])
    assert request(url + "?from=8").status == 200
    assert request(url + "?from=1000").status == 404
    for wrong, given, allowed in (("?from=6&to=3", "from=6 and to=3", "before"), ("?from=1.5", "from=1.5", "from=90"), ("?to=x", "to=x", "to=150")):
        for at in (url, cluster.url(f"{session}/recording.mp4")):
            answer = request(at + wrong)
            assert answer.status == 400 and given in answer.text() and allowed in answer.text(), (at, wrong, answer.text())


def test_a_clip_of_what_is_live_is_made_of_what_is_stored(recorded, tmp_path):
    """And is the same file when the broadcast is over."""
    cluster, _, _ = recorded
    publisher = cluster.publish_test_picture("goes", size="320x180")
    base = f"/live/goes/{cluster.wait_playable('goes')['session']}"
    path = f"{base}/recording.mp4?from=1&to=5"
    origin = f"http://127.0.0.1:{cluster.config('origin-1')['http_port']}"
    early = cluster.get(f"{base}/recording.mp4?from=1&to=50000")
    assert early.status == 400 and "to=50000 is given" in early.text() and "up to " in early.text()
    assert request(origin + f"{base}/recording.mp4?from=1").status == 400
    clip = wait_until(lambda: (a := cluster.get(path)).status == 200 and a, "five seconds are stored")
    assert cluster.stream("goes")["state"] != "ended"
    (tmp_path / "clip.mp4").write_bytes(clip.body)
    probe = json.loads(run("ffprobe", "-v", "error", "-show_format", "-of", "json", str(tmp_path / "clip.mp4")))
    assert abs(float(probe["format"]["duration"]) - 4) < 0.1
    (tmp_path / "v180.mp4").write_bytes(b"".join(cluster.get(f"{base}/v180/{n}").body for n in ("init.mp4", "1.m4s", "2.m4s", "3.m4s", "4.m4s")))
    assert decoded(str(tmp_path / "clip.mp4"), "v") == decoded(str(tmp_path / "v180.mp4"), "v")
    publisher.stop()
    cluster.wait_state("goes", "ended")
    after = wait_until(lambda: (a := cluster.get(path)).status == 200 and a, "it has ended")
    assert after.body == clip.body and after.headers["etag"] == clip.headers["etag"]
    assert request(origin + path).body == clip.body


def test_a_track_of_it_can_be_named(recorded, tmp_path):
    cluster, session, url = recorded
    sound = request(url.replace("/recording.mp4", "/a64/recording.mp4"))
    path = tmp_path / "sound.mp4"
    path.write_bytes(sound.body)
    streams = json.loads(run("ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)))["streams"]
    assert sound.status == 200 and [s["codec_type"] for s in streams] == ["audio"]
    edge = cluster.get(f"{session}/v999/recording.mp4")
    assert edge.status in (400, 404)  # the edge may know that there is no such track
    wrong = request(url.replace("/recording.mp4", "/v999/recording.mp4"))
    assert wrong.status == 400 and b"no track v999 in this recording, which has v180, a64" in wrong.body


def index_entries(box):
    """Lengths and ticks of each, as the sidx says."""
    size, kind, version, _, _, _, later, _, count = struct.unpack_from(">I4sIIIQQHH", box)
    assert kind == b"sidx" and version >> 24 == 1 and size == len(box) == 40 + 12 * count and later == 0
    return [struct.unpack_from(">II", box, 40 + 12 * i) for i in range(count)]


def test_each_track_of_it_on_demand_is_one_file_with_an_index(recorded):
    """Of which a player loads the init segment, the index, and then what it plays."""
    cluster, session, url = recorded
    mpd = cluster.get(f"{session}/ondemand.mpd")
    assert mpd.status == 200 and "immutable" in mpd.headers["cache-control"] and "isoff-on-demand:2011" in mpd.text()
    told = re.findall(r'<BaseURL>((\w+)/ondemand\.0-(\d+)\.mp4)</BaseURL>\s*<SegmentBase timescale="(\d+)" indexRange="(\d+)-(\d+)">\s*'
                      r'<Initialization range="0-(\d+)"', mpd.text())
    assert {name for _, name, *_ in told} == {"v180", "a64"}
    for uri, track, seconds, timescale, first, last, init_last in told:
        parts = []
        for begin, end in ((0, int(init_last)), (int(first), int(last))):
            part = request(cluster.url(f"{session}/{uri}"), headers={"Range": f"bytes={begin}-{end}"})
            assert part.status == 206 and len(part.body) == end - begin + 1
            parts.append(part.body)
        assert parts[0] == cluster.get(f"{session}/{track}/init.mp4").body
        at, n = int(last) + 1, 0
        for size, ticks in index_entries(parts[1]):
            stored = [cluster.get(f"{session}/{track}/{k}.m4s").body for k in range(n, min(n + 4, int(seconds)))]
            part = request(cluster.url(f"{session}/{uri}"), headers={"Range": f"bytes={at}-{at + size - 1}"})
            assert part.body == b"".join(stored) and abs(ticks / int(timescale) - len(stored)) <= 1
            at, n = at + size, n + len(stored)
        head = request(url.replace("recording.mp4", uri), "HEAD")
        assert int(head.headers["content-length"]) == at and n == int(seconds)
        assert request(url.replace("recording.mp4", uri)).body == cluster.get(f"{session}/{uri}").body
    for where in (f"{session}/ondemand.mpd", "/live/cam/ondemand.mpd"):
        assert decoded(cluster.url(where), "v") == decoded(url, "v")
        assert decoded(cluster.url(where), "a") == decoded(url, "a")


def test_who_plays_its_files_on_demand_is_counted_as_a_viewer(recorded):
    cluster, session, _ = recorded
    uri = re.search(r"v180/ondemand\.0-\d+\.mp4", cluster.get(f"{session}/ondemand.mpd").text()).group()

    def watched():
        return cluster.metric("edge-1", "edged_viewers", stream="cam", of="picture") or 0

    def watches():  # the whole of it, of some ten seconds
        return cluster.get(f"{session}/{uri}").status == 200 and watched() >= 0.5

    wait_until(lambda: watched() == 0, "those of other tests have left", every=1)
    wait_until(watches, "a viewer", every=5)


def test_any_range_of_the_file_is_answered(recorded):
    _, _, url = recorded
    whole = request(url).body
    for first, last in ((0, 0), (0, len(whole) - 1), (17, 5000), (len(whole) // 2, len(whole) // 2 + 100_000), (len(whole) - 1, len(whole) - 1)):
        part = request(url, headers={"Range": f"bytes={first}-{last}"})
        last = min(last, len(whole) - 1)
        assert part.status == 206 and part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        assert part.body == whole[first:last + 1]
    assert request(url, headers={"Range": f"bytes={len(whole)}-"}).status == 416
    tag = request(url, "HEAD").headers["etag"]
    assert request(url, headers={"If-None-Match": tag}).status == 304
    assert request(url, headers={"Range": "bytes=5-9", "If-Range": '"another"'}).status == 200
