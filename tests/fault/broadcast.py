"""A broadcast under test: a stamped source, a viewer for each track, and the verdict over what they got."""
import os
import time

import numpy

import harness
import media
from broadcaster import Broadcaster
from harness import Lag, wait_until
from viewer import Viewer

FPS = 30
TONE_HZ = 1000
UNDER_WAY_S = 0.15  # from the broadcaster's socket to the transcoder: what a proxy may hold when it dies
HOPS = 4  # broadcaster to proxy, transcoder, origin, edge and viewer: each may be run late
LEADS = ("opened", "opened again", "the shadow leads now")  # lines of a proxy
CLICK = 0.02  # of full scale: what a sample may differ from the continuation of the tone


class Verdict:
    """What one viewer got, against what was sent."""

    def __init__(self, viewer, numbers, sent):
        self.track, self.numbers = viewer.track, numbers
        self.unreadable = numbers.count(None)
        read = [n for n in numbers if n is not None]
        first = read[0] if read else 0
        wanted = [n for n in sent if n >= first]
        self.missing = sorted(set(wanted) - set(read))
        self.repeated = sorted(b for a, b in zip(read, read[1:]) if a == b)
        self.disordered = [(a, b) for a, b in zip(read, read[1:]) if b < a]
        self.strange = sorted(set(read) - set(sent))
        self.wait_s, _ = viewer.longest_wait()

    def gap(self):
        """The numbers of the longest run that is missing, sent or not."""
        read = [n for n in self.numbers if n is not None]
        before, after = max(zip(read, read[1:]), key=lambda pair: pair[1] - pair[0])
        return range(before + 1, after)

    def clean(self):
        return not (self.missing or self.repeated or self.disordered or self.strange or self.unreadable)

    def __repr__(self):
        return (f"{self.track}: {len(self.numbers)} frames, missing {self.missing[:12]}, repeated {self.repeated[:12]}, out of "
                f"order {self.disordered[:6]}, unreadable {self.unreadable}, longest wait {self.wait_s * 1000:.0f} ms")


