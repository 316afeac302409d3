"""Every frame once: a number is drawn into each frame of the source and read back from every rung of the recording."""
import json
from fractions import Fraction

import pytest

import media
import mp4
from harness import LATE_IS_FINE, LONG, Cluster

RUNGS = {"video": [{"height": 270, "kbps": 500}, {"height": 180, "kbps": 300}], "audio": [{"kbps": 96}]}
SHORT = "short-"  # a stream whose chunks are half as long
LADDER = [{"match": SHORT + "*", "chunk_ms": 100, **RUNGS}, RUNGS]
SECONDS = 60 if LONG else 9
SKEW_S = 0.020       # audio against video, what the pipeline may add
CLOCK_S = 0.060      # media time against the source's own time: RTMP's milliseconds, and the slewing of ingestd/timeline.c

B_FRAMES = ["-bf", "3", "-preset", "veryfast"]
INTERLACED = ["-flags", "+ildct", "-top", "1"]
CASES = {  # name: (frames per second, how it is encoded)
    "fps24": ("24", []),
    "interlaced25": ("25", INTERLACED),
    "fps29-97": ("30000/1001", []),
    "fps30": ("30", []),
    "fps50": ("50", []),
    "fps60": ("60", []),
    "b24-long-gop": ("24", B_FRAMES + ["-g", "120"]),
    "b30": ("30", B_FRAMES),
    SHORT + "fps8": ("8", []),  # there are places on the grid without a picture
    SHORT + "fps12-5": ("25/2", []),
    SHORT + "fps29-97": ("30000/1001", []),
    SHORT + "b25": ("25", B_FRAMES),
}


GROUPS = [["fps24", "interlaced25", "fps29-97", "fps30"], ["fps50"], ["fps60"], ["b24-long-gop", "b30"], [c for c in CASES if c.startswith(SHORT)]]


class Broadcast:
    """One source, published to its end, and the recording of it."""

    def __init__(self, cluster, directory, name):
        self.cluster, self.directory, self.name = cluster, directory, name
        self.fps, more = CASES[name]
        self.source = directory / f"{name}.flv"
        two_fields = more == INTERLACED
        size = "512x288" if two_fields else "480x270"  # of which each field has even lines
        self.frames = media.make_stamped(self.source, self.fps, SECONDS, size=size, more=more)
        if two_fields:
            media.add_captions(self.source)  # as a broadcaster's equipment does
        self.tracks = {}

    def publish(self):
        self.publisher = self.cluster.publish_file(self.name, self.source)

    def finish(self):
        assert self.publisher.wait(SECONDS + 60) == 0, self.publisher.said()
        entry = self.cluster.wait_state(self.name, "ended")
        self.manifest = self.cluster.get(f"/live/{self.name}/manifest.mpd").text()
        for track in entry["tracks"]:
            self.tracks[track["name"]] = self.cluster.recording(self.name, entry["session"], track["name"])

    def file(self, track):
        return media.save(self.directory, f"{self.name}-{track}.mp4", *self.tracks[track])

    def samples(self, track):
        """[(segment, chunk's first sample?, sample)] and the timescale."""
        init, segments = self.tracks[track]
        out = []
        for n, segment in enumerate(segments):
            for fragment in mp4.fragments(init, segment):
                out += [(n, i == 0, s) for i, s in enumerate(fragment)]
        return out, mp4.timescale(init)

    def video_rungs(self):
        return [t for t in self.tracks if t.startswith("v")]


@pytest.fixture(scope="module")
def broadcasts(tmp_path_factory):
    directory = tmp_path_factory.mktemp("frames")
    with Cluster(directory / "cluster", ladder=LADDER, sets=LATE_IS_FINE) as cluster:
        made = {name: Broadcast(cluster, directory, name) for name in CASES}
        # No more at a time than two cores keep up with.
        for group in GROUPS:
            for name in group:
                made[name].publish()
            for name in group:
                made[name].finish()
        yield made


@pytest.fixture(params=list(CASES))
def broadcast(request, broadcasts):
    return broadcasts[request.param]


