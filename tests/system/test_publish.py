"""From a publisher to what a viewer fetches."""
import os
import re
import time
import xml.etree.ElementTree as ET
from datetime import datetime

import pytest

import media
import mp4
from harness import TOP, run, wait_until

TRACKS = {"v360", "v180", "a96"}
MPD = "{urn:mpeg:dash:schema:mpd:2011}"
# Any film will do; one beside the source tree is taken where FRESHET_SAMPLE names none.
SAMPLE = os.environ.get("FRESHET_SAMPLE") or os.path.join(TOP, "..", "shared", "samples", "bbb480.mp4")


def frames_of(url, seconds=6):
    """What a player without a screen decodes from the manifest: (video frames, width, height, audio frames)."""
    shown = media.probe(url, "-show_streams", "-count_frames", "-read_intervals", f"%+{seconds}")["streams"]
    video = max((s for s in shown if s["codec_type"] == "video"), key=lambda s: s["height"], default=None)
    audio = next((s for s in shown if s["codec_type"] == "audio"), None)
    def frames(stream):
        return int(stream.get("nb_read_frames", 0))
    return (frames(video), video["width"], video["height"]) if video else None, frames(audio) if audio else None


def seconds_back(mpd):
    return int(re.fullmatch(r"PT(\d+)S", mpd.get("timeShiftBufferDepth"))[1])


def test_a_published_stream_is_live_and_its_segments_decode(cluster, tmp_path):
    cluster.publish_test_picture("plain")
    entry = cluster.wait_playable("plain", tracks=TRACKS)
    names = {t["name"] for t in entry["tracks"]}
    assert names == TRACKS
    for track in entry["tracks"]:
        init = cluster.init("plain", entry["session"], track["name"])
        segment = cluster.segment("plain", entry["session"], track["name"], 1)
        path = media.save(tmp_path, track["name"] + ".mp4", init, [segment])
        stream = media.probe(path, "-show_streams", "-count_frames")["streams"][0]
        if track["name"].startswith("v"):
            assert stream["codec_name"] == "h264" and stream["height"] == int(track["name"][1:])
            assert stream["width"] == track["width"] and stream["height"] == track["height"]
            assert int(stream["nb_read_frames"]) in (29, 30, 31)  # RTMP's milliseconds, and slewing towards the wall clock
        else:
            assert stream["codec_name"] == "aac" and stream["channels"] == 2 and stream["sample_rate"] == "48000"
            assert int(stream["nb_read_frames"]) in (46, 47)


def test_rungs_above_the_source_are_left_out(cluster):
    cluster.publish_test_picture("small", size="320x180")
    entry = cluster.wait_playable("small", tracks={"v180", "a96"})
    assert {t["name"] for t in entry["tracks"]} == {"v180", "a96"}


def test_the_manifest_says_what_low_latency_players_need(cluster):
    cluster.publish_test_picture("mpd")
    cluster.wait_playable("mpd", tracks=TRACKS)
    answer = cluster.get("/live/mpd/manifest.mpd")
    assert answer.headers["content-type"].startswith("application/dash+xml")
    mpd = ET.fromstring(answer.body)
    assert mpd.get("type") == "dynamic" and mpd.get("availabilityStartTime")
    age = time.time() - datetime.fromisoformat(mpd.get("availabilityStartTime").replace("Z", "+00:00")).timestamp()
    assert seconds_back(mpd) <= max(age, 2)
    clocks = [clock.get("value") for clock in mpd.findall(f"{MPD}UTCTiming")]
    assert clocks == [cluster.url("/time"), "/time"]  # GStreamer asks a whole address only
    assert cluster.get(clocks[1]).text() and len({r.get("id") for r in mpd.iter(f"{MPD}ProducerReferenceTime")}) == 2
    latency = mpd.find(f"{MPD}ServiceDescription/{MPD}Latency")
    assert latency is not None and 500 <= int(latency.get("target")) <= 5000
    templates = mpd.findall(f".//{MPD}SegmentTemplate")
    assert templates and all("$Number$" in t.get("media") for t in templates)
    for representation in mpd.findall(f".//{MPD}Representation"):
        codecs = representation.get("codecs") or ""
        parent = next(s for s in mpd.iter(f"{MPD}AdaptationSet") if representation in list(s))
        if parent.get("contentType") == "image":  # still pictures, which are there when they are whole
            continue
        assert re.match(r"avc1\.[0-9A-Fa-f]{6}$|mp4a\.40\.2$", codecs or parent.get("codecs")), codecs
        template = representation.find(f"{MPD}SegmentTemplate")
        template = template if template is not None else parent.find(f"{MPD}SegmentTemplate")
        assert template.get("availabilityTimeComplete") == "false" and 0 < float(template.get("availabilityTimeOffset")) < 1