class Broadcast:
    """with Broadcast(cluster, "name", source) as show: …; show.finish() reads everything to its end."""

    def __init__(self, cluster, stream, source, ingests=None, edges=None, query="", patience_s=2.0):
        nodes = cluster.nodes()
        self.cluster, self.stream, self.source = cluster, stream, source
        self.edges = [nodes[e]["http"] for e in edges or sorted(n for n in nodes if n.startswith("edge-"))]
        ingests = ingests or sorted(n for n in nodes if n.startswith("ingest-"))
        self.broadcaster = Broadcaster(source, [cluster.rtmp(stream, i) + query for i in ingests])
        self.patience_s, self.viewers, self.verdicts = patience_s, [], []
        self.lag = Lag()

    def __enter__(self):
        self.broadcaster.start()
        try:
            self._join()
        except BaseException:
            self.broadcaster.end()
            raise
        return self

    def __exit__(self, *failure):
        self.lag.end()
        for viewer in self.viewers:
            viewer.over.set()
        if self.broadcaster.is_alive():
            self.broadcaster.end()

    def _join(self):
        def both():
            entry = self.cluster.wait_playable(self.stream)
            return {t["name"][0] for t in entry["tracks"]} == {"a", "v"} and entry
        entry = wait_until(both, f"pictures and sound of {self.stream}")  # the first of them may be there earlier
        self.session = entry["session"]
        self.tracks = {t["name"]: t for t in entry["tracks"]}
        first = max(int(self.now_s()) - 1, 0)
        self.viewers = [Viewer(self.edges, self.stream, self.session, t, first, self.patience_s) for t in self.tracks]
        for viewer in self.viewers:
            viewer.start()
        self.wait_seen(0)

    # ---- states

    def now_s(self):
        """Media time of now, by the broadcaster's clock: wall clocks may be stepped meanwhile."""
        return time.monotonic() - self.broadcaster.began

    def sent_s(self):
        return self.broadcaster.sent[-1][0] / FPS if self.broadcaster.sent else 0

    def wait_seen(self, more_s=1.0, seconds=harness.WAIT_S):
        """Until every viewer has what is being sent more_s from now."""
        target = self.now_s() + more_s

        def all_have():
            for viewer in self.viewers:
                assert viewer.failure is None, viewer.failure
            return all(v.seen_s() >= target for v in self.viewers)
        wait_until(all_have, f"all viewers of {self.stream} have media second {target:.1f}; {self.positions()}; {self.broadcaster.events[-3:]}", seconds)

    def wait_sent(self, media_s, seconds=harness.WAIT_S):
        wait_until(lambda: self.sent_s() >= media_s, f"{media_s:.1f} s were sent", seconds)

    def wait_back(self, seconds=harness.WAIT_S):
        """Until the broadcaster, which was connected once, is connected a second time."""
        wait_until(lambda: self.broadcaster.connections >= 2, f"the broadcaster is back; {self.broadcaster.events}", seconds)

    def cut(self):
        at = time.monotonic()
        self.broadcaster.cut()
        return at

    def stay_away(self):
        at = time.monotonic()
        self.broadcaster.stay_away()
        return at

    def longest_wait(self, since=0):
        return max(v.longest_wait(since)[0] for v in self.viewers)

    def late_s(self, since=0):
        """What a wait may be longer because this machine was busy."""
        return HOPS * self.lag.worst(since)

    def positions(self):
        return {v.track: (round(v.seen_s(), 2), v.troubles[-3:]) for v in self.viewers}

    def transcoder(self):
        """The node that has this stream's session now, and leads if there are two, by what the proxies said last."""
        lines = [line for node in self.cluster.nodes() if node.startswith("ingest-") for line in self.cluster.log(node).splitlines()
                 if f"stream={self.stream} " in line and any(f'msg="{m}"' in line for m in LEADS)]
        assert lines, f"no proxy says that {self.stream} was opened"
        address = max(lines).split(" transcoder=")[1].split()[0]
        for name in self.cluster.nodes():
            config = self.cluster.config(name)
            if name.startswith("transcoder-") and address == f"{config['bind']}:{config['port']}":
                return name
        raise AssertionError(address)

    # ---- the end

    def finish(self):
        self.broadcaster.end()
        self.cluster.wait_state(self.stream, "ended", seconds=60)
        for viewer in self.viewers:
            viewer.over.set()
        for viewer in self.viewers:
            viewer.join(harness.WAIT_S)
            assert not viewer.is_alive() and viewer.failure is None, (viewer.failure, viewer.troubles[-5:])
        sent = [n for n, _ in self.broadcaster.sent]
        self.verdicts = []
        for viewer in self.video():
            track = self.tracks[viewer.track]
            numbers = media.read_numbers(self._save(viewer), track["width"], track["height"])
            self.verdicts.append(Verdict(viewer, numbers, sent))
        print(self.told())
        return self

    def video(self):
        return [v for v in self.viewers if v.track.startswith("v")]

    def audio(self):
        return [v for v in self.viewers if v.track.startswith("a")]

    def _save(self, viewer):
        return media.save(self.cluster.dir, f"{self.stream}-{viewer.track}.mp4", viewer.init,
                          [bytes(viewer.segments[n]) for n in sorted(viewer.segments)])

    # ---- the promises

    def assert_nothing_lost(self, same_connection=True):
        """Frames missing, repeated, out of order: none; sound without a click; one session, one Period, one init segment.
        When the broadcaster came by another connection, its sound's place is known to the millisecond only."""
        self.assert_one_timeline()
        for verdict in self.verdicts:
            assert verdict.clean(), (verdict, self.broadcaster.events)
        if same_connection:
            self.assert_sound()
        return self

    def assert_only_the_gap(self, at, until=None, lost_before_s=UNDER_WAY_S):
        """Missing is one run of numbers, of frames that were sent after the moment `at` (less what may have been under way
        then, lost_before_s) or not at all; up to `until`, or the return of the broadcaster. Slate stands there, and repeats nothing else."""
        self.assert_one_timeline()
        sent_at, lag_s = dict(self.broadcaster.sent), self.lag.worst(at - 5)
        for verdict in self.verdicts:
            gap = verdict.gap()
            assert not verdict.disordered and not verdict.strange, verdict
            assert set(verdict.missing) <= set(gap), verdict
            lost_early = [n for n in verdict.missing if sent_at[n] < at - lost_before_s - lag_s]
            lost_late = [n for n in verdict.missing if sent_at[n] > (until or at) + UNDER_WAY_S + lag_s]
            assert not lost_early and not lost_late, (verdict, lost_early, lost_late)
        return self

    def assert_one_timeline(self):
        for viewer in self.viewers:
            self._assert_continuous(viewer)
            for edge in self.cluster.names("edge"):
                again = self.cluster.get(f"/live/{self.stream}/{self.session}/{viewer.track}/init.mp4", edge)
                assert again.body == viewer.init, f"another init segment of {viewer.track} at {edge}"
        manifest = self.cluster.get(f"/live/{self.stream}/{self.session}/manifest.mpd").text()
        assert manifest.count("<Period ") == 1, manifest
        assert self.cluster.stream(self.stream)["session"] == self.session

    @staticmethod
    def _assert_continuous(viewer):
        samples = viewer.samples()
        for a, b in zip(samples, samples[1:]):
            off = b.dts - a.dts - a.duration
            if viewer.track.startswith("a"):
                assert off == 0, f"{viewer.track}: {a} then {b}"
            else:  # a frame lasts until the next; RTMP's whole milliseconds make the last one of a chunk a guess
                assert a.dts < b.dts and abs(off) <= max(a.duration // 2, viewer.scale // 500), f"{viewer.track}: {a} then {b}"

    def assert_sound(self):
        """A pure tone goes on: each sample follows from the two before it."""
        for viewer in self.audio():
            clicks = self.clicks(viewer)
            assert not clicks, f"{viewer.track}: clicks at {clicks[:8]} s of what the viewer got"

    def clicks(self, viewer):
        sound = media.read_sound(self._save(viewer))
        sound = sound[media.AUDIO_RATE // 5:-media.AUDIO_RATE // 5]
        w = 2 * numpy.cos(2 * numpy.pi * TONE_HZ / media.AUDIO_RATE)
        wrong = numpy.abs(sound[2:] - w * sound[1:-1] + sound[:-2])
        return [round(0.2 + i / media.AUDIO_RATE, 3) for i in numpy.flatnonzero(wrong > CLICK)]

    def told(self):
        """One line for a person: what each viewer got, how long it waited, how late it was."""
        waits = ", ".join(f"{v.track} {v.longest_wait()[0] * 1000:.0f}/{v.lateness(self.broadcaster.began) * 1000:.0f}" for v in self.viewers)
        frames = ", ".join(f"{v.track} {len(v.numbers)} frames {len(v.missing)}-{len(v.repeated)}-{len(v.disordered)}" for v in self.verdicts)
        troubles = "; ".join(f"{v.track} {what}" for v in self.viewers for _, what in v.troubles[:2])
        return f"{self.stream}: {frames} (missing-repeated-disordered); longest wait/latest ms: {waits}; troubles: {troubles or 'none'}"


def make_source(directory, seconds, size="320x180"):
    from broadcaster import Source
    path = os.path.join(str(directory), f"stamped-{size}-{seconds}.flv")
    media.make_stamped(path, str(FPS), seconds, size=size, sound=f"sine=frequency={TONE_HZ}:sample_rate=48000,volume=4,aformat=channel_layouts=stereo")
    return Source(path)
