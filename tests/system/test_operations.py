"""What an operator sees and does: health and readiness in each state, the admin API, logs as JSON, reload, drain."""
import json
import os
import signal
import subprocess
from urllib.parse import urlsplit

import pytest

from harness import LOCAL, TINY_LADDER, request, wait_until

BIN = os.environ.get("FRESHET_BIN") or os.path.join(os.path.dirname(os.path.dirname(LOCAL)), "bin")
NODES = {"ingest-1": "ingestd", "transcoder-1": "transcoderd", "origin-1": "originD", "edge-1": "edged"}


def ask(node, path, method="GET", body=None, token=None):
    """(status, what the JSON answer says, headers)"""
    headers = {"Content-Type": "application/json"} if method != "GET" else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    answer = request(node["admin"] + path, method, headers, body=json.dumps(body) if body is not None else None)
    is_json = answer.headers.get("content-type") == "application/json"
    return answer.status, answer.json() if is_json else answer.text().strip(), answer.headers


def health(node):
    """What /healthz and /readyz say."""
    return ask(node, "/healthz")[:2], ask(node, "/readyz")[:2]


def healthcheck(role, node, *more):
    port = urlsplit(node["admin"]).port
    return subprocess.run([os.path.join(BIN, role), "--healthcheck", "--set", f"admin_port={port}", *more], capture_output=True, timeout=120)


def wait_for_health(node, ready, seconds=30):
    def is_so():
        seen = health(node)
        assert seen == ((200, "ok"), ready), seen
        return True
    wait_until(is_so, f"{node['id']} says {ready}", seconds)


READY = (200, "ready")


