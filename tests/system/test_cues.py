"""Text and cue points that an encoder sends beside its pictures, or its sound alone: in every rung and every playlist, each once, where it was said,
whoever dies meanwhile, and whether one encodes the stream or two."""
import base64
import collections
import json
import re
import struct
import threading
import time
from datetime import datetime

import pytest

import media
import mp4
import rtmp
from harness import LATE_IS_FINE, Cluster, request, wait_until

LADDER = [{"video": [{"height": 180, "kbps": 200}, {"height": 90, "kbps": 100, "fps_max": 15}], "audio": [{"kbps": 64}]}]
AMF, SCTE35 = "urn:freshet:amf:2026", "urn:scte:scte35:2013:bin"
SECTION = base64.b64decode("/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=")  # of SCTE 35, 14.2: 30 s out of the network
SECONDS = 16
EVERY_MS = 700
SETS = [*LATE_IS_FINE, 'ingestd.redundancy=[{"match": "pair-*", "transcoders": 2}]']
NEAR_MS = 60  # media time against the source's own: RTMP's milliseconds, and the slewing of ingestd/timeline.c

Cue = collections.namedtuple("Cue", "id scheme at_ms duration_ms body segment")


class Caster(threading.Thread):
    """A film in real time, or its sound, and something said every 700 ms: text, and now and then a splice."""

    def __init__(self, url, tags):
        super().__init__(daemon=True)
        self.connection, self.tags, self.said = rtmp.Connection(url), tags, []
        self.clock = rtmp.VIDEO if any(kind == rtmp.VIDEO for kind, _, _ in tags) else rtmp.AUDIO
        assert self.connection.publish() == "NetStream.Publish.Start"
        self.start()

    def run(self):
        began, due = time.monotonic(), 300
        for kind, ms, payload in self.tags:
            while kind == self.clock and payload[1] == 1 and ms >= due:
                self.say(due)
                due += EVERY_MS
            time.sleep(max(began + ms / 1000 - time.monotonic(), 0))
            self.connection.tag(kind, ms, payload)
        self.connection.command("deleteStream", 6, None, 1)

    def say(self, ms):
        n = len(self.said)
        if n % 5 == 4:
            body = rtmp.amf("onAdCue") + rtmp.amf({"type": "scte35", "cue": base64.b64encode(SECTION).decode(), "duration": 30})
        else:
            body = rtmp.amf("onTextData") + rtmp.amf({"text": f"line {n} \u00fc", "deep": {"n": n}})
        self.connection.message(rtmp.DATA, body, ms, message_stream=1, csid=5)
        self.said.append(ms)


def begins_ms(tags):
    """When the first picture is shown, or the first sound heard: where media time begins."""
    coded = [(kind, ms, payload) for kind, ms, payload in tags if payload[1] == 1]
    kind, ms, payload = next((t for t in coded if t[0] == rtmp.VIDEO), coded[0])
    return ms + (int.from_bytes(payload[2:5], "big", signed=True) if kind == rtmp.VIDEO else 0)


