"""A film that is sent all at once, not as it plays: faster than it is encoded, and more than the replay buffer holds."""
import media
from harness import LATE_IS_FINE, TINY_LADDER, Cluster

REPLAY_BYTES = 2 << 20


def test_it_is_recorded_whole_and_its_publisher_waits_for_that(tmp_path):
    """ffmpeg has gone by then: the end of the film is in its kernel, which must not be given a reason to throw it away."""
    source = tmp_path / "film.flv"
    filled = ["-b:v", "1400k", "-minrate", "1400k", "-maxrate", "1400k", "-bufsize", "700k", "-x264-params", "nal-hrd=cbr"]
    frames = media.make_stamped(source, "30", 30, size="320x180", more=filled)
    assert source.stat().st_size > 2.5 * REPLAY_BYTES
    sets = LATE_IS_FINE + [f"ingestd.replay_bytes={REPLAY_BYTES}"]
    with Cluster(tmp_path / "cluster", ladder=TINY_LADDER, sets=sets) as cluster:
        publisher = cluster.publish("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-i", str(source), "-c", "copy",
                                    "-f", "flv", cluster.rtmp("film"))
        assert publisher.wait() == 0, publisher.said()
        entry = cluster.wait_state("film", "ended")
        assert cluster.metric("ingest-1", "ingestd_held_seconds_total") > 0
        path = media.save(tmp_path, "film.mp4", *cluster.recording("film", entry["session"], "v180"))
        assert media.read_numbers(path, 320, 180) == list(range(frames))
