"""A stream's still pictures: posters for cards, and what a player shows above its timeline, live and afterwards."""
import re
import subprocess

from harness import LATE_IS_FINE, TINY_LADDER, Cluster, request, wait_until

EVERY_S = 2
SETS = [*LATE_IS_FINE, f"transcoderd.thumbs_s={EVERY_S}"]


def size_of(jpeg):
    """Width and height of a file that decodes without a word."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-f", "mjpeg", "-i", "-", "-f", "null", "-"], input=jpeg, capture_output=True, timeout=120, check=True)
    assert not done.stderr, done.stderr
    told = subprocess.run(["ffprobe", "-v", "error", "-f", "mjpeg", "-show_entries", "stream=width,height", "-of", "csv=p=0", "-i", "-"],
                          input=jpeg, capture_output=True, timeout=120, check=True)
    return tuple(int(x) for x in told.stdout.decode().strip().split(","))


def poster(cluster, path):
    answer = wait_until(lambda: (a := request(cluster.url(path))).status == 200 and a, path)
    assert answer.headers["content-type"] == "image/jpeg"
    return answer


def pictures(cluster, base, session):
    """The pictures that the playlist of HLS names: [(name, seconds)]."""
    answer = wait_until(lambda: (a := request(f"{base}/thumbs/media.m3u8")).status == 200 and "#EXTINF" in a.text() and a, "the pictures' playlist")
    assert "#EXT-X-IMAGES-ONLY" in answer.text()
    return re.findall(r"#EXTINF:([0-9.]+),\n#EXT-X-TILES:\S+\n(\S+)\n", answer.text()), "#EXT-X-ENDLIST" in answer.text()


def test_a_stream_has_a_poster_and_pictures_for_its_timeline_live_and_afterwards(tmp_path):
    with Cluster(tmp_path, sets=SETS, ladder=TINY_LADDER, origins=2, transcoders=2) as cluster:
        publisher = cluster.publish_test_picture("stills", size="320x180")
        session = cluster.wait_playable("stills")["session"]
        first = poster(cluster, "/live/stills/poster.jpg")
        assert size_of(first.body) == (320, 180)
        assert first.headers["cache-control"] == "max-age=1"
        wait_until(lambda: request(cluster.url("/live/stills/poster.jpg")).body != first.body, "another picture")

        base = cluster.url(f"/live/stills/{session}")
        listed = wait_until(lambda: len(found := pictures(cluster, base, session)[0]) >= 2 and found, "two pictures")
        assert [name for _, name in listed[:2]] == [f"0x{EVERY_S}.jpg", f"1x{EVERY_S}.jpg"]
        dash = request(cluster.url("/live/stills/manifest.mpd")).text()
        assert f'media="{session}/thumbs/$Number$x{EVERY_S}.jpg"' in dash
        assert "EXT-X-IMAGE-STREAM-INF" in request(cluster.url("/live/stills/master.m3u8")).text()
        still = request(f"{base}/thumbs/1x{EVERY_S}.jpg")
        assert still.status == 200 and "immutable" in still.headers["cache-control"]
        assert request(f"{base}/thumbs/{EVERY_S + 1}x1.jpg").body == still.body  # no newer one for the second behind it

        # whoever encodes or stores it: no picture is missing
        cluster.do("kill", max(("transcoder-1", "transcoder-2"), key=lambda n: cluster.metric(n, "transcoderd_sessions")))
        before = len(pictures(cluster, base, session)[0])
        wait_until(lambda: len(pictures(cluster, base, session)[0]) > before + 2, "pictures of the next transcoder")
        publisher.stop()
        cluster.wait_state("stills", "ended", seconds=120)
        listed, _ = wait_until(lambda: (found := pictures(cluster, base, session))[1] and found, "the end")
        assert [name for _, name in listed] == [f"{n}x{EVERY_S}.jpg" for n in range(len(listed))]
        assert all(seconds == f"{EVERY_S}.0" for seconds, _ in listed[:-1])
        assert all(size_of(request(f"{base}/thumbs/{name}").body) == (320, 180) for _, name in listed)
        assert "immutable" in poster(cluster, f"/live/stills/{session}/poster.jpg").headers["cache-control"]
        keys = wait_until(lambda: (a := request(f"{base}/v180/keys.m3u8")).status == 200 and "ENDLIST" in a.text() and a, "the end").text()
        seconds = keys.count(".key.m4s")
        assert seconds == keys.count("#EXTINF") > 4 and "#EXT-X-I-FRAMES-ONLY" in keys
        told = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", f"{base}/v180/keys.m3u8"],
                              capture_output=True, text=True, timeout=240, check=True)
        assert (told.stdout.split()[0], told.stderr) == (str(seconds), "")  # each is a picture by itself
        ports = [cluster.config(name)["http_port"] for name in ("origin-1", "origin-2")]
        for _, name in listed:
            both = [wait_until(lambda p=port: (a := request(f"http://127.0.0.1:{p}/live/stills/{session}/thumbs/{name}")).status == 200 and a, name)
                    for port in ports]
            assert both[0].body == both[1].body and both[0].headers["content-type"] == "image/jpeg"


def test_what_has_no_picture_has_no_poster(cluster_tiny):
    cluster_tiny.publish_test_picture("soundonly", video=False)
    session = cluster_tiny.wait_playable("soundonly")["session"]
    assert request(cluster_tiny.url("/live/soundonly/poster.jpg")).status == 404
    assert request(cluster_tiny.url(f"/live/soundonly/{session}/thumbs/0x5.jpg")).status == 404
    assert request(cluster_tiny.url("/live/nobody/poster.jpg")).status == 404
    assert "image/jpeg" not in request(cluster_tiny.url("/live/soundonly/manifest.mpd")).text()
