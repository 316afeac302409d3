"""`freshet dashboard`: who may see it, and what it tells the page. The nodes are fakes; how it looks is tests/pages."""
import base64
import http.server
import json
import socket
import struct
import subprocess
import threading

import pytest

import fake_admin
from harness import request, wait_until
from test_freshet_command import FRESHET, freshet


@pytest.fixture
def nodes():
    made = fake_admin.cluster()
    yield made
    for node in made:
        node.close()


@pytest.fixture
def dashboard(nodes):
    """dashboard(*arguments): its URL."""
    running = []

    def start(*arguments):
        child = subprocess.Popen([FRESHET, "dashboard", "--admin", ",".join(n.address for n in nodes), "--listen", "127.0.0.1:0",
                                  "--every", "0.2", "--timeout", "20", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(child)
        line = child.stdout.readline()
        assert "The dashboard is at" in line, child.stderr.read()
        return next(word for word in line.split() if word.startswith("http")).rstrip("/")
    yield start
    for child in running:
        child.terminate()
        assert child.wait(60) == 0
        child.stdout.close()
        assert "Traceback" not in child.stderr.read()
        child.stderr.close()


def picture(url):
    return request(url + "/picture").json()


def test_the_page_gets_the_picture_and_the_last_minutes_of_it(dashboard):
    url = dashboard()
    got = wait_until(lambda: (p := picture(url)) and len(p["points"]) >= 3 and p, "three looks")
    assert [s["stream"] for s in got["streams"]] == ["cam"] and got["totals"]["ready"] == 5
    assert got["points"][-1]["viewers"] == 12 and set(got["points"][-1]["free"]) == {"origin-1", "origin-2"}
    for path in ("/", "/app.js", "/charts.js", "/streams.js", "/words.js", "/style.css", "/favicon.svg"):
        assert request(url + path).status == 200, path


def test_every_answer_has_a_strict_policy_and_only_the_edge_is_let_in(dashboard):
    url = dashboard("--watch", "https://live.example/somewhere")
    for path in ("/", "/app.js", "/picture", "/nothing"):
        headers = request(url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert "connect-src 'self' https://live.example;" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_a_name_that_was_made_to_point_here_is_refused(dashboard):
    url = dashboard()
    assert request(url + "/", headers={"Host": "evil.example"}).status == 403
    assert request(url + "/picture", headers={"Host": "127.0.0.1.evil.example:9590"}).status == 403
    assert request(url + "/", headers={"Host": "localhost:1"}).status == 200


def test_there_is_nothing_but_the_page(dashboard):
    url = dashboard()
    for path in ("/../nodes.py", "/page/../../freshet", "/%2e%2e/nodes.py", "/index.html", "//etc/passwd"):
        assert request(url + path).status == 404, path
    assert request(url + "/picture", method="POST").status == 501


def test_elsewhere_than_on_loopback_it_wants_a_password(nodes, tmp_path):
    _, err = freshet("dashboard", "--listen", "0.0.0.0:0", admin=nodes, status=2)
    assert "is not loopback" in err and "--password-file" in err
    short = tmp_path / "short"
    short.write_text("1234")
    assert "allowed are 8 and more" in freshet("dashboard", "--listen", "0.0.0.0:0", "--password-file", str(short), admin=nodes, status=2)[1]
    assert "allowed is ADDRESS:PORT" in freshet("dashboard", "--listen", "somewhere", admin=nodes, status=2)[1]
    assert "allowed is an http or https URL" in freshet("dashboard", "--watch", "live.example; script-src *", admin=nodes, status=2)[1]


def test_with_a_password_nobody_sees_anything_without_it(dashboard, tmp_path):
    path = tmp_path / "password"
    path.write_text("a long one\n")
    url = dashboard("--password-file", str(path))

    def asked(text):
        return request(url + "/picture", headers={"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}).status
    assert request(url + "/").status == 401 and request(url + "/picture").status == 401
    assert asked("me:wrong one") == 401 and asked("a long one") == 401
    assert asked("me:a long one") == 200
    assert request(url + "/", headers={"Authorization": "Basic !!!"}).status == 401


def test_a_node_that_comes_and_goes_is_shown_as_it_is(dashboard, nodes):
    url = dashboard()
    nodes[1].node.update(state="draining")
    wait_until(lambda: any("is draining" in p["text"] for p in picture(url)["problems"]), "it drains")
    nodes[1].close()
    row = wait_until(lambda: next((n for n in picture(url)["nodes"] if n["state"] == "unreachable"), None), "it is gone")
    assert row["id"] == "transcoder-1" and row["role"] == "transcoderd"  # as it was known


class Prometheus(http.server.BaseHTTPRequestHandler):
    alerts = [{"labels": {"alertname": "FreshetSlate", "severity": "warning"}, "annotations": {"summary": "slate for minutes"},
               "state": "firing", "activeAt": "2026-11-21T10:00:00Z"},
              {"labels": {"alertname": "FreshetDiskFull", "severity": "critical"}, "annotations": {"summary": "no writes"},
               "state": "firing", "activeAt": "2026-11-21T10:00:00Z"},
              {"labels": {"alertname": "FreshetNodeDown", "severity": "critical"}, "annotations": {}, "state": "pending"}]

    def do_GET(self):
        body = json.dumps({"status": "success", "data": {"alerts": self.alerts}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_alerts_are_those_of_prometheus_and_the_tools_own_when_it_is_away(dashboard, nodes):
    server = http.server.HTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    url = dashboard("--prometheus", f"http://127.0.0.1:{server.server_port}")
    got = picture(url)
    assert got["alerts_from"] == "prometheus"
    assert [p["text"] for p in got["problems"]] == ["no writes", "slate for minutes"]
    server.shutdown()
    server.server_close()
    nodes[1].metrics["transcoderd_behind_seconds"] = 2
    got = wait_until(lambda: (p := picture(url))["alerts_from"] == "nodes" and len(p["problems"]) > 1 and p, "its own")
    assert any("does not answer" in p["text"] for p in got["problems"]) and any("behind real time" in p["text"] for p in got["problems"])


def test_a_browser_that_goes_away_is_nothing_to_tell(dashboard):
    url = dashboard()
    host, port = url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sendall(b"GET /picture HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert picture(url)["totals"]["nodes"] == 5  # the fixture looks for a traceback
