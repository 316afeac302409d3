"""A time without any transcoder, and what becomes of what was sent meanwhile: all of it is encoded, every picture of every rung, as fast as
that goes. Frame rates are halved on a machine that is too slow, not for a backlog."""
import os
import time

import pytest

import abuse
import harness
import media
from broadcast import FPS, TONE_HZ

LADDER = [{"video": [{"height": 720, "kbps": 2000}, {"height": 360, "kbps": 600}], "audio": [{"kbps": 96}]}]
SETS = ["transcoderd.shed_after_ms=1000", "ingestd.replay_bytes=134217728"]
NODE = "transcoder-1"


@pytest.fixture(scope="session")
def source(tmp_path_factory, load):
    """Larger than others' are: what is encoded in a moment is no backlog. So large that a second of it takes a third of one."""
    path = os.path.join(str(tmp_path_factory.mktemp("source-720")), "stamped.flv")
    media.make_stamped(path, str(FPS), load(120, 240), size="1280x720",
                       sound=f"sine=frequency={TONE_HZ}:sample_rate=48000,volume=4,aformat=channel_layouts=stereo")
    return path


def behind(cluster):
    return abuse.metric(cluster, NODE, "transcoderd_behind_seconds")


def test_what_was_sent_while_there_was_no_transcoder_is_encoded_whole(cluster, healthy, table, load):
    away_s = load(20, 30)  # more than a transcoder takes at a time, which is 17 s
    healthy.start()
    with healthy.watched(wait_ms=(away_s + 60) * 1000) as seen:  # of course it is late; nothing may be missing
        cluster.kill(NODE)
        time.sleep(away_s)  # it is not a state that is waited for, but a time that passes
        cluster.restart(NODE)
        harness.wait_until(lambda: behind(cluster) > 1, "it is at work")
        begun, worst = time.monotonic(), 0
        while behind(cluster) > 0.5 and time.monotonic() - begun < 60:
            worst = max(worst, behind(cluster))
            time.sleep(0.2)
        took_s = time.monotonic() - begun
        shed = abuse.metric(cluster, NODE, "transcoderd_frames_total", stage="shed")
    slow = abuse.lines(cluster, NODE, "frame rates are halved")
    table.row(f"{away_s} s without a transcoder: pictures left out, of {seen['frames']}", "0", f"{len(seen['missing'])}; caught up in {took_s:.0f} s")
    assert shed == 0 or slow, "pictures were left out, and nobody says why"
    assert not slow, f"halved within {took_s:.0f} s, {worst:.1f} s behind: {slow}"