def test_readiness_says_in_words_what_is_missing(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    node = cluster.node
    for name in NODES:
        wait_for_health(node(name), READY)
        assert ask(node(name), "/api/node")[1]["state"] == "ready"
    cluster.do("kill", "origin-1")
    wait_for_health(node("transcoder-1"), (503, "waiting for an origin"))
    wait_for_health(node("edge-1"), (503, "waiting for an origin"))
    assert ask(node("edge-1"), "/api/node")[1]["state"] == "waiting"
    assert healthcheck("edged", node("edge-1")).returncode == 0
    done = healthcheck("edged", node("edge-1"), "--healthcheck=ready")
    assert (done.returncode, done.stderr) == (1, b"waiting for an origin\n")
    cluster.do("kill", "transcoder-1")
    wait_for_health(node("ingest-1"), (503, "waiting for a transcoder"))
    cluster.do("start", "origin-1")
    cluster.do("start", "transcoder-1")
    for name in NODES:
        wait_for_health(node(name), READY)


def test_a_frozen_node_fails_its_health_check_in_time(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    node = cluster.node("edge-1")
    cluster.do("freeze", "edge-1")
    done = healthcheck("edged", node)
    cluster.do("thaw", "edge-1")
    assert done.returncode == 1 and b"timed out" in done.stderr
    wait_for_health(node, READY)


@pytest.mark.parametrize("name", NODES)
def test_drain_over_http_is_the_same_as_by_signal(make_cluster, name):
    cluster = make_cluster(ladder=TINY_LADDER, sets=["edged.drain_ms=1500", "ingestd.drain_ms=0", "ingestd.leave_ms=1500"])
    node = cluster.node(name)
    assert ask(node, "/api/drain", "POST") [:2] == (202, {"state": "draining"})
    if name in ("edge-1", "ingest-1"):  # the others have nothing to wait for
        assert health(node) == ((200, "ok"), (503, "stopping"))
        os.kill(node["pid"], signal.SIGTERM)  # what an engine sends after its hook; not a second signal
    wait_until(lambda: 'status=0 msg="stopped"' in cluster.log(name), f"{name} to have ended with 0")


def test_each_hop_of_a_stream_is_told_and_its_broadcaster_can_be_let_go(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER, origins=2)
    publisher = cluster.publish_test_picture("cam", size="320x180")
    session = cluster.wait_playable("cam")["session"]
    node = cluster.node

    def near_live(answer, stored=True):
        assert answer["stream"] == "cam"
        assert -1000 < answer["lag_ms"] < 5000, answer
        if stored:
            assert answer["session"] == session and answer["stored_until"] > 0, answer
        return answer

    def publishing():
        (one,) = ask(node("ingest-1"), "/api/publishers")[1]["publishers"]
        assert one["fps"] > 0 and one["kbps"] > 0
        return near_live(one)

    one = wait_until(publishing, "a publisher with its figures")
    assert one["state"] == "live" and one["transcoder"] == "transcoder-1" and one["shadow"] is None
    assert one["address"].startswith("127.0.0.1:") and one["frames"] > 0 and one["bytes"] > 0

    def encoded():
        (one,) = ask(node("transcoder-1"), "/api/sessions")[1]["sessions"]
        assert sorted((o["id"], o["state"]) for o in one["owners"]) == [("origin-1", "in_step"), ("origin-2", "in_step")]
        return near_live(one)

    one = wait_until(encoded, "a session with two owners")
    assert one["role"] == "leader" and one["state"] == "live" and 0 <= one["headroom"] <= 1
    assert {r["name"] for r in one["rungs"]} == {"v180", "a64", "thumbs"}

    def stored():
        (one,) = ask(node("origin-1"), "/api/sessions")[1]["sessions"]
        assert {t["name"] for t in one["tracks"]} == {"v180", "a64", "thumbs"}
        return near_live(one)

    wait_until(stored, "a stored session")
    disk = ask(node("origin-1"), "/api/sessions")[1]["disk"]
    assert disk["writable"] and disk["total_bytes"] >= disk["free_bytes"] > 0

    def watched():
        newest = int(stored()["stored_until"])
        cluster.get(f"/live/cam/{session}/v180/{newest}.m4s")  # growing: it is waited for
        stats = ask(node("edge-1"), "/api/stats")[1]
        assert stats["requests"]["miss"] > 0 and stats["cache"]["bytes"] > 0
        (one,) = stats["streams"]
        return near_live(one, stored=False)

    wait_until(watched, "the stream's lag at the edge")
    peers = ask(node("edge-1"), "/api/node")[1]["peers"]
    assert sorted((p["id"], p["role"], p["state"]) for p in peers) == [("origin-1", "originD", "live"), ("origin-2", "originD", "live")]
    assert all(p["rtt_us"] > 0 for p in peers)

    status, answer, _ = ask(node("ingest-1"), "/api/kick", "POST", {"stream": "nobody"})
    assert status == 404 and "nobody publishes" in answer["error"]
    assert ask(node("ingest-1"), "/api/kick", "POST", {"stream": "cam", "wyh": "x"})[0] == 400
    assert publisher.running()
    assert ask(node("ingest-1"), "/api/kick", "POST", {"stream": "cam", "why": "too loud"})[:2] == (200, {"stream": "cam", "kicked": 1})
    publisher.wait()
    assert "too loud" in publisher.said()
    assert 'reason=kicked' in cluster.log("ingest-1")
    cluster.wait_state("cam", "ended")
    wait_until(lambda: ask(node("ingest-1"), "/api/publishers")[1]["publishers"] == [], "no publisher any more")


def test_a_token_guards_all_but_health(make_cluster, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    cluster = make_cluster(ladder=TINY_LADDER, sets=[f"{role}.admin_token_file={secret}" for role in NODES.values()])
    for name, role in NODES.items():
        node = cluster.node(name)
        wait_for_health(node, READY)
        assert healthcheck(role, node).returncode == 0
        for path in ("/metrics", "/api/node", "/api/anything"):
            status, answer, headers = ask(node, path)
            assert status == 401 and "admin_token" in answer["error"] and headers["www-authenticate"] == "Bearer"
        assert ask(node, "/api/node", token="open sesam")[0] == 401
        assert ask(node, "/api/node", token="open sesame")[1]["id"] == name
        assert ask(node, "/metrics", token="open sesame")[0] == 200
        assert "admin on" not in cluster.log(name)  # it is not open: no warning


def reload(cluster, name, words, **changes):
    """Changes the node's configuration file and has it read; returns what it says, once that has all these words."""
    path = os.path.join(cluster.dir, name + ".json")
    config = cluster.config(name)
    config.update(changes)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    before = len(cluster.log(name))
    os.kill(cluster.node(name)["pid"], signal.SIGHUP)
    wait_until(lambda: all(w in cluster.log(name)[before:] for w in words), f"{name} to say {words}")
    return cluster.log(name)[before:]


def test_reload_takes_what_it_can_and_disconnects_nobody(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    publisher = cluster.publish_test_picture("cam", size="320x180")
    cluster.wait_playable("cam")
    lost = cluster.log("edge-1").count("state=dead")  # it may have asked before the others were up
    for name in NODES:
        reload(cluster, name, ["nothing changed"])
        said = reload(cluster, name, ['changed="log_level=debug"', 'keys="zone"', "need a restart"], log_level="debug", zone="cellar")
        assert said.count("configuration read again") == 1
        assert ask(cluster.node(name), "/api/log_level")[1] == {"level": "debug"}
        reload(cluster, name, ['log_level: given \\"loud\\"', "everything stays as it was"], log_level="loud")
        assert ask(cluster.node(name), "/api/log_level")[1] == {"level": "debug"}
        assert health(cluster.node(name)) == ((200, "ok"), READY)
    (one,) = ask(cluster.node("ingest-1"), "/api/publishers")[1]["publishers"]
    assert publisher.running() and one["state"] == "live"
    assert cluster.log("ingest-1").count('msg="publishing"') == 1
    assert cluster.log("edge-1").count("state=dead") == lost


def test_logs_are_json_when_they_are_to_be(make_cluster):
    cluster = make_cluster(ladder=TINY_LADDER)
    for name in NODES:
        reload(cluster, name, ['changed="log_format=json"'], log_format="json")
    publisher = cluster.publish_test_picture("cam", size="320x180", more=("-metadata", 'title=a "b" \\ \n {}'))
    cluster.wait_playable("cam")
    ask(cluster.node("edge-1"), "/api/log_level", "PUT", {"level": "debug"})
    publisher.stop()
    cluster.wait_state("cam", "ended")
    lines = {}
    for name, role in NODES.items():
        _, _, after = cluster.log(name).partition('changed="log_format=json"')
        lines[name] = [json.loads(line) for line in after.splitlines()[1:]]
        assert lines[name]
        for line in lines[name]:
            assert line["node"] == name and line["daemon"] == role and line["level"] in ("debug", "info", "warn", "error")
            assert line["ts"].endswith("Z") and "cut" not in line and "text" not in line, line
    claimed = [line for line in lines["origin-1"] if "title" in line]
    assert claimed[0]["title"].startswith('a "b" \\') and claimed[0]["generation"] == 1
    os.kill(cluster.node("edge-1")["pid"], signal.SIGHUP)  # the level goes back to the configuration's
    wait_until(lambda: ask(cluster.node("edge-1"), "/api/log_level")[1] == {"level": "info"}, "the configured level")
    for name in NODES:  # the harness looks for the last line of a log in logfmt
        reload(cluster, name, ['"changed":"log_format=logfmt"'], log_format="logfmt")


@pytest.mark.parametrize("role", NODES.values())
def test_the_version_is_the_same_everywhere(role):
    with open(os.path.join(os.path.dirname(os.path.dirname(LOCAL)), "VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    done = subprocess.run([os.path.join(BIN, role), "--version"], capture_output=True, timeout=120, check=True)
    assert done.stdout.decode().startswith(f"{role} {version} (")


def test_the_metrics_have_the_version_too(cluster_tiny):
    with open(os.path.join(os.path.dirname(os.path.dirname(LOCAL)), "VERSION"), encoding="ascii") as f:
        version = f.read().strip()
    for name, role in NODES.items():
        info = [s for s in cluster_tiny.metrics(name) if s.startswith("freshet_build_info{")]
        assert len(info) == 1 and f'version="{version}"' in info[0] and f'role="{role}"' in info[0]
        assert request(cluster_tiny.node(name)["admin"] + "/readyz").status == 200
