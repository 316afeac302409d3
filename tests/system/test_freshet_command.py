"""deploy/freshet: what it shows, what it says when nodes cannot be asked, what it has nodes do. The nodes are fakes."""
import importlib
import json
import os
import subprocess

import pytest

import fake_admin
from harness import TOP

FRESHET = os.path.join(TOP, "deploy", "freshet")


def freshet(*arguments, admin=None, env=None, status=0, timeout=120):
    """Runs it; what it printed, and what it complained of."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FRESHET_") and k != "COLUMNS"}
    environment.update(env or {})
    if admin is not None:
        environment["FRESHET_ADMIN"] = ",".join(n.address for n in admin)
    done = subprocess.run([FRESHET, *arguments], capture_output=True, text=True, timeout=timeout, env=environment, cwd="/")
    assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def nodes():
    made = fake_admin.cluster()
    yield made
    for node in made:
        node.close()


@pytest.fixture
def guarded():
    made = fake_admin.cluster("geheim")
    yield made
    for node in made:
        node.close()


def row_of(out, name):
    return next(line for line in out.splitlines() if line.startswith(name))


def test_status_shows_streams_nodes_and_that_nothing_is_wrong(nodes):
    out, _ = freshet("status", admin=nodes)
    assert "5 of 5 nodes ready · 1 stream live · 12 viewers" in out
    assert "Nothing is wrong" in out
    assert "origin-1 origin-2" in row_of(out, "cam") and "live" in row_of(out, "cam")
    assert "1 publisher" in row_of(out, "ingest-1") and "2 h 1 min" in row_of(out, "ingest-1")
    assert "500 GB free" in row_of(out, "origin-1")


def test_viewers_of_a_stream_are_those_of_all_edges_by_site(nodes):
    """Edges share each viewer's segments, and some listen only: the greater sum counts, not the sum of the greater."""
    edges = [fake_admin.Node(f"edge-{i}", "edged", zone=zone) for i, zone in ((2, "eu"), (3, "eu"), (4, "us"))]
    try:
        for edge, picture, sound in zip(edges, (40, 10, 7), (5, 44.9, 0)):
            edge.metrics = {f'edged_viewers{{stream="cam",of="{of}",zone="{edge.node["zone"]}"}}': n
                            for of, n in (("picture", picture), ("sound", sound))}
        out, _ = freshet("status", "--json", admin=nodes + edges)
        picture = json.loads(out)
        assert picture["streams"][0]["sites"] == {"": 12, "eu": 50, "us": 7} and picture["streams"][0]["viewers"] == 69
        assert picture["totals"]["viewers"] == 69 and picture["totals"]["sites"] == {"": 12, "eu": 50, "us": 7}
        out, _ = freshet("status", admin=nodes + edges)
        assert "69 viewers (– 12, eu 50, us 7)" in out and " 69 " in row_of(out, "cam")
    finally:
        for edge in edges:
            edge.close()


def test_an_edge_that_asks_for_whatever_it_is_asked_for_is_a_problem(nodes):
    assert "does not know what there is" not in freshet("status", admin=nodes)[0]
    nodes[4].metrics["edged_names_current"] = 0
    out, _ = freshet("status", admin=nodes)
    assert "warning" in out and "edge-1  does not know what there is" in out
    nodes[4].node["uptime"] = 3  # it has just come up
    assert "does not know what there is" not in freshet("status", admin=nodes)[0]


@pytest.mark.parametrize("starved, problem", [(3, []), (15, ["in 15% of its players' reports their buffers had run out"])])
def test_players_whose_buffers_run_out_are_a_problem(nodes, starved, problem):
    """What they said of late, not what they said since the edge came up."""
    edge, original, looks = nodes[4], nodes[4].text, [0]

    def text():
        looks[0] += 1
        edge.metrics.update({'edged_player_reports_total{via="headers",version="2"}': 1000 + 100 * looks[0],
                             'edged_player_reports_total{via="headers",version="broken"}': 5000 * looks[0],
                             "edged_player_starved_total": 500 + starved * looks[0]})
        return original()
    edge.text = text
    out, _ = freshet("status", "--json", admin=nodes)
    assert [p["text"] for p in json.loads(out)["problems"] if p["alert"] == "FreshetPlayersStarve"] == problem


