"""Admin ports without daemons, for tests of what asks them: each answers as one node does, from a dict that a test changes."""
import http.server
import json
import threading
import time

METRICS = {
    "ingestd": {"ingestd_publishers": 1, "ingestd_bytes_total": 1000000, "ingestd_failovers_total": 2},
    "transcoderd": {"transcoderd_sessions": 1, "transcoderd_behind_seconds": 0, "transcoderd_cpus": 4,
                    "transcoderd_cpu_seconds_total": 100, 'transcoderd_owners{state="in_step"}': 2},
    "originD": {'originD_sessions{status="live"}': 1, 'originD_sessions{status="ended"}': 3, "originD_free_bytes": 5e11,
                "originD_min_free_bytes": 2.6e8, "originD_stored_bytes": 7e9, "originD_bytes_total": 1000},
    "edged": {"edged_clients": 30, 'edged_viewers{stream="cam",of="picture",zone=""}': 12.1, 'edged_viewers{stream="cam",of="sound",zone=""}': 11.9,
              "edged_names_current": 1, 'edged_requests_total{result="hit",status="200"}': 100,
              'edged_requests_total{result="miss",status="200"}': 10},
}


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """One that is asked and then not listened to, by intention."""


class Node:
    def __init__(self, name, role, token="", **node):
        self.token, self.paused, self.asked = token, False, []
        self.node = {"id": name, "role": role, "version": "0.9.0", "zone": "", "state": "ready", "why": "", "uptime": 7265,
                     "pid": 1, "load": 0.25, "log_level": "info", "peers": [], **node}
        self.metrics = dict(METRICS[role])
        self.histograms = {}
        self.answers = {}  # (method, path) -> (status, object)
        if role == "originD":
            self.answers["GET", "/api/sessions"] = (200, {"sessions": [], "disk": {"full_in_seconds": None}})
        if role == "transcoderd":
            self.answers["GET", "/api/sessions"] = (200, {"sessions": []})
        if role == "edged":
            self.answers["GET", "/api/stats"] = (200, {"streams": []})
        if role == "ingestd":
            self.answers["GET", "/api/publishers"] = (200, {"publishers": []})
            self.answers["POST", "/api/kick"] = (404, {"error": "nobody publishes that here"})
        self.answers["POST", "/api/drain"] = (202, {"state": "draining"})
        self.answers["GET", "/api/log_level"] = (200, {"level": "info"})
        self.answers["PUT", "/api/log_level"] = (200, {"level": "debug"})
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                fake.answer(self)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.asked.append((request.command, request.path, json.loads(body) if body else None, dict(request.headers)))
        deadline = time.monotonic() + 20
        while self.paused and time.monotonic() < deadline:
            time.sleep(0.02)
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            self.send(request, 401, json.dumps({"error": "wanted: Authorization: Bearer and the admin_token"}))
        elif request.path == "/metrics":
            self.send(request, 200, self.text())
        elif request.path == "/api/node":
            self.send(request, 200, json.dumps(self.node))
        else:
            status, value = self.answers.get((request.command, request.path), (404, {"error": "there is no such thing"}))
            self.send(request, status, json.dumps(value))

    def text(self):
        lines = [f"{series} {value}" for series, value in self.metrics.items()]
        for name, buckets in self.histograms.items():
            lines += [f'{name}_bucket{{le="{bound}"}} {n}' for bound, n in buckets.items()]
        return "\n".join(lines) + "\n"

    @staticmethod
    def send(request, status, text):
        request.send_response(status)
        request.send_header("Content-Length", str(len(text.encode())))
        request.end_headers()
        request.wfile.write(text.encode())


def cluster(token=""):
    """One of each, and a second origin; one stream is live."""
    made = [Node("ingest-1", "ingestd", token), Node("transcoder-1", "transcoderd", token), Node("origin-1", "originD", token),
            Node("origin-2", "originD", token), Node("edge-1", "edged", token)]
    session = {"stream": "cam", "session": "20261121T100000Z-1a2b3c4d", "title": "A camera", "state": "live",
               "generation": 1, "writer": "transcoder-1", "tracks": [{}, {}, {}], "bytes": 1000000, "lag_ms": 240}
    for node in made:
        if node.node["role"] == "originD":
            node.answers["GET", "/api/sessions"] = (200, {"sessions": [session]})
    made[0].answers["GET", "/api/publishers"] = (200, {"publishers": [{"stream": "cam", "address": "192.0.2.7:4711", "encoder": "obs", "state": "live", "kbps": 2400}]})
    return made