def test_ffmpeg_plays_the_manifest(cluster):
    cluster.publish_test_picture("ffmpeg")
    cluster.wait_playable("ffmpeg")

    def plays():
        video, audio = frames_of(cluster.url("/live/ffmpeg/manifest.mpd"))
        return video[0] >= 30 and video[1:] == (640, 360) and audio >= 40
    wait_until(plays, "a second of pictures and sound")


def test_ffmpeg_reads_each_second_of_a_young_broadcast_once(cluster):
    cluster.publish_test_picture("young")
    cluster.wait_playable("young")

    def depth():
        return seconds_back(ET.fromstring(cluster.get("/live/young/manifest.mpd").body))

    def asked():
        said = run("ffmpeg", "-v", "verbose", "-nostdin", "-i", cluster.url("/live/young/manifest.mpd"), "-t", "3",
                   "-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-f", "null", "-").stderr.decode()
        by_track = {}
        for track, n in re.findall(r"DASH request for url '[^']*/([va]\d+)/(\d+)\.m4s'", said):
            by_track.setdefault(track, []).append(int(n))
        return {track: ns for track, ns in by_track.items() if len(ns) > 1}  # of the others only the first is, to see what they are

    def each_once(read):
        return len(read) == 2 and all(ns == list(range(ns[0], ns[0] + len(ns))) for ns in read.values())
    wait_until(lambda: depth() >= 6, "a window of six seconds")
    read = asked()
    while not each_once(read) and depth() < 40:  # on a machine with much else to do it may fall behind by more than the window
        read = asked()
    assert each_once(read), read


def test_gstreamer_plays_the_manifest(cluster):
    cluster.publish_test_picture("gst")
    cluster.wait_playable("gst")
    player = cluster.publish("gst-launch-1.0", "-v", "souphttpsrc", f"location={cluster.url('/live/gst/manifest.mpd')}", "!",
                             "dashdemux", "name=d",
                             "d.", "!", "queue", "!", "decodebin", "!", "video/x-raw", "!", "fakesink", "name=pictures", "silent=false",
                             "d.", "!", "queue", "!", "decodebin", "!", "audio/x-raw", "!", "fakesink", "name=sound", "silent=false")

    def seen(sink):
        return len(re.findall(rf"{sink}: last-message = \"?chain", player.said()))
    wait_until(lambda: seen("pictures") >= 90 and seen("sound") >= 90, "ninety pictures and pieces of sound")
    sizes = set(re.findall(r"width=\(int\)(\d+), height=\(int\)(\d+)", player.said()))
    assert sizes and sizes <= {("320", "180"), ("640", "360")}, sizes  # which rung is its choice, by how fast segments come
    player.kill()


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_one_track_alone_is_a_stream(cluster, kind):
    name = f"only-{kind}"
    cluster.publish_test_picture(name, video=kind == "video", audio=kind == "audio")
    entry = cluster.wait_playable(name)
    assert {t["name"][0] for t in entry["tracks"]} == {kind[0]}
    manifest = cluster.get(f"/live/{name}/manifest.mpd").text()
    assert re.findall(r'<AdaptationSet [^>]*contentType="(audio|video)"', manifest) == [kind]