def test_status_as_json_is_one_object_with_everything_in_it(nodes):
    out, _ = freshet("status", "--json", admin=nodes)
    picture = json.loads(out)
    assert set(picture) == {"time", "nodes", "streams", "latency", "totals", "problems"}
    assert [n["id"] for n in picture["nodes"]] == ["ingest-1", "transcoder-1", "origin-1", "origin-2", "edge-1"]
    assert picture["streams"][0]["stream"] == "cam" and picture["streams"][0]["origins"] == ["origin-1", "origin-2"]
    assert picture["problems"] == []


def test_a_node_that_cannot_be_reached_is_no_node_without_streams(nodes):
    nodes[2].close()
    nodes[3].close()
    out, _ = freshet("status", admin=nodes, status=3)
    assert "Whether a stream is live cannot be told" in out and "nobody listens there" in out
    assert "no originD is among" not in out


def test_a_node_that_does_not_tell_its_streams_is_ready_all_the_same(nodes):
    for node in nodes[2:4]:
        node.answers["GET", "/api/sessions"] = (503, {"error": "the loop does not answer"})
    out, _ = freshet("status", admin=nodes)
    assert "does not answer /api/sessions: the loop does not answer" in out and "5 of 5 nodes ready" in out
    assert "Whether a stream is live cannot be told" in out


def test_a_stream_says_who_sends_it_and_how_late_it_is(nodes):
    out, _ = freshet("status", admin=nodes)
    assert "192.0.2.7:4711 (obs)" in row_of(out, "cam") and "0.2 s" in row_of(out, "cam")
    nodes[4].answers["GET", "/api/stats"] = (200, {"streams": [{"stream": "cam", "lag_ms": 1300}]})
    assert "1.3 s" in row_of(freshet("status", admin=nodes)[0], "cam")


def test_a_stream_is_live_when_one_of_its_origins_says_so(nodes):
    session = nodes[2].answers["GET", "/api/sessions"][1]["sessions"][0]
    nodes[2].answers["GET", "/api/sessions"] = (200, {"sessions": [{**session, "state": "slate"}]})
    assert "live" in row_of(freshet("status", admin=nodes)[0], "cam")
    nodes[3].answers["GET", "/api/sessions"] = (200, {"sessions": [{**session, "state": "slate"}]})
    out, _ = freshet("status", admin=nodes)
    assert "slate" in row_of(out, "cam") and "nothing comes from its broadcaster" in out


def test_an_empty_cluster_says_that_no_stream_is_live(nodes):
    for node in nodes[2:4]:
        node.answers["GET", "/api/sessions"] = (200, {"sessions": []})
    _, err = freshet("streams", admin=nodes)
    assert "No stream is live." in err


def test_what_a_node_leaves_out_of_its_list_is_told(nodes):
    answer = nodes[2].answers["GET", "/api/sessions"]
    nodes[2].answers["GET", "/api/sessions"] = (200, {**answer[1], "left_out": 17})
    out, err = freshet("streams", admin=nodes)
    assert "cam" in out and "origin-1 has 17 more, which its list leaves out" in err
    rows = json.loads(freshet("status", "--json", admin=nodes)[0])["nodes"]
    assert [n["left_out"] for n in rows] == [0, 0, 17, 0, 0]


def test_recordings_that_cannot_be_read_are_told_with_the_address(nodes):
    _, err = freshet("recordings", "--at", f"http://{nodes[0].address}", status=1)
    assert f"http://{nodes[0].address}/api/recordings: status 404" in err
    for url in ("live.example", "http://127.0.0.1:abc", "http://[::1", "http://live .example"):
        _, err = freshet("recordings", "--at", url, status=2)
        assert f"given '{url}', allowed is an http or https URL" in err and "Traceback" not in err
    _, err = freshet("recordings", admin=nodes, status=2)
    assert "--at https://live.example" in err
    _, err = freshet("recordings", "--limit", "-1", status=2)
    assert "allowed is a number from 0 on" in err


def test_a_node_that_does_not_answer_holds_up_nobody(nodes):
    nodes[4].paused = True
    out, _ = freshet("status", "--timeout", "3", admin=nodes, status=3)
    assert "no answer within 3 s" in out and "1 stream live" in out
    nodes[4].paused = False


