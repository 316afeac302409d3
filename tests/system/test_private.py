"""Private streams at an edge: who is let in, and until when. The origins are made-up ones (test_edge_tier.py), the tokens those of
deploy/token."""
import base64
import http.client
import json
import os
import signal
import threading
import time
from urllib.parse import urlsplit

import pytest

from harness import TOP, Lag, request, run, wait_until
from test_edge_tier import body_of, metric, tier  # noqa: F401 (a fixture)

TOKEN = os.path.join(TOP, "deploy", "token")
WHOLE = "/live/whole_5000/s/v720/1.m4s"
SLOW = "/live/grow_100000_50_200/s/v720/1.m4s"  # 10 s long


class Keys:
    def __init__(self, directory):
        self.private, self.public = str(directory / "private.json"), str(directory / "public.json")
        self.keygen("first")
        self.keygen("second", "--add")
        self.keygen("secret", "--add", "--alg", "HS256")

    def keygen(self, kid, *more):
        run(TOKEN, "keygen", "--keys", self.private, "--public", self.public, "--kid", kid, *more)

    def make(self, streams, lifetime="1h", kid="first", use="view"):
        return run(TOKEN, "make", use, streams, "--for", lifetime, "--kid", kid, "--keys", self.private).stdout.decode().strip()

    def remove(self, kid):
        """As an operator does who revokes: a new file in the old one's place."""
        with open(self.public, encoding="utf-8") as f:
            left = [k for k in json.load(f)["keys"] if k["kid"] != kid]
        with open(self.public + ".new", "w", encoding="utf-8") as f:
            json.dump({"keys": left}, f)
        os.replace(self.public + ".new", self.public)


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


def private_edge(tier, keys, **settings):
    return tier.edge(tier.origin(), view_jwks=keys.public, private='["whole_*", "grow_*"]', **settings)


class Answering(threading.Thread):
    """One request, read as it comes; `ended` is when nothing more came."""

    def __init__(self, url):
        super().__init__()
        self.url, self.body, self.ended, self.whole = url, bytearray(), None, False
        self.start()

    def run(self):
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        try:
            while piece := answer.read1(65536):
                self.body.extend(piece)
            self.whole = answer.isclosed()
        except (http.client.HTTPException, OSError):
            self.whole = False
        self.ended = time.time()
        connection.close()


def test_url_bearer_and_cookie_let_in_and_share_one_object(tier, keys):  # noqa: F811
    edge = private_edge(tier, keys)
    es256, hs256 = keys.make("whole_*"), keys.make("*", kid="secret")
    for answer in (request(f"{edge.url}/t/{es256}{WHOLE}"), request(f"{edge.url}/t/{hs256}{WHOLE}?x=1"),
                   request(edge.url + WHOLE, headers={"Authorization": f"Bearer {es256}"}),
                   request(edge.url + WHOLE, headers={"Cookie": f"a=b; freshet_token={hs256}"})):
        assert answer.status == 200 and answer.body == body_of(5000)
    assert request(edge.url + "/live/text/manifest.mpd").status == 200  # another stream is public as ever
    counts = tier.counts(edge)
    assert counts[WHOLE] == 1
    assert not [key for key in counts if "eyJ" in key or "/t/" in key]


@pytest.mark.parametrize("how, status, words", [
    ("nothing", 401, "needs a token"), ("other stream", 403, "another stream"), ("other use", 403, "another use"),
    ("run out", 401, "expired"), ("damaged", 401, "signature is wrong"), ("no token", 401, "damaged")])
def test_who_is_refused_is_told_why_in_words_that_players_can_read(tier, keys, how, status, words):  # noqa: F811
    edge = private_edge(tier, keys)
    token = {"other stream": lambda: keys.make("grow_*"), "other use": lambda: keys.make("*", use="publish"),
             "run out": lambda: keys.make("*", "1s"), "no token": lambda: "x.y.z"}.get(how, lambda: keys.make("*"))()
    if how == "run out":
        time.sleep(1)
    if how == "damaged":
        token = token[:-12] + ("A" if token[-12] != "A" else "B") + token[-11:]
    answer = request(edge.url + WHOLE if how == "nothing" else f"{edge.url}/t/{token}{WHOLE}")
    assert answer.status == status and words in answer.json()["error"]
    assert answer.headers["access-control-allow-origin"] == "*" and answer.headers["cache-control"] == "no-store"
    assert token not in answer.text()
    assert metric(edge, "edged_refused_total") == 1
    assert tier.counts(edge).get(WHOLE) is None