def test_copied_b_frames_with_a_long_gop_play(cluster, tmp_path):
    source = tmp_path / "b.flv"
    media.make_stamped(source, "24", 8, more=["-bf", "3", "-g", "120", "-preset", "veryfast"])
    cluster.publish_file("copied", source)
    entry = cluster.wait_playable("copied", tracks={"v360"})
    for n in range(3):
        assert len(mp4.samples(cluster.init("copied", entry["session"], "v360"),
                               cluster.segment("copied", entry["session"], "v360", n))) == 24


@pytest.mark.skipif(not os.path.exists(SAMPLE), reason="no film: FRESHET_SAMPLE names one")
def test_a_film_is_copied_in_with_its_surround_sound(cluster, tmp_path):
    cluster.publish_file("film", SAMPLE)
    entry = cluster.wait_playable("film")
    init, segment = (cluster.init("film", entry["session"], "a96"), cluster.segment("film", entry["session"], "a96", 1))
    assert media.probe(media.save(tmp_path, "a.mp4", init, [segment]), "-show_streams")["streams"][0]["channels"] == 2


def test_gstreamer_publishes(cluster):
    cluster.publish("gst-launch-1.0", "-e", "flvmux", "name=m", "streamable=true", "!", "rtmp2sink",
                    f"location={cluster.rtmp('gstpub')}", "videotestsrc", "is-live=true", "num-buffers=600", "!",
                    "video/x-raw,width=640,height=360,framerate=30/1", "!", "x264enc", "tune=zerolatency",
                    "speed-preset=ultrafast", "key-int-max=60", "!", "h264parse", "!", "m.", "audiotestsrc", "is-live=true",
                    "num-buffers=900", "!", "audioconvert", "!", "avenc_aac", "!", "aacparse", "!", "m.")
    entry = cluster.wait_playable("gstpub", tracks=TRACKS)
    assert {t["name"] for t in entry["tracks"]} == TRACKS


def test_librtmp_publishes(cluster, tmp_path):
    source = tmp_path / "s.flv"
    media.make_stamped(source, "30", 10)
    tool = os.path.join(os.path.dirname(media.STAMP), "rtmp_push")
    cluster.publish(tool, str(source), cluster.rtmp("librtmp"))
    entry = cluster.wait_playable("librtmp", tracks=TRACKS)
    assert {t["name"] for t in entry["tracks"]} == TRACKS


def test_a_stream_that_stopped_becomes_a_recording_that_plays_from_the_start(cluster):
    publisher = cluster.publish_test_picture("over", seconds=5)
    session = cluster.wait_playable("over")["session"]
    assert publisher.wait() == 0
    cluster.wait_state("over", "ended")
    wait_until(lambda: 'type="static"' in cluster.get("/live/over/manifest.mpd").text(), "a static manifest")
    url = f"/live/over/{session}/manifest.mpd"
    mpd = ET.fromstring(cluster.get(url).body)
    assert mpd.get("type") == "static"
    length = re.match(r"PT(?:(\d+)M)?([\d.]+)S", mpd.get("mediaPresentationDuration"))
    assert 4.8 <= float(length.group(1) or 0) * 60 + float(length.group(2)) <= 5.3
    video, _ = frames_of(cluster.url(url), 60)
    assert video[0] == 150


def test_a_second_publisher_takes_the_stream_over(cluster):
    first = cluster.publish_test_picture("twice")
    session = cluster.wait_playable("twice")["session"]
    cluster.publish_test_picture("twice")
    wait_until(lambda: not first.running(), "the first publisher's connection is closed")
    entry = cluster.wait_state("twice", "live")
    assert entry["session"] == session
    assert cluster.metric("ingest-1", "ingestd_publishers") >= 1


def test_a_resolution_change_goes_on_in_the_same_session(cluster):
    first = cluster.publish_test_picture("resize", size="640x360")
    session = cluster.wait_playable("resize", tracks=TRACKS)["session"]
    before = cluster.init("resize", session, "v360")
    cluster.publish_test_picture("resize", size="854x480", fps=25)
    wait_until(lambda: not first.running(), "the first publisher's connection is closed")
    slate_then_live = cluster.wait_state("resize", "live")
    assert slate_then_live["session"] == session and cluster.init("resize", session, "v360") == before