def test_a_token_that_is_missing_or_wrong_is_told_with_how_to_give_it(guarded, tmp_path):
    out, _ = freshet("status", admin=guarded, status=3)
    assert "FRESHET_ADMIN_TOKEN_FILE" in out
    path = tmp_path / "token"
    path.write_text("wrong\n")
    out, _ = freshet("status", "--token-file", str(path), admin=guarded, status=3)
    assert "the one given is not it" in out
    path.write_text("geheim\n")
    freshet("status", "--token-file", str(path), admin=guarded)
    freshet("status", admin=guarded, env={"FRESHET_ADMIN_TOKEN": "geheim"})
    freshet("status", admin=guarded, env={"FRESHET_ADMIN_TOKEN_FILE": str(path)})
    config = tmp_path / "freshet.json"
    config.write_text(json.dumps({"admin": [n.address for n in guarded], "token_file": str(path)}))
    freshet("status", env={"FRESHET_CONFIG": str(config)})


def test_the_token_cannot_be_given_on_the_command_line(guarded):
    freshet("status", "--token", "geheim", admin=guarded, status=2)


@pytest.mark.parametrize("arguments, env, said", [
    (["status"], {}, "there is no telling where the nodes are"),
    (["status", "--admin", "origin"], {}, "'origin' is no admin address"),
    (["status", "--admin", " , "], {}, "the list of admin addresses is empty"),
    (["status", "--dir", "/nowhere"], {}, "/nowhere/cluster.json: No such file"),
    (["status", "--token-file", "/nowhere"], {}, "cannot read the token in /nowhere"),
    (["status"], {"FRESHET_CONFIG": "/nowhere"}, "cannot read the configuration /nowhere"),
    (["status", "--timeout", "0"], {}, "allowed are seconds above 0"),
    (["frobnicate"], {}, "invalid choice"),
])
def test_what_is_wrong_with_the_command_is_said(arguments, env, said):
    _, err = freshet(*arguments, env=env, status=2)
    assert said in err


def test_a_name_without_an_address_is_told_beside_what_is_there(nodes):
    out, _ = freshet("status", "--admin", ",".join(n.address for n in nodes) + ",no-such-name.invalid:9190", status=3)
    assert "no-such-name.invalid: the name has no address" in out and "1 stream live" in out


def test_problems_come_first_and_top_sorts_by_them(nodes):
    nodes[1].metrics["transcoderd_behind_seconds"] = 2.5
    nodes[3].metrics["originD_behind_sessions"] = 1
    nodes[4].node.update(state="waiting", why="waiting for an origin")
    out, _ = freshet("status", admin=nodes, status=3)
    assert out.index("encoding is 2.5 s behind") < out.index("waiting for an origin") < out.index("cam")
    out, _ = freshet("top", "--json", admin=nodes, status=3)
    assert [n["id"] for n in json.loads(out)["nodes"]][0] in ("edge-1", "transcoder-1")
    assert {p["alert"] for p in json.loads(out)["problems"]} >= {"FreshetTranscoderBehind", "FreshetOriginBehind", "FreshetNoneReady"}


def test_two_nodes_with_one_id_are_a_problem(nodes):
    nodes[3].node.update(id="origin-1", pid=2)
    out, _ = freshet("status", admin=nodes)
    assert "2 nodes of originD have this id" in out


def test_latency_of_each_hop_is_that_of_the_last_seconds(nodes):
    bounds = ("0.2", "0.3", "0.5", "+Inf")
    nodes[1].histograms["transcoderd_glass_seconds"] = dict.fromkeys(bounds, 1000)
    original, calls = nodes[1].text, [0]

    def text():
        calls[0] += 1
        nodes[1].histograms["transcoderd_glass_seconds"] = {"0.2": 1000, "0.3": 1000 + 10 * calls[0], "0.5": 1000 + 20 * calls[0],
                                                            "+Inf": 1000 + 20 * calls[0]}
        return original()
    nodes[1].text = text
    out, _ = freshet("status", "--json", admin=nodes)
    assert json.loads(out)["latency"]["encoded"] == {"p50": 0.3, "p95": 0.48, "count": 20}


def test_what_a_node_says_does_not_move_the_cursor(nodes):
    session = nodes[2].answers["GET", "/api/sessions"][1]["sessions"][0]
    session["title"] = "\033[2Jgone\r"
    out, _ = freshet("status", admin=nodes)
    assert "\033" not in out and "\r" not in out


