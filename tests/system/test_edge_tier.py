"""edged alone, above it origins that count what they are asked and do as their streams' names say (tests/tools/fake_fetch.c)."""
import concurrent.futures
import contextlib
import itertools
import json
import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from harness import TOP, Answer, request, reserve_port, spawn, wait_until

BIN = os.environ.get("FRESHET_BIN", os.path.join(TOP, "bin"))
FAKE = os.path.join(TOP, "build", "release", "tools", "fake_fetch")


def body_of(size):
    return bytes((i * 7 + i // 251) & 255 for i in range(size))


class Process:
    def __init__(self, argv, log):
        self.log = log
        with open(log, "ab") as out:
            self.process = spawn(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def running(self):
        return self.process.poll() is None

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def signal(self, what):
        self.process.send_signal(what)

    def end(self):
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Tier:
    """Some fake origins, and edges that know them."""

    def __init__(self, directory, ends):
        self.dir, self.ends, self.names = str(directory), ends, itertools.count()

    def origin(self, name="origin-1", *more):
        origin = Process([FAKE, "--port", str(port := reserve_port()), "--id", name, *more], f"{self.dir}/{name}.log")
        origin.address = f"127.0.0.1:{port}"
        self.ends.callback(origin.end)
        wait_until(lambda: "ready" in origin.said(), f"{name} ready")
        return origin

    def start_edge(self, *above, name="edge-1", **settings):
        http, admin = reserve_port(), reserve_port()
        settings = {"id": name, "http_port": http, "fetch_port": reserve_port(), "admin_port": admin, "http_threads": 2, "drain_ms": 0,
                    "origins": ",".join(a.address for a in above), **settings}
        more = ["--config", settings.pop("config")] if "config" in settings else []
        sets = more + [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        edge = Process([os.path.join(BIN, "edged"), *sets], f"{self.dir}/{name}.log")
        edge.address, edge.url, edge.admin = f"127.0.0.1:{settings['fetch_port']}", f"http://127.0.0.1:{http}", f"http://127.0.0.1:{admin}"
        self.ends.callback(edge.end)
        return edge

    def edge(self, *above, name="edge-1", **settings):
        edge = self.start_edge(*above, name=name, **settings)
        wait_until(lambda: request(edge.admin + "/readyz").status == 200, f"{name} ready")
        # which it is with one of them
        if "siblings" not in settings:
            wait_until(lambda: metric(edge, "freshet_peers{", 'state="live"') == len(above), f"{name} sees all that it asks")
        return edge

    def site(self, *above, names=("edge-1", "edge-2", "edge-3"), **settings):
        """Edges that are siblings."""
        ports = [reserve_port() for _ in names]
        siblings = ",".join(f"127.0.0.1:{port}" for port in ports)
        edges = [self.edge(*above, name=name, fetch_port=port, siblings=siblings, **settings) for name, port in zip(names, ports)]
        for edge in edges:
            wait_until(lambda edge=edge: metric(edge, "freshet_peers{", 'state="live"') == len(above) + len(edges), "siblings know each other")
        return edges

    def counts(self, edge):
        """FETCHes by key, of the origin that the edge asks for this name."""
        return json.loads(request(f"{edge.url}/live/counts/n{next(self.names)}/manifest.mpd").body)


@pytest.fixture
def tier(tmp_path):
    with contextlib.ExitStack() as ends:
        yield Tier(tmp_path, ends)


def metric(edge, name, labels=""):
    return sum(float(line.split()[-1]) for line in request(edge.admin + "/metrics").text().splitlines()
               if line.startswith(name) and labels in line)


def get_all(edge, path, viewers):
    with concurrent.futures.ThreadPoolExecutor(viewers) as pool:
        return [f.result() for f in [pool.submit(request, edge.url + path) for _ in range(viewers)]]


def test_two_hundred_viewers_of_one_object_are_one_fetch(tier):
    edge = tier.edge(tier.origin())
    path = "/live/late_50000_400/s/v720/3.m4s"
    answers = get_all(edge, path, 200)
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {body_of(50000)}
    assert tier.counts(edge)[path] == 1


def test_two_hundred_viewers_of_what_takes_longer_than_half_a_second_are_one_fetch(tier):
    edge = tier.edge(tier.origin())
    path = "/live/late_50000_900/s/v720/3.m4s"
    answers = get_all(edge, path, 200)
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {body_of(50000)}
    assert all(a.headers.get("content-length") == "50000" for a in answers)  # it came at once, so its length was known
    assert tier.counts(edge)[path] == 1


def test_what_is_known_to_come_later_is_asked_for_when_it_is_due(tier):
    edge = tier.edge(tier.origin(), hold_ms=30000)
    path = "/live/due_50000_4000/s/v720/3.m4s"
    answers = get_all(edge, path, 50)
    assert {a.status for a in answers} == {200} and {a.body for a in answers} == {body_of(50000)}
    assert tier.counts(edge)[path] <= 2  # that it is due, and when it was


def test_what_is_further_ahead_than_anybody_is_held_is_refused_at_once(tier):
    edge = tier.edge(tier.origin(), hold_ms=20000)
    path = "/live/due_50000_50000/s/v720/3.m4s"
    answers = get_all(edge, path, 20) + [request(edge.url + path)]
    assert {a.status for a in answers} == {503} and all(int(a.headers["retry-after"]) > 0 for a in answers)
    assert tier.counts(edge)[path] == 1  # nor is it asked for again before it can be held for


def test_a_growing_segment_is_fetched_once_for_all_and_streamed(tier):
    edge = tier.edge(tier.origin())
    path = "/live/grow_100000_5_100/s/v720/3.m4s"
    answers = get_all(edge, path, 50)
    assert {a.body for a in answers} == {body_of(100000)}
    assert any(a.headers.get("transfer-encoding") == "chunked" for a in answers)
    assert tier.counts(edge)[path] < 25  # about one a piece, some that waited in vain; not one a viewer


def test_an_origin_that_dies_in_mid_segment_costs_no_byte(tier):
    dying = tier.origin("origin-1", "--die-after", "2")
    edge = tier.edge(dying, tier.origin("origin-2"))
    done = 0
    for n in range(40):  # the ring decides whom a stream belongs to
        path = f"/live/grow_{60000 + n}_6_30/s/v720/{n}.m4s"
        assert request(edge.url + path).body == body_of(60000 + n)
        done += 1
        if not dying.running():
            break
    assert not dying.running() and done > 0
    assert request(f"{edge.url}/live/whole_100/s/v720/1.m4s").status == 200


def test_a_frozen_origin_is_passed_over(tier):
    frozen, other = tier.origin("origin-1"), tier.origin("origin-2")
    edge = tier.edge(frozen, other)
    frozen.signal(signal.SIGSTOP)
    for n in range(4):
        assert request(f"{edge.url}/live/whole_{100 + n}/s/v720/1.m4s").body == body_of(100 + n)


def test_without_origins_manifests_go_stale_and_the_rest_is_503(tier):
    origin = tier.origin()
    edge = tier.edge(origin)
    manifest = edge.url + "/live/text/manifest.mpd"
    first = request(manifest)
    origin.signal(signal.SIGKILL)
    wait_until(lambda: request(edge.admin + "/readyz").status == 503, "not ready without an origin")
    stale = wait_until(lambda: (a := request(manifest)).headers["x-cache"] == "stale" and a, "a stale manifest")
    assert stale.status == 200 and stale.body == first.body
    lost = request(edge.url + "/live/whole_10/s/v720/1.m4s")
    assert lost.status == 503 and lost.headers["retry-after"] and "error" in lost.json()


def test_a_manifest_is_refreshed_once_a_second_however_many_ask(tier):
    edge = tier.edge(tier.origin())
    path, began = "/live/text/manifest.mpd", time.monotonic()
    bodies = set()
    while len(bodies) < 3:
        bodies |= {a.body for a in get_all(edge, path, 20)}
        assert time.monotonic() - began < 30
    assert tier.counts(edge)[path] <= (time.monotonic() - began) + 2


def test_what_is_due_is_held_and_never_404(tier):
    origin = tier.origin()
    patient, hasty = tier.edge(origin, name="edge-1", hold_ms=20000), tier.edge(origin, name="edge-2", hold_ms=600)
    assert request(patient.url + "/live/late_500_300/s/v720/1.m4s").status == 200
    assert request(hasty.url + "/live/never/s/v720/1.m4s").status == 503
    missing = hasty.url + "/live/missing/s/v720/1.m4s"
    assert request(missing).status == 404
    wait_until(lambda: request(missing).headers["x-cache"] == "hit", "a second one within the second that it is remembered")


def test_edges_stack(tier):
    upper = tier.edge(tier.origin(), name="edge-upper")
    lower = tier.edge(upper, name="edge-lower", upstream_role="edged")
    path = "/live/grow_2500000_5_60/s/v720/1.m4s"
    answers = get_all(lower, path, 40)
    assert {a.body for a in answers} == {body_of(2500000)}
    assert tier.counts(upper)[path] < 20  # pieces of a megabyte at most; not one a viewer
    assert request(lower.url + "/live/missing/s/v720/1.m4s").status == 404
    assert request(lower.url + "/api/streams").json()["streams"][0]["id"] == "origin-1"


def test_the_list_of_streams_is_that_of_all_origins(tier):
    edge = tier.edge(tier.origin("origin-1"), tier.origin("origin-2"))
    names = lambda: {s["id"] for s in request(edge.url + "/api/streams").json()["streams"]}  # noqa: E731
    wait_until(lambda: names() == {"origin-1", "origin-2"}, "both origins' streams")


def test_the_byte_budget_is_kept(tier):
    edge = tier.edge(tier.origin(), cache_bytes=4 << 20)
    for n in range(30):
        assert request(f"{edge.url}/live/whole_{500000 + n}/s/v720/{n}.m4s").status == 200
    wait_until(lambda: 0 < metric(edge, "edged_cache_bytes") <= 4 << 20, "within the budget")
    assert metric(edge, "edged_cache_evicted_total") >= 20


def test_an_edge_whose_files_may_not_be_large_serves_all_the_same(tier):
    edge = tier.edge(tier.origin())
    resource.prlimit(edge.process.pid, resource.RLIMIT_FSIZE, (4 << 20, 4 << 20))  # what is sent without a copy lies in a file
    for n in range(8):
        assert request(f"{edge.url}/live/whole_1000000/s/v720/{n}.m4s").body == body_of(1000000)
    assert edge.running()


def test_what_is_watched_is_followed_and_then_no_more(tier):
    """One viewer, once: the segments after his are fetched before anybody asks, some of them, and then it ends."""
    begun, origin = time.monotonic(), tier.origin()
    edges = [tier.edge(origin, name="edge-follows"), tier.edge(origin, name="edge-does-not", follow_tracks=0)]
    ms, back = 5 * 200, 6

    def grows(edge):  # a machine that has no time for it may bring all of a segment at once, which tells nobody that it is live
        n = int((time.monotonic() - begun) * 1000 / ms)
        assert request(f"{edge.url}/live/live_60000_5_200/s/v720/{n}.m4s").status == 200
        return n
    first = last = grows(edges[0])
    while metric(edges[0], "edged_followed_total") == 0:
        last = grows(edges[0])
        assert time.monotonic() - begun < 60
    # none is asked for before it begins: so whoever asks for the one after the last that may be followed asks for it himself
    beyond = last + back + 2
    wait_until(lambda: (time.monotonic() - begun) * 1000 > (beyond + 1) * ms, "more time than it may last")
    assert metric(edges[0], "edged_following") == 0
    assert 1 <= metric(edges[0], "edged_followed_total") <= last - first + back + 1
    assert request(f"{edges[0].url}/live/live_60000_5_200/s/v720/{beyond}.m4s").headers["x-cache"] == "miss"
    grows(edges[1])
    assert metric(edges[1], "edged_followed_total") == 0


def memory(edge):
    with open(f"/proc/{edge.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmRSS"))


def test_the_byte_budget_is_what_the_process_has(tier):
    """Whole objects, growing ones, parts of them, and readers who do not read: all of it is within the budget, and the kernel says so."""
    budget = 64 << 20
    edge = tier.edge(tier.origin(), cache_bytes=budget, min_rate_bytes_s=0)
    request(f"{edge.url}/live/whole_1000/s/v720/1.m4s")
    before, most = memory(edge), 0
    with contextlib.ExitStack() as ends:
        for n in range(16):  # a sixteenth of it each
            path = f"/live/whole_{4 << 20}/slow/v720/{n}.m4s"
            assert request(edge.url + path).status == 200
            s = ends.enter_context(socket.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.settimeout(60)
            s.connect(("127.0.0.1", int(edge.url.rpartition(":")[2])))
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert s.recv(100).startswith(b"HTTP/1.1 200")
        for n in range(600):
            size = 30011 + n * 977 % 600000
            what = f"grow_{size}_5_1" if n % 8 == 0 else f"whole_{size}"
            answer = request(f"{edge.url}/live/{what}/s/v720/{n}.m4s", headers={"Range": f"bytes={n}-"} if n % 5 == 4 else {})
            assert answer.status in (200, 206)
            most = max(most, memory(edge) - before)
        wait_until(lambda: metric(edge, "edged_closed_total", "pinned") > 0, "one who keeps too much is closed")
        wait_until(lambda: metric(edge, "edged_pinned_bytes") <= budget / 4, "no more than a share is kept")
        assert metric(edge, "edged_cache_bytes") <= budget + (64 << 10)
    wait_until(lambda: memory(edge) - before < 1.25 * budget, "no more than the budget, and what threads keep for messages")
    assert budget / 2 < most < 1.65 * budget, most >> 20  # with what was cut off, joined, and on its way at some moment


def test_a_client_that_trickles_its_request_is_closed(tier):
    edge = tier.edge(tier.origin(), header_deadline_ms=500)
    slow = socket.create_connection(edge.url[7:].split(":"), timeout=20)
    ended = False
    for letter in itertools.chain(b"GET / HTTP/1.1\r\nX: ", itertools.repeat(97, 400)):
        try:
            slow.send(bytes([letter]))
            slow.settimeout(0.05)
            ended = slow.recv(100) == b""
        except TimeoutError:
            continue
        except OSError:
            ended = True
        if ended:
            break
    assert ended and metric(edge, "edged_closed_total", "slow_headers") == 1
    slow.close()


def test_a_client_that_owes_the_body_it_announced_is_closed(tier):
    edge = tier.edge(tier.origin(), header_deadline_ms=500)
    with socket.create_connection(edge.url[7:].split(":"), timeout=20) as owes:
        owes.sendall(b"GET /time HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\n\r\n")
        assert owes.recv(100) == b""
    assert metric(edge, "edged_closed_total", "slow_headers") == 1


def test_sigterm_lets_answers_finish_and_exits_with_0(tier):
    edge = tier.edge(tier.origin(), hold_ms=20000, finish_ms=30000)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        flowing = [pool.submit(request, edge.url + "/live/grow_100000_5_800/s/v720/1.m4s") for _ in range(20)]
        held = [pool.submit(request, edge.url + "/live/late_1000_4000/s/v720/2.m4s") for _ in range(20)]
        wait_until(lambda: metric(edge, "edged_clients") == 40 and metric(edge, "edged_held_requests") >= 20, "requests under way")
        edge.signal(signal.SIGTERM)
        assert edge.process.wait(40) == 0
        assert {f.result().body for f in flowing} == {body_of(100000)}
        assert {f.result().status for f in held} == {200}


def test_an_edge_that_leaves_serves_until_load_balancers_have_seen_it(tier):
    edge = tier.edge(tier.origin(), drain_ms=60000, finish_ms=30000)
    path = edge.url + "/live/whole_1000/s/v720/1.m4s"
    assert "connection" not in request(path).headers
    edge.signal(signal.SIGTERM)
    wait_until(lambda: request(edge.admin + "/readyz").status == 503, "/readyz fails")
    for _ in range(3):
        answer = request(path)
        assert answer.status == 200 and answer.body == body_of(1000) and answer.headers["connection"] == "close"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flowing = pool.submit(request, edge.url + "/live/grow_100000_5_800/s/v720/1.m4s")
        wait_until(lambda: metric(edge, "edged_held_requests") >= 1, "a request under way")
        edge.signal(signal.SIGTERM)  # a second one: no more waiting for load balancers
        assert edge.process.wait(40) == 0
        assert flowing.result().body == body_of(100000)


def test_sigterm_is_not_held_up_by_what_never_comes(tier):
    edge = tier.edge(tier.origin(), hold_ms=30000)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        held = [pool.submit(request, edge.url + f"/live/never/s/v720/{n}.m4s", timeout=40) for n in range(20)]
        wait_until(lambda: metric(edge, "edged_held_requests") == 20, "requests under way")
        edge.signal(signal.SIGTERM)
        assert edge.process.wait(20) == 0  # and they would wait for 30 s
        assert {answer_or_none(f) for f in held} <= {503, None}


def answer_or_none(future):
    try:
        answer = future.result()
        assert isinstance(answer, Answer)
        return answer.status
    except OSError:
        return None
