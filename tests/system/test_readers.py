"""Players that Debian has, as readers of a live broadcast from its first seconds on: each shows every numbered picture from where it begins, in order, and none
twice. What they read is written to a file as it comes, and the numbers are read back from there."""
import os
import shutil

import pytest

import media
from harness import LATE_IS_FINE, TINY_LADDER, Cluster, Publisher, is_within, wait_until

FPS = 25
PICTURES = 6 * FPS # at least, of them
SECONDS = 8 # that each reads, or a little more
SOURCE_S = 20      # which is sent again and again
PATIENCE_S = 120      # for one that does not end by itself; then it is ended, and begun anew
TRIES = 6           # of a reader: with much else to do a machine may fall behind by more than a young broadcast's window, which grows

NOBODY = ["setpriv", "--pdeathsig", "KILL", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "HOME=/nonexistent"] if os.geteuid() == 0 else []


def ffmpeg(url, path):
    return ["ffmpeg", "-v", "error", "-nostdin", "-i", url, "-map", "0:v:0", "-t", str(SECONDS), "-c", "copy", "-f", "matroska", path]


def mpv(url, path):
    return ["mpv", "--no-config", "--really-quiet", "--no-audio", f"--length={SECONDS}", "--ovc=libx264", "--ovcopts=preset=ultrafast", f"--o={path}", url]


def vlc(url, path):
    """It refuses to be root's; so its file is not its own."""
    return ["sh", "-c", 'out=$1; shift; exec "$@" >"$out" 2>/dev/null', "sh", path, *NOBODY, "cvlc", "-q", "--no-audio", url, f"--run-time={SECONDS}",
            "--sout", "#std{access=file,mux=ts,dst=-}", "vlc://quit"]


def gstreamer(url, path):
    demux = ["hlsdemux", "!"] if url.endswith(".m3u8") else ["dashdemux", "name=d", "d.video_00", "!"]
    return ["gst-launch-1.0", "-q", "-e", "souphttpsrc", f"location={url}", "!", *demux, "qtdemux", "!", "h264parse", "!", "matroskamux", "!", "filesink",
            f"location={path}"]


READERS = {"ffmpeg": (ffmpeg, "ffmpeg"), "mpv": (mpv, "mpv"), "vlc": (vlc, "cvlc"), "gstreamer": (gstreamer, "gst-launch-1.0")}
FORMATS = {"dash": "manifest.mpd", "hls": "master.m3u8"}


class Reader:
    def __init__(self, cluster, directory, name, form, turn):
        make, _ = READERS[name]
        self.path = str(directory / f"{name}-{form}-{turn}.{'ts' if name == 'vlc' else 'mkv'}")
        self.player = Publisher(make(cluster.url(f"/live/numbered/{FORMATS[form]}"), self.path), self.path + ".txt")

    def has_enough(self):
        """More than those read who end by themselves."""
        seen = media.probe(self.path, "-select_streams", "v", "-count_packets", "-show_entries", "stream=nb_read_packets")["streams"]
        return int(seen[0]["nb_read_packets"]) > (SECONDS + 1) * FPS

    def numbers(self):
        """Of the pictures that it showed until it ended, or was ended; none, if it has written no file, or none that can be decoded: mpv has
        been seen to do either on a machine that had nine others at it."""
        is_within(lambda: not self.player.running() or self.has_enough(), PATIENCE_S, every=1)
        if self.player.running():
            self.player.kill()
        if not os.path.exists(self.path) or not os.path.getsize(self.path):
            return []
        try:
            return media.read_numbers(self.path, 320, 180)
        except AssertionError:  # it ended with a header and nothing behind it
            return []


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    directory = tmp_path_factory.mktemp("readers")
    source = directory / "s.flv"
    total = media.make_stamped(source, str(FPS), SOURCE_S, size="320x180")
    with Cluster(directory / "cluster", sets=LATE_IS_FINE, ladder=TINY_LADDER) as cluster:
        cluster.publish_file("numbered", source, loop=True)
        wait_until(lambda: cluster.get("/live/numbered/manifest.mpd").status == 200, "the manifest")
        # All begin with the broadcast, and are judged one after the other.
        first = {(n, f): Reader(cluster, directory, n, f, 0) for n in READERS for f in FORMATS if shutil.which(READERS[n][1])}
        cluster.publishers += [reader.player for reader in first.values()]  # which end with the cluster, if they are there still
        yield cluster, directory, total, first


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", READERS)
def test_every_picture_is_shown_once_from_where_the_reader_begins(numbered, name, form):
    cluster, directory, total, first = numbered
    if (name, form) not in first:
        pytest.skip(f"{READERS[name][1]} is not installed")
    reader = first[name, form]
    for turn in range(1, TRIES + 1):
        numbers = reader.numbers()
        whole = len(numbers) >= PICTURES and numbers[0] is not None and numbers == [(numbers[0] + n) % total for n in range(len(numbers))]
        seen = [n for n in numbers if n is not None]
        assert len(seen) > total or len(seen) == len(set(seen)), f"some came twice: {numbers}"
        if whole or turn == TRIES:
            break
        reader = Reader(cluster, directory, name, form, turn)
    assert whole, (numbers, reader.player.said()[-500:])
