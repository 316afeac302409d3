"""Each event of a broadcast reaches the webhook at least once, whoever dies; while nobody dies, exactly once."""
import hashlib
import hmac
import http.server
import json
import os
import signal
import threading
import time

import pytest

from harness import TINY_LADDER, wait_until

SECRET = "geheim"


class Receiver:
    """A webhook. What it does with a request is its `mode`: ok, fail (503), hang (no answer until the sender gives up)."""

    def __init__(self):
        self.mode, self.taken, self.refused, self.bad = "ok", [], [], []
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.take(self.headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.handler = Handler
        self.server = None
        self.port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self.port}/events"

    def start(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self):
        """Nobody listens any more."""
        self.server.shutdown()
        self.server.server_close()

    def take(self, headers, body):
        if not self.signed(headers["Freshet-Signature"], body):
            with self.lock:
                self.bad.append(body)
        if self.mode == "hang":
            with self.lock:
                self.refused.append(json.loads(body))
            wait_until(lambda: self.mode != "hang", "the end of the test", seconds=120)
            return None
        with self.lock:
            (self.taken if self.mode == "ok" else self.refused).append(json.loads(body))
        return 204 if self.mode == "ok" else 503

    @staticmethod
    def signed(signature, body):
        """As docs/operations.md has it."""
        t, v1 = (part.partition("=")[2] for part in signature.split(","))
        wanted = hmac.new(SECRET.encode(), t.encode() + b"." + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(v1, wanted) and abs(time.time() - int(t)) < 300

    def events(self, stream):
        with self.lock:
            return [e for e in self.taken if e["stream"] == stream]

    def kinds(self, stream):
        return [e["event"] for e in self.events(stream)]

    def wait(self, stream, kind, seconds=40):
        return wait_until(lambda: next((e for e in self.events(stream) if e["event"] == kind), None),
                          f"{kind} of {stream}, of {self.kinds(stream)}", seconds)


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.mode = "ok"
    made.stop()
    assert not made.bad, "requests with a wrong signature"


def webhooks(receiver):
    return "originD.webhooks=" + json.dumps([{"url": receiver.url, "secret": SECRET}])


def waiting(cluster, node="origin-1"):
    return cluster.metric(node, "originD_webhook_waiting")


def test_the_life_of_a_broadcast_is_told_once_though_two_origins_see_it(make_cluster, receiver):
    cluster = make_cluster(ladder=TINY_LADDER, transcoders=2, origins=2,
                           sets=[webhooks(receiver), "transcoderd.grace_ms=6000"])
    first = cluster.publish_test_picture("cam", size="320x180")
    session = cluster.wait_playable("cam")["session"]
    started = receiver.wait("cam", "started")
    assert started["session"] == session and started["generation"] >= 1

    busy = next(n for n in ("transcoder-1", "transcoder-2") if cluster.metric(n, "transcoderd_sessions"))
    assert started["transcoder"] == busy
    cluster.do("kill", busy)
    over = receiver.wait("cam", "failed_over")
    assert over["before"] == busy and over["transcoder"] not in ("", busy) and over["generation"] > started["generation"]
    cluster.do("start", busy)

    first.kill()
    slate = receiver.wait("cam", "slate_begun")
    second = cluster.publish_test_picture("cam", size="320x180")
    assert receiver.wait("cam", "slate_over")["media_ms"] > slate["media_ms"]
    second.kill()
    assert receiver.wait("cam", "ended")["why"] == "end"
    wait_until(lambda: waiting(cluster, "origin-1") + waiting(cluster, "origin-2") == 0, "both know that all is told")
    ids = [e["id"] for e in receiver.events("cam")]
    assert len(ids) == len(set(ids)), f"told twice: {ids}"
    kinds = receiver.kinds("cam")
    assert kinds[0] == "started" and kinds[-1] == "ended"


def test_a_webhook_that_is_away_fails_or_hangs_gets_everything_in_the_end(make_cluster, receiver):
    cluster = make_cluster(ladder=TINY_LADDER, sets=[webhooks(receiver)])
    receiver.stop()
    cluster.publish_test_picture("away", size="320x180")
    wait_until(lambda: cluster.metric("origin-1", "originD_webhook_requests_total", result="failed") >= 2, "two tries")
    receiver.start()
    receiver.wait("away", "started")

    receiver.mode = "fail"
    cluster.publish_test_picture("fails", size="320x180")
    wait_until(lambda: len(receiver.refused) >= 2, "two refusals")
    receiver.mode = "ok"
    receiver.wait("fails", "started")

    receiver.mode = "hang"
    failed = cluster.metric("origin-1", "originD_webhook_requests_total", result="failed")
    cluster.publish_test_picture("hangs", size="320x180")
    wait_until(lambda: cluster.metric("origin-1", "originD_webhook_requests_total", result="failed") > failed, "it timed out")
    assert cluster.wait_playable("hangs")  # nobody waits for a webhook
    receiver.mode = "ok"
    receiver.wait("hangs", "started")
    wait_until(lambda: waiting(cluster) == 0, "nothing waits")


def test_the_only_origin_is_killed_between_event_and_delivery(make_cluster, receiver):
    cluster = make_cluster(ladder=TINY_LADDER, sets=[webhooks(receiver)])
    receiver.mode = "fail"
    cluster.publish_test_picture("cam", size="320x180")
    wait_until(lambda: receiver.refused, "a first try")
    cluster.do("kill", "origin-1")
    receiver.mode = "ok"
    cluster.do("start", "origin-1")
    assert receiver.wait("cam", "started")["id"] == receiver.refused[0]["id"]


def test_the_other_owner_tells_what_the_killed_one_did_not(make_cluster, receiver):
    cluster = make_cluster(ladder=TINY_LADDER, origins=2, sets=[webhooks(receiver)])
    receiver.mode = "fail"
    cluster.publish_test_picture("cam", size="320x180")
    first = wait_until(lambda: receiver.refused and receiver.refused[0]["origin"], "a first try")
    other = "origin-2" if first == "origin-1" else "origin-1"
    wait_until(lambda: waiting(cluster, other) >= 1, "the other one keeps it too")
    cluster.do("kill", first)
    receiver.mode = "ok"
    event = receiver.wait("cam", "started")
    assert event["origin"] == other and event["id"] == receiver.refused[0]["id"]
    cluster.do("start", first)
    wait_until(lambda: waiting(cluster, first) == 0, "the one that was killed hears that it is settled, or tells it again")
    assert {e["id"] for e in receiver.events("cam") if e["event"] == "started"} == {event["id"]}


def test_webhooks_are_taken_from_a_configuration_that_is_read_again(make_cluster, receiver):
    cluster = make_cluster(ladder=TINY_LADDER)
    cluster.publish_test_picture("cam", size="320x180")
    cluster.wait_playable("cam")
    path = f"{cluster.dir}/origin-1.json"
    config = cluster.config("origin-1")
    config["webhooks"] = [{"url": receiver.url, "secret": SECRET}]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)
    os.kill(cluster.node("origin-1")["pid"], signal.SIGHUP)
    receiver.wait("cam", "started")