def test_a_growing_answer_ends_with_its_token_not_later_than_a_second(tier, keys):  # noqa: F811
    edge = private_edge(tier, keys)
    stays = Answering(f"{edge.url}/t/{keys.make('*')}{SLOW}")
    token, lag = keys.make("grow_*", "5s"), Lag()
    ends = Answering(f"{edge.url}/t/{token}{SLOW}")
    claims = token.split(".")[1]
    exp = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
    ends.join()
    lag.end()
    assert not ends.whole and 0 < len(ends.body) < 100000 and body_of(100000).startswith(ends.body)
    assert exp <= ends.ended < exp + 1.5 + 2 * lag.worst()  # it looks once a second
    assert metric(edge, "edged_closed_total", "token_expired") == 1
    assert request(f"{edge.url}/t/{token}{SLOW}").status == 401
    stays.join()
    assert stays.body == body_of(100000)


def test_answers_end_within_two_seconds_when_their_key_is_taken_away(tier, keys):  # noqa: F811
    edge = private_edge(tier, keys)
    first, second = keys.make("*"), keys.make("*", kid="second")
    ends, stays = Answering(f"{edge.url}/t/{first}{SLOW}"), Answering(f"{edge.url}/t/{second}{SLOW}")
    wait_until(lambda: ends.body and stays.body, "both are being answered")
    keys.remove("first")
    removed, lag = time.time(), Lag()
    ends.join()
    lag.end()
    assert not ends.whole and ends.ended - removed < 2.5 + 2 * lag.worst()
    assert metric(edge, "edged_closed_total", "token_revoked") == 1
    assert request(f"{edge.url}/t/{first}{WHOLE}").status == 401
    assert request(f"{edge.url}/t/{second}{WHOLE}").status == 200
    stays.join()
    assert stays.body == body_of(100000)


def test_a_key_that_is_added_is_taken_and_a_damaged_file_changes_nothing(tier, keys):  # noqa: F811
    edge = private_edge(tier, keys)
    old = keys.make("*")
    keys.keygen("third", "--add")
    token = keys.make("*", kid="third")
    wait_until(lambda: request(f"{edge.url}/t/{token}{WHOLE}").status == 200, "the new key is known")
    with open(keys.public, "w", encoding="utf-8") as f:
        f.write('{"keys": [')
    wait_until(lambda: "those from before stay" in edge.said(), "the damaged file is told")
    for good in (old, token):
        assert request(f"{edge.url}/t/{good}{WHOLE}").status == 200


