"""deploy/freshet with real nodes, which want a token: what it shows is so, and what it asks for happens."""
import datetime
import json
import re
import time

import pytest

from harness import TINY_LADDER, run, wait_until
from test_freshet_command import freshet

TOKEN = "a-token-for-operators"


@pytest.fixture
def guarded(make_cluster):
    roles = ("ingestd", "transcoderd", "originD", "edged")
    return make_cluster(ladder=TINY_LADDER, transcoders=2, origins=2, sets=[f"{role}.admin_token={TOKEN}" for role in roles])


def with_token(cluster, tmp_path, *arguments, status=0):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return freshet(*arguments, "--dir", cluster.dir, "--token-file", str(path), status=status)


def picture(cluster, tmp_path):
    out, _ = with_token(cluster, tmp_path, "status", "--json")
    return json.loads(out)


def metric(cluster, node, name):
    """As harness.metric(), with the token."""
    done = run("curl", "-sf", "-H", f"Authorization: Bearer {TOKEN}", cluster.node(node)["admin"] + "/metrics")
    return sum(float(m) for m in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", done.stdout.decode(), re.M))


def test_what_it_shows_is_so_and_what_it_asks_for_happens(guarded, tmp_path):
    cluster = guarded
    publisher = cluster.publish_test_picture("cam", size="320x180")
    session = cluster.wait_playable("cam")["session"]

    seen = wait_until(lambda: (p := picture(cluster, tmp_path)) and p["latency"]["stored"]["count"] and p, "an age of what is stored")
    assert [n["id"] for n in seen["nodes"]] == ["ingest-1", "transcoder-1", "transcoder-2", "origin-1", "origin-2", "edge-1"]
    assert all(n["state"] == "ready" and n["peers"] or n["role"] == "edged" for n in seen["nodes"])
    stream = next(s for s in seen["streams"] if s["stream"] == "cam")
    assert stream["session"] == session and stream["origins"] == ["origin-1", "origin-2"] and stream["state"] == "live"
    assert stream["publishers"][0]["ingest"] == "ingest-1" and "stored" in stream["lag_ms"]

    # Viewers at the live edge ask for the segment that begins next, so that the last hop is measured.
    started = re.search(r'availabilityStartTime="([^"]+)"', cluster.get("/live/cam/manifest.mpd").text())[1]
    began = datetime.datetime.fromisoformat(started.replace("Z", "+00:00")).timestamp()

    def measured():
        cluster.get(f"/live/cam/{session}/v180/{int(time.time() - began) + 1}.m4s")
        return metric(cluster, "edge-1", "edged_glass_seconds_count") > 0
    wait_until(measured, "the edge measures", 60)

    busy = stream["transcoder"]
    out, _ = with_token(cluster, tmp_path, "drain", busy, "--wait")
    assert f"{busy} has stopped" in out
    moved = wait_until(lambda: next((s for s in json.loads(with_token(cluster, tmp_path, "status", "--json", status=3)[0])["streams"]
                                     if s["transcoder"] not in ("", busy)), None), "the other transcoder has it")
    assert moved["session"] == session
    cluster.do("start", busy)

    assert with_token(cluster, tmp_path, "log-level", "edge-1", "debug")[0].startswith("edge-1 logs debug")
    assert with_token(cluster, tmp_path, "log-level", "edge-1")[0] == "debug\n"

    _, err = with_token(cluster, tmp_path, "kick", "nobody", status=1)
    assert "nobody publishes 'nobody'" in err
    out, _ = with_token(cluster, tmp_path, "kick", "cam", "--why", "this is a test")
    assert "let go of cam" in out
    publisher.wait(30)
    wait_until(lambda: "this is a test" in cluster.log("ingest-1"), "why is in the log")


def test_the_token_is_the_local_clusters_own_and_without_it_each_node_refuses(guarded):
    freshet("status", "--dir", guarded.dir)
    addresses = ",".join(n["admin"] for n in guarded.nodes().values())
    out, _ = freshet("status", "--json", "--admin", addresses, status=3)
    assert {n["state"] for n in json.loads(out)["nodes"]} == {"refused"}
