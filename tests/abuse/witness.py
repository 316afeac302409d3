"""A healthy stream of numbered pictures and its viewers, in a process of its own: what an attacker of tests/abuse does to the
interpreter that he runs in is then not taken for what he does to the stream. Asked by lines on standard input, each answered by
one line of JSON (abuse.Healthy is the other end):

  mark    where the stream is now: {"media_s", "left_s": what the source still has}
  judge A B   of what was sent from media second A to B, all of which is waited for: {"wait_ms", "lag_ms", "frames", "missing",
              "trouble"}; wait_ms: how much later than before A the latest chunk came, lag_ms: how late this machine ran what was due

witness.py DIRECTORY STREAM SOURCE"""
import contextlib
import json
import os
import statistics
import sys
import threading
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "fault"), os.path.join(os.path.dirname(HERE), "system")]

import media  # noqa: E402  (the path is set above)
from broadcast import FPS, Broadcast  # noqa: E402
from broadcaster import Source  # noqa: E402
from faults import FaultCluster  # noqa: E402
from harness import wait_until  # noqa: E402

USUAL_S = 3  # of the stream before the attack, which say how late its chunks usually are
STANDS_S = 30  # a stream of which no chunk comes for so long does not go on


class Running(FaultCluster):
    """One that is up already, and that somebody else will end."""

    def __init__(self, directory):
        self.dir, self.publishers = directory, []


class Witness:
    def __init__(self, show):
        self.show = show

    def mark(self):
        return {"media_s": self.show.now_s(), "left_s": self.show.source.tags[-1][0] / 1000 - self.show.now_s()}

    def judge(self, begin, end):
        begin, end, show = float(begin), float(end), self.show
        trouble = None
        try:
            self._wait_seen(end)
        except AssertionError as error:
            trouble = str(error)
        began = show.broadcaster.began
        wait_s = max(self._late(v, began, begin, end) for v in show.viewers)
        if show.broadcaster.connections != 1:
            trouble = f"the broadcaster was cut off: {show.broadcaster.events[-3:]}"
        failed = [v for v in show.viewers if v.failure]
        if failed:
            trouble = f"{failed[0].track}: {failed[0].failure!r}"
        answer = {"wait_ms": round(wait_s * 1000), "lag_ms": round(show.lag.worst(began + begin) * 1000), "frames": 0, "missing": []}
        for viewer in show.video():
            frames, missing = self._frames(viewer, begin, end)
            answer["frames"] += frames
            answer["missing"] += missing
        return {**answer, "trouble": trouble or "; ".join(f"{v.track} {what}" for v in show.viewers for at, what in v.troubles
                                                          if at >= began + begin)[:400]}

    def _behind(self, end):
        return [v for v in self.show.viewers if not v.failure and v.chunks[-1].segment <= end]

    def _wait_seen(self, end):
        """As long as more is seen: on a machine that has other things to do it may come later than any bound says."""
        while behind := self._behind(end):
            had = {v: len(v.chunks) for v in behind}
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not self._behind(end), "all that was sent is seen", STANDS_S)
            still = [v.track for v in self._behind(end) if len(v.chunks) == had[v]]
            assert not still, f"nothing more of {still} is seen for {STANDS_S} s"

    @staticmethod
    def _late(viewer, began, begin, end):
        """What came latest, beyond what is usual. What never came is as late as it is by now."""
        late = [(c.ends, c.at - began - c.ends) for c in list(viewer.chunks)]
        usual = statistics.median([s for ends, s in late if begin - USUAL_S <= ends < begin] or [0])
        return max([s for ends, s in late if begin <= ends <= end] or [end - begin]) - usual

    def _frames(self, viewer, begin, end):
        """(how many frames were to come, the numbers of those that did not)"""
        segments = [bytes(viewer.segments[n]) for n in range(int(begin), int(end) + 1) if n in viewer.segments]
        track = self.show.tracks[viewer.track]
        path = media.save(self.show.cluster.dir, f"{self.show.stream}-{viewer.track}.mp4", viewer.init, segments)
        read = set(media.read_numbers(path, track["width"], track["height"])) if segments else set()
        wanted = range(int(begin * FPS) + 1, int(end * FPS))
        return len(wanted), [n for n in wanted if n not in read]


def main():
    directory, stream, source = sys.argv[1:]
    with Broadcast(Running(directory), stream, Source(source)) as show:
        show.wait_seen(USUAL_S)
        witness = Witness(show)
        print(json.dumps({"ready": stream}), flush=True)
        for line in sys.stdin:
            what, *arguments = line.split()
            try:
                answer = getattr(witness, what)(*arguments)
            except Exception:
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), flush=True)
    os._exit(0 if threading.active_count() else 1)  # viewers that still wait for something are daemons


main()
