"""Recordings whose picture was over long before their sound, or came after it, or whose sound was over first: what stands in for it (originD/stand_in.h)
is decoded by ffmpeg, whichever way it plays them."""
import os
import re

import pytest

from harness import LATE_IS_FINE, TINY_LADDER, TOP, Cluster, request, run
from media import probe

PUT_FILE = os.path.join(TOP, "build", "release", "tools", "put_file")
SHORT, LONG = 7, 24  # seconds
WAYS = ("manifest.mpd", "master.m3u8", "classic.m3u8")
# stream: (seconds of the picture, of the sound, the picture begins with second)
CASES = {"seen": (SHORT, LONG, 0), "heard": (LONG, SHORT, 0), "late": (LONG, LONG, 12)}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A cluster with two origins, of which the second copied all of it from the first, and the paths of the sessions."""
    folder = tmp_path_factory.mktemp("media")
    stored = ["-movflags", "+empty_moov+default_base_moof+cmaf+skip_trailer", "-frag_duration", "200000", "-use_editlist", "0", "-f", "mp4"]
    made = {}
    for seconds in (SHORT, LONG):
        made["v", seconds], made["a", seconds] = str(folder / f"v{seconds}.mp4"), str(folder / f"a{seconds}.mp4")
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={seconds}", "-c:v", "libx264", "-preset",
            "ultrafast", "-bf", "0", "-g", "25", "-pix_fmt", "yuv420p", "-video_track_timescale", "90000", *stored, made["v", seconds])
        run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"sine=duration={seconds}:sample_rate=48000", "-c:a", "aac", "-ac", "2", *stored,
            made["a", seconds])
    with Cluster(tmp_path_factory.mktemp("cluster"), ladder=TINY_LADDER, sets=LATE_IS_FINE, origins=2) as cluster:
        sessions = {}
        for stream, (picture, sound, late) in CASES.items():
            out = run(PUT_FILE, "--origin", f"127.0.0.1:{cluster.config('origin-1')['port']}", "--stream", stream, "--pace", "0",
                      *(["--late", f"v180={late}"] if late else []), f"v180={made['v', picture]}", f"a64={made['a', sound]}")
            sessions[stream] = f"/live/{stream}/{out.stdout.decode().split()[0]}"
            cluster.wait_state(stream, "ended")
        yield cluster, sessions


def times(url, kind):
    """Of each decoded frame, from the first one on."""
    frames = probe(url, "-select_streams", kind, "-show_entries", "frame=best_effort_timestamp_time,pict_type")["frames"]
    at = [float(frame["best_effort_timestamp_time"]) for frame in frames]
    return [t - at[0] for t in at]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", CASES)
def test_picture_and_sound_are_there_to_the_end(recordings, stream, way):
    if (stream, way) == ("late", "manifest.mpd"):
        pytest.skip("ffmpeg plays the longest Period of a recording alone")
    cluster, sessions = recordings
    url = cluster.url(f"{sessions[stream]}/{way}")
    pictures, sound = times(url, "v:0"), times(url, "a:0")
    whole = LONG - 12 if (stream, way) == ("late", "classic.m3u8") else LONG  # which begins where its picture does
    assert whole - 1.1 <= pictures[-1] <= whole
    assert LONG - 1.1 <= sound[-1] <= LONG + 0.1
    assert max(b - a for a, b in zip(pictures, pictures[1:])) < 1.1  # one a second where one stands in
    assert max(b - a for a, b in zip(sound, sound[1:])) < 0.05


def test_both_origins_say_the_same_and_store_none_of_it(recordings):
    cluster, sessions = recordings
    for stream, track, n in (("seen", "v180", LONG - 1), ("heard", "a64", SHORT + 3), ("late", "v180", 2)):
        path = f"{sessions[stream]}/{track}/{n}.m4s"
        answers = [request(f"http://127.0.0.1:{cluster.config(origin)['http_port']}{path}") for origin in ("origin-1", "origin-2")]
        assert [a.status for a in answers] == [200, 200] and answers[0].body == answers[1].body == cluster.get(path).body
        assert "immutable" not in cluster.get(path).headers["cache-control"]  # the segment itself may yet come from somewhere
        assert cluster.get(f"{sessions[stream]}/{track}/{LONG + 1}.m4s").status == 404


def test_a_file_has_what_is_stored_and_no_more(recordings, tmp_path):
    cluster, sessions = recordings
    (tmp_path / "seen.mp4").write_bytes(cluster.get(f"{sessions['seen']}/recording.mp4").body)
    assert len(times(tmp_path / "seen.mp4", "v:0")) == 25 * SHORT
    assert LONG - 0.2 <= times(tmp_path / "seen.mp4", "a:0")[-1] <= LONG + 0.1
    files = re.findall(r"<BaseURL>(.*?)</BaseURL>", cluster.get(f"{sessions['seen']}/ondemand.mpd").text())
    assert sorted(files) == [f"a64/ondemand.0-{SHORT}.mp4", f"a64/ondemand.{SHORT}-{LONG}.mp4", f"v180/ondemand.0-{SHORT}.mp4"]