def test_no_number_is_missing_and_none_comes_twice(broadcast):
    assert len(broadcast.video_rungs()) == 2
    for track in broadcast.video_rungs():
        height = int(track[1:])
        read = media.read_numbers(broadcast.file(track), height * 16 // 9, height)
        wanted = list(range(broadcast.frames))
        missing, twice = sorted(set(wanted) - set(read)), sorted({n for n in read if read.count(n) > 1})
        assert read == wanted, f"{track}: {len(read)} frames, missing {missing[:20]}, twice {twice[:20]}"


def test_captions_are_in_every_rung_and_named_in_the_manifest(broadcasts):
    said, silent = broadcasts["interlaced25"], broadcasts["fps24"]
    assert media.frames_with_captions(said.source) == said.frames
    for track in said.video_rungs():
        assert media.frames_with_captions(said.file(track)) == said.frames
    assert said.manifest.count("urn:scte:dash:cc:cea-608:2015") == 1
    assert "cea-608" not in silent.manifest


def test_pictures_of_two_fields_come_out_whole(broadcasts):
    made = broadcasts["interlaced25"]
    assert media.probe(made.source, "-select_streams", "v", "-show_entries", "stream=field_order")["streams"][0]["field_order"] == "tt"
    for track in made.video_rungs():
        shown = media.probe(made.file(track), "-select_streams", "v", "-show_entries", "frame=interlaced_frame")["frames"]
        assert not any(f["interlaced_frame"] for f in shown)


def test_segments_and_chunks_begin_exactly_on_the_grid(broadcast):
    frame_s = 1 / float(Fraction(broadcast.fps))
    chunks = 10 if broadcast.name.startswith(SHORT) else 5  # a second
    for track in broadcast.video_rungs():
        samples, scale = broadcast.samples(track)
        assert scale == 90000 and not mp4.has_edit_list(broadcast.tracks[track][0])
        seen, chunk = -1, None
        for n, begins, s in samples:
            at = Fraction(s.dts + s.cts, scale)
            assert n <= at < n + 1, f"{track}: a frame of {float(at)} s lies in segment {n}"
            if begins:
                assert int(at * chunks) != chunk, f"{track}: two chunks of {float(at)} s"
                chunk = int(at * chunks)
            assert int(at * chunks) == chunk, f"{track}: a frame of {float(at)} s lies in the chunk of {chunk / chunks} s"
            if n != seen:
                assert n == seen + 1 and s.sync, f"{track}: segment {n} does not begin with a keyframe"
                assert at - n < frame_s + 0.002, f"{track}: segment {n} begins late, at {float(at)}"
                seen = n


def test_decoding_times_rise_and_durations_add_up(broadcast):
    for track in broadcast.tracks:
        samples, scale = broadcast.samples(track)
        for (_, _, a), (_, _, b) in zip(samples, samples[1:]):
            assert a.dts < b.dts, f"{track}: {a} then {b}"
            # a frame lasts until the next; RTMP's whole milliseconds make the last one of a chunk a guess
            assert abs(a.dts + a.duration - b.dts) <= scale // 500, f"{track}: {a} then {b}"


def test_every_rung_shows_a_frame_at_the_same_instant(broadcast):
    times = []
    for track in broadcast.video_rungs():
        samples, _ = broadcast.samples(track)
        times.append([s.dts + s.cts for _, _, s in samples])
    assert times[0] == times[1]


def source_times(path, kind):
    shown = media.probe(path, "-select_streams", kind, "-show_entries", "packet=pts_time")
    return sorted(float(p["pts_time"]) for p in shown["packets"])


def test_sound_and_picture_stay_together(broadcast):
    samples, scale = broadcast.samples("v270")
    shown = [float(Fraction(s.dts + s.cts, scale)) for _, _, s in samples]
    was = source_times(broadcast.source, "v")
    assert len(shown) == len(was)
    moved = [a - b for a, b in zip(shown, was)]
    assert max(moved) - min(moved) < CLOCK_S

    audio, audio_scale = broadcast.samples("a96")
    heard = [audio[0][2].dts / audio_scale + t for t in media.beep_starts(media.read_sound(broadcast.file("a96")))]
    source_start = source_times(broadcast.source, "a")[0]
    beeps = [source_start + t for t in media.beep_starts(media.read_sound(broadcast.source))]
    compared = 0
    for beep in beeps[1:-1]:
        nearest = min(range(len(was)), key=lambda i: abs(was[i] - beep))
        wanted = beep + moved[nearest]
        got = min(heard, key=lambda t: abs(t - wanted))
        assert abs(got - wanted) < SKEW_S, f"a beep due at {wanted:.3f} s is at {got:.3f} s"
        compared += 1
    assert compared >= SECONDS - 3, json.dumps({"source": beeps, "heard": heard})