def test_kick_asks_every_proxy_and_says_which_one_it_was(nodes):
    nodes[0].answers["POST", "/api/kick"] = (200, {})
    out, _ = freshet("kick", "cam", "--why", "wrong camera", admin=nodes)
    assert "let go of cam" in out
    method, path, body, headers = nodes[0].asked[-1]
    assert (method, path, body) == ("POST", "/api/kick", {"stream": "cam", "why": "wrong camera"})
    assert headers["Content-Type"] == "application/json"


def test_kick_of_a_stream_that_nobody_publishes_says_so(nodes):
    _, err = freshet("kick", "other", admin=nodes, status=1)
    assert "nobody publishes 'other' at any of 1 ingestd" in err
    nodes[0].close()
    _, err = freshet("kick", "other", admin=nodes, status=1)
    assert "no ingestd answers" in err


def test_drain_asks_that_node_alone_and_waits_until_it_has_stopped(nodes):
    out, _ = freshet("drain", "transcoder-1", admin=nodes)
    assert "transcoder-1 is draining" in out
    assert [a[:2] for a in nodes[1].asked if a[0] == "POST"] == [("POST", "/api/drain")]
    assert not any(a[0] == "POST" for n in nodes if n is not nodes[1] for a in n.asked)
    _, err = freshet("drain", "transcoder-1", "--wait", "1", admin=nodes, status=1)
    assert "has not stopped within 1 s" in err


def test_a_node_is_called_by_its_id_or_its_address_and_never_guessed(nodes):
    freshet("drain", nodes[3].address, admin=nodes)
    _, err = freshet("drain", "origin", admin=nodes, status=1)
    assert "there is no node 'origin'; there are edge-1, ingest-1, origin-1, origin-2, transcoder-1" in err
    nodes[3].node["id"] = "origin-1"
    _, err = freshet("drain", "origin-1", admin=nodes, status=1)
    assert "2 nodes are called 'origin-1'" in err


def test_log_level_is_told_and_set(nodes):
    out, _ = freshet("log-level", "edge-1", admin=nodes)
    assert out == "info\n"
    freshet("log-level", "edge-1", "debug", admin=nodes)
    assert nodes[4].asked[-1][:3] == ("PUT", "/api/log_level", {"level": "debug"})
    freshet("log-level", "edge-1", "loud", admin=nodes, status=2)


def test_what_a_node_refuses_is_told_in_its_words(nodes):
    nodes[1].answers["POST", "/api/drain"] = (503, {"error": "the loop is busy"})
    _, err = freshet("drain", "transcoder-1", admin=nodes, status=1)
    assert "the loop is busy" in err


def test_token_is_the_program_that_makes_tokens_with_its_own_arguments():
    assert "explain" in freshet("token", "--help")[0]
    assert "this is no token" in freshet("token", "explain", "x", status=2)[1]


def test_a_name_stands_for_every_address_it_has(monkeypatch):
    monkeypatch.syspath_prepend(os.path.join(TOP, "deploy", "operator"))
    nodes = importlib.import_module("nodes")
    known = {"origin": ["10.0.0.2", "10.0.0.10", "10.0.0.2"], "edge": ["10.0.1.1"]}
    monkeypatch.setattr(nodes.socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (ip, port)) for ip in known[host]])
    found, trouble = nodes.Finder(admin="origin:9390,edge:9490", token="t").find()
    assert trouble == []
    assert sorted(a.shown for a in found) == ["edge:9490", "origin[10.0.0.10]:9390", "origin[10.0.0.2]:9390"]
    known["origin"].append("10.0.0.3")  # scaled up: the next look has it
    assert len(nodes.Finder(admin="origin:9390", token="t").find()[0]) == 3


def test_the_version_is_the_one_of_the_whole(nodes):
    with open(os.path.join(TOP, "VERSION"), encoding="utf-8") as f:
        assert freshet("--version")[0] == f"freshet {f.read().strip()}\n"


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(nodes, columns):
    nodes[1].metrics["transcoderd_behind_seconds"] = 2.5
    picture = json.loads(freshet("status", "--json", admin=nodes)[0])
    code = ("import sys, json; sys.path.insert(0, sys.argv[1]); import screen; "
            "print('\\n'.join(screen.render(json.load(sys.stdin), int(sys.argv[2]), 24)))")
    done = subprocess.run(["python3", "-c", code, os.path.join(TOP, "deploy", "operator"), str(columns)], text=True,
                          input=json.dumps(picture), capture_output=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) <= 24
    assert not [line for line in lines[1:] if len(line) > columns], done.stdout