def cues_of(segments):
    """All cues of a track, in the order of its bytes."""
    out = []
    for n, segment in enumerate(segments):
        for kind, first, last in mp4.boxes(segment):
            if kind != "emsg":
                continue
            version, scale, ticks, duration, number = struct.unpack_from(">B3xIQII", segment, first)
            assert version == 1
            scheme, value, body = segment[first + 24:last].split(b"\0", 2)
            assert value == b"1"
            out.append(Cue(number, scheme.decode(), ticks * 1000 // scale, None if duration == 0xffffffff else duration * 1000 // scale, body, n))
    return out


def lines_of(cluster, playlist):
    """{id: attributes} of the playlist's EXT-X-DATERANGE."""
    answer = cluster.get(playlist)
    assert answer.status == 200, (playlist, answer.status)
    found = re.findall(r"^#EXT-X-DATERANGE:(.*)$", answer.text(), re.M)
    lines = [dict(re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line)) for line in found]
    by_id = {line["ID"].strip('"'): line for line in lines}
    assert len(by_id) == len(lines), "one is told twice"
    return by_id


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cues"), sets=SETS, ladder=LADDER, transcoders=2, origins=2) as made:
        yield made


KINDS = {"said": ["v180", "v90"], "sound": ["a64"], "pair-said": ["v180", "v90"], "pair-sound": ["a64"]}  # and the tracks that say it


def leader(cluster, stream):
    """Which transcoder encodes it alone."""
    for name in ("transcoder-1", "transcoder-2"):
        if any(s["stream"] == stream for s in request(f"{cluster.node(name)['admin']}/api/sessions").json()["sessions"]):
            return name
    return None


@pytest.fixture(scope="module")
def casters(cluster, tmp_path_factory):
    """Broadcasts during which a transcoder is killed, to their end: what was said, and what is stored. With pictures and without, encoded by one
    transcoder and by two."""
    path = tmp_path_factory.mktemp("source") / "s.flv"
    media.make_stamped(path, "30", SECONDS, size="320x180", more=["-bf", "2"])
    tags = [t for t in rtmp.flv_tags(path) if t[0] in (rtmp.AUDIO, rtmp.VIDEO)]
    casters = {name: Caster(cluster.rtmp(name), [t for t in tags if t[0] == rtmp.AUDIO] if name.endswith("sound") else tags) for name in KINDS}
    wait_until(lambda: all(len(c.said) > 7 for c in casters.values()), "a third of it")
    for name, caster in casters.items():
        caster.session = cluster.wait_playable(name, tracks=set(KINDS[name]))["session"]
        caster.live = cluster.get(f"/live/{name}/manifest.mpd").text()
    cluster.do("kill", wait_until(lambda: leader(cluster, "said"), "who encodes it"))
    for name, caster in casters.items():
        caster.join()
        assert cluster.wait_state(name, "ended")["session"] == caster.session
        caster.due = [ms - begins_ms(caster.tags) for ms in caster.said]
        caster.cues = {t: cues_of(cluster.recording(name, caster.session, t)[1]) for t in {*KINDS[name], "a64"}}
    return casters


@pytest.fixture(scope="module")
def said(casters):
    return casters["said"]


@pytest.mark.parametrize("name", KINDS)
def test_all_that_was_said_is_in_every_rung_once_and_at_its_time(casters, name):
    said = casters[name]
    assert name.endswith("sound") or said.cues["a64"] == []
    for track in KINDS[name]:
        cues = said.cues[track]
        assert len(cues) == len(said.said), f"{track}: {[c.at_ms for c in cues]} of {said.due}"
        assert len({c.id for c in cues}) == len(cues)
        for n, (cue, ms) in enumerate(zip(cues, said.due)):
            assert abs(cue.at_ms - ms) <= NEAR_MS, f"{track}: number {n} is at {cue.at_ms}, and was said at {ms}"
            assert cue.segment - cue.at_ms // 1000 in (0, 1)  # of the picture behind it, or the sound
            if n % 5 == 4:
                assert (cue.scheme, cue.body, cue.duration_ms) == (SCTE35, SECTION, 30000)
            else:
                assert (cue.scheme, cue.duration_ms) == (AMF, None)
                assert json.loads(cue.body) == {"name": "onTextData", "data": {"text": f"line {n} \u00fc", "deep": {"n": n}}}
    assert len({tuple(c.id for c in said.cues[t]) for t in KINDS[name]}) == 1


@pytest.mark.parametrize("name", KINDS)
def test_each_origin_tells_each_once(cluster, casters, name):
    wanted = {f"{c.id:08X}-{c.at_ms}" for c in casters[name].cues[KINDS[name][0]]}
    for origin in ("origin-1", "origin-2"):
        for track in KINDS[name]:
            playlist = f"http://127.0.0.1:{cluster.config(origin)['http_port']}/live/{name}/{casters[name].session}/{track}/media.m3u8"
            text = wait_until(lambda p=playlist: (a := request(p)).status == 200 and a.text(), playlist)
            told = re.findall(r'^#EXT-X-DATERANGE:ID="([^"]*)"', text, re.M)
            assert sorted(told) == sorted(wanted)


def test_a_manifest_of_sound_alone_names_them_too(cluster, casters):
    for text in (casters["sound"].live, cluster.get("/live/sound/manifest.mpd").text()):
        assert text.count("<InbandEventStream") == 2


def test_players_are_told_of_it_by_both_manifests(cluster, said):
    for text in (said.live, cluster.get("/live/said/manifest.mpd").text()):
        for scheme in (AMF, SCTE35):
            assert text.count(f'<InbandEventStream schemeIdUri="{scheme}" value="1"/>') == 1
    text = cluster.get(f"/live/said/{said.session}/v180/media.m3u8").text()
    at = re.search(r"#EXT-X-PROGRAM-DATE-TIME:(\S+)", text)[1]  # of segment 0
    began = datetime.fromisoformat(at.replace("Z", "+00:00"))
    for track in ("v180", "v90", "a64"):
        lines = lines_of(cluster, f"/live/said/{said.session}/{track}/media.m3u8")
        assert set(lines) == {f"{c.id:08X}-{c.at_ms}" for c in said.cues["v180"]}
        for cue in said.cues["v180"]:
            line = lines[f"{cue.id:08X}-{cue.at_ms}"]
            start = datetime.fromisoformat(line["START-DATE"].strip('"').replace("Z", "+00:00"))
            assert round((start - began).total_seconds() * 1000) == cue.at_ms
            assert line["CLASS"] == f'"{cue.scheme}"'
            body = line["SCTE35-OUT" if cue.scheme == SCTE35 else "X-JSON"]
            assert body.startswith("0x") and bytes.fromhex(body[2:]) == cue.body


def test_who_has_the_session_after_the_other_origin_died_tells_the_same(cluster, said):
    before = lines_of(cluster, f"/live/said/{said.session}/v180/media.m3u8")
    for gone, there in (("origin-1", "origin-2"), ("origin-2", "origin-1")):
        cluster.do("stop", gone, "edge-1")
        cluster.do("start", "edge-1")  # with nothing in its cache
        wait_until(lambda: cluster.get(f"/live/said/{said.session}/v180/media.m3u8").status == 200, f"the recording, from {there}")
        assert lines_of(cluster, f"/live/said/{said.session}/v180/media.m3u8") == before
        cluster.do("start", gone)


def test_readers_of_files_pass_the_boxes_by(cluster, said, tmp_path):
    for track, rate in (("v180", 30), ("v90", 15)):
        path = media.save(tmp_path, f"{track}.mp4", *cluster.recording("said", said.session, track))
        numbers = media.read_numbers(path, int(track[1:]) * 16 // 9, int(track[1:]))
        assert len(set(numbers) - {None}) >= SECONDS * rate - 2