def test_a_check_of_the_configuration_reads_the_keys(keys, tmp_path):
    binary = os.path.join(os.environ.get("FRESHET_BIN") or os.path.join(TOP, "bin"), "edged")
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"keys": [')
    run(binary, "-n", "--set", f"view_jwks={keys.public}")
    for arguments in (["-n"], []):
        for path, why in ((str(damaged), b"no JSON"), ("/nonexistent", b"No such file")):
            said = run(binary, *arguments, "--set", f"view_jwks={path}", check=False)
            assert said.returncode == 2 and b"view_jwks" in said.stderr and why in said.stderr, said.stderr


def test_sighup_makes_streams_private_and_public_again(tier, keys, tmp_path):  # noqa: F811
    config = tmp_path / "edge.json"

    def set_private(patterns):
        config.write_text(json.dumps({"private": patterns}))

    set_private([])
    edge = tier.edge(tier.origin(), view_jwks=keys.public, config=str(config))
    assert request(edge.url + WHOLE).status == 200
    set_private(["whole_*"])
    edge.signal(signal.SIGHUP)
    wait_until(lambda: request(edge.url + WHOLE).status == 401, "it is private")
    set_private([])
    edge.signal(signal.SIGHUP)
    wait_until(lambda: request(edge.url + WHOLE).status == 200, "it is public")


def test_the_list_names_private_streams_to_token_holders_only(tier, keys):  # noqa: F811
    edge = tier.edge(tier.origin("origin-1"), tier.origin("origin-2"), view_jwks=keys.public, private='["origin-2"]')

    def listed(before=""):
        return sorted(s["id"] for s in request(f"{edge.url}{before}/api/streams").json()["streams"])

    holder = f"/t/{keys.make('origin-2')}"
    wait_until(lambda: listed(holder) == ["origin-1", "origin-2"], "both origins' streams")  # it is ready with one of them
    assert listed() == ["origin-1"]
    assert listed(f"/t/{keys.make('other')}") == ["origin-1"]


def test_lower_tiers_are_nodes_and_need_no_token(tier, keys):  # noqa: F811
    upper = private_edge(tier, keys)
    lower = tier.edge(upper, name="edge-2", upstream_role="edged")
    assert request(lower.url + WHOLE).status == 200  # what is private is said by each edge that viewers come to


def test_no_log_line_holds_a_token_at_any_level(tier, keys):  # noqa: F811
    edge = private_edge(tier, keys, log_level="debug")
    token, forged = keys.make("*"), keys.make("*", "2h")[:-20] + "A" * 20
    for before in (token, forged):
        for path in (f"/t/{before}{WHOLE}", f"/t/{before}/watch/cam", f"/t/{before}", f"/t/{before}/api/streams", f"/t/{before}/nothing",
                     f"/t/{before}//x", f"/live/{before}/manifest.mpd", f"/T/{before}{WHOLE}", f"/watch/{before}",
                     f"/web/{before}", f"/{before}", f"{WHOLE}?token={before}", f"/t/{before}/t/{before}{WHOLE}"):
            request(edge.url + path)
        request(edge.url + WHOLE, headers={"Authorization": f"Bearer {before}", "Cookie": f"freshet_token={before}"})
        raw = http.client.HTTPConnection(*edge.url[7:].split(":"))
        raw.putrequest("GET", WHOLE)
        raw.putheader("Authorization Bearer " + before, "x")  # no header that HTTP knows
        raw.endheaders()
        raw.getresponse().read()
        raw.close()
        raw = http.client.HTTPConnection(*edge.url[7:].split(":"))
        raw.connect()
        raw.sock.sendall(f"GET /t/{before}{WHOLE}\r\nno {before} header\r\n\r\n".encode())
        raw.sock.recv(4096)
        raw.close()
    edge.end()
    with open(edge.log, encoding="utf-8") as log:
        text = log.read()
    assert "path=" + WHOLE in text and text.count("\n") > 20  # it did log requests
    for part in token.split(".") + forged.split("."):
        assert part not in text and part[:30] not in text
    assert "eyJ" not in text


def test_requests_in_a_row_fail_with_nothing_but_refused_connections_through_sigterm(tier):  # noqa: F811
    edge = tier.edge(tier.origin(), drain_ms=4000)
    parts = urlsplit(edge.url + WHOLE)
    failures, served, closing = [], [], []

    def ask_on_and_on():
        connection = None
        while True:
            fresh = connection is None
            try:
                if fresh:
                    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
                    connection.connect()
            except OSError:
                return  # nobody accepts any more
            try:
                connection.request("GET", parts.path)
                answer = connection.getresponse()
                assert answer.status == 200 and answer.read() == body_of(5000)
                served.append(time.monotonic())
                if answer.getheader("Connection") == "close":
                    closing.append(time.monotonic())
                    connection.close()
                    connection = None
            except Exception as error:  # whatever it is: an accepted request was not answered
                # A connection that waited in the kernel's queue when the port closed was never accepted: it is reset.
                if not (fresh and closing and isinstance(error, ConnectionResetError)):
                    failures.append(repr(error))
                return

    askers = [threading.Thread(target=ask_on_and_on) for _ in range(4)]
    for asker in askers:
        asker.start()
    wait_until(lambda: len(served) > 100, "requests flow")
    assert not closing
    edge.signal(signal.SIGTERM)
    wait_until(lambda: request(edge.admin + "/readyz").status == 503, "/readyz fails")
    seen_gone = time.monotonic()
    for asker in askers:
        asker.join()
    assert edge.process.wait(20) == 0
    assert not failures
    assert len(closing) >= 4 and max(served) > seen_gone  # it served those who came after it had looked gone
