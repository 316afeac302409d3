"""Who may publish, and over what: RTMPS, PROXY headers, keys, tokens and the webhook, at a proxy that faces the internet."""
import http.server
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

import media
import rtmp
from harness import TINY_LADDER, TOP, Cluster, make_certificate, request, reserve_port, run, wait_until

TOKEN = os.path.join(TOP, "deploy", "token")


def make_keys(directory, kid, *more):
    run(TOKEN, "keygen", "--kid", kid, "--keys", f"{directory}/private.json", "--public", f"{directory}/public.json", *more)


def make_token(directory, stream, *more):
    return run(TOKEN, "make", "publish", stream, "--for", "1h", "--keys", f"{directory}/private.json", *more).stdout.decode().split()[-1]


class Trusted:
    """A cluster whose proxy has certificates in .certs, and whose configuration tests change with reload()."""

    def __init__(self, directory, sets=()):
        self.dir = str(directory)
        self.certs = os.path.join(self.dir, "certs")
        os.mkdir(self.certs)
        make_certificate(self.certs, "tls", "localhost")
        self.cluster = Cluster(os.path.join(self.dir, "cluster"), ladder=TINY_LADDER,
                               sets=[f"ingestd.rtmps_certs={self.certs}", "ingestd.log_level=debug", *sets])
        self.made = [self.cluster]  # for conftest.py: its publishers end with their test, a failure comes with its logs

    def reload(self, **keys):
        """What is not given goes back to its default."""
        path = os.path.join(self.cluster.dir, "ingest-1.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        for key in [k for k in config if k.startswith(("publish_", "proxy_"))]:
            del config[key]
        config.update(keys)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        before = self.cluster.log("ingest-1").count('msg="configuration read again')
        os.kill(self.cluster.node("ingest-1")["pid"], signal.SIGHUP)
        wait_until(lambda: self.cluster.log("ingest-1").count('msg="configuration read again') > before, "it is read again")

    def rtmps(self, stream):
        return f"{self.cluster.node('ingest-1')['rtmps']}/{stream}"

    def rtmp(self, stream):
        return self.cluster.rtmp(stream)

    def counted(self, name, **labels):
        return self.cluster.metric("ingest-1", name, **labels)

    def publish(self, url, **options):
        c = rtmp.Connection(url, **options)
        return c, c.publish()

    def assert_published(self, url, **options):
        c, code = self.publish(url, **options)
        assert code == "NetStream.Publish.Start", c.said
        return c

    def assert_refused(self, url, words, **options):
        c, code = self.publish(url, **options)
        assert code == "NetStream.Publish.Denied"
        assert words.encode() in c.said, c.said
        assert c.wait_closed()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    made = Trusted(tmp_path_factory.mktemp("trusted"))
    with made.cluster:
        yield made


class Hook(http.server.ThreadingHTTPServer):
    """A webhook that answers as it is told to: .status, .body, .headers; with .held set only when that is set again."""

    daemon_threads = True

    def __init__(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.asked.append(json.loads(body))
                hook.free.wait(30)
                self.send_response(hook.status)
                for name, value in hook.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(hook.body)))
                self.end_headers()
                self.wfile.write(hook.body)

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.free = [], threading.Event()
        self.says(200)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/may?secret=hush-hook"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def says(self, status, body=b"", **headers):
        self.status, self.body, self.headers = status, body, {k.replace("_", "-"): v for k, v in headers.items()}
        self.free.set()


@pytest.fixture
def hook():
    made = Hook()
    yield made
    made.free.set()
    made.shutdown()
    made.server_close()


# ---- RTMPS

def test_ffmpeg_publishes_by_rtmps_with_a_token_and_it_is_played(trusted, tmp_path):
    make_keys(tmp_path, "a")
    trusted.reload(publish_jwks=str(tmp_path / "public.json"))
    url = trusted.rtmps(f"secure?token={make_token(tmp_path, 'sec*')}")
    trusted.cluster.publish("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-re", "-f", "lavfi", "-i",
                            "testsrc2=size=320x180:rate=30", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
                            "-pix_fmt", "yuv420p", "-g", "30", "-f", "flv", url)
    entry = trusted.cluster.wait_playable("secure")
    assert {t["name"] for t in entry["tracks"]} == {"v180"}
    assert "secure=1" in trusted.cluster.log("ingest-1")


def test_librtmp_publishes_by_rtmps(trusted, tmp_path):
    trusted.reload()
    source = tmp_path / "s.flv"
    media.make_stamped(source, "30", 10, size="320x180")
    tool = os.path.join(os.path.dirname(media.STAMP), "rtmp_push")
    trusted.cluster.publish(tool, str(source), trusted.rtmps("librtmps"))
    entry = trusted.cluster.wait_playable("librtmps", tracks={"v180", "a64"})
    assert {t["name"] for t in entry["tracks"]} == {"v180", "a64"}


def peer_certificate(port, name):
    context = rtmp.unverified()
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as s:
            return s.getpeercert(binary_form=True), s.version()


def test_certificates_are_changed_under_a_publisher_that_notices_nothing(trusted, tmp_path, tags):
    """The directory is a link that is swapped, as Kubernetes does it."""
    trusted.reload()
    port = urlsplit(trusted.rtmps("x")).port
    make_certificate(trusted.certs, "second", "second.example")
    wait_until(lambda: peer_certificate(port, "second.example")[0] != peer_certificate(port, "localhost")[0], "one for each name")
    before = peer_certificate(port, "localhost")[0]
    connection = trusted.assert_published(trusted.rtmps("renewed"))
    caster = rtmp.Caster(connection, tags)
    wait_until(lambda: trusted.counted("ingestd_publishers") >= 1, "it publishes")
    make_certificate(trusted.certs, "tls", "localhost")
    wait_until(lambda: peer_certificate(port, "localhost")[0] != before, "the new certificate is shown")
    renewed = peer_certificate(port, "localhost")[0]
    with open(os.path.join(trusted.certs, "tls.crt"), "w", encoding="ascii") as f:
        f.write("nonsense")
    wait_until(lambda: trusted.counted("freshet_tls_reloads_total", result="failed") >= 1, "a broken one is noticed")
    assert peer_certificate(port, "localhost")[0] == renewed
    frames = trusted.counted("ingestd_relayed_frames_total")
    wait_until(lambda: trusted.counted("ingestd_relayed_frames_total") > frames + 30, "frames go on")
    caster.stop()
    connection.close()
    make_certificate(trusted.certs, "tls", "localhost")


def test_what_is_no_tls_is_closed_and_counted(trusted):
    parts = urlsplit(trusted.rtmps("x"))
    before = trusted.counted("ingestd_closed_total", reason="tls")
    c = rtmp.Connection(f"rtmp://127.0.0.1:{parts.port}/live/x")
    c.send(b"\3" + bytes(1536))
    assert c.wait_closed()
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="tls") == before + 1, "it is counted")


def test_who_connects_and_says_nothing_is_closed(trusted):
    before = trusted.counted("ingestd_tls_handshakes_total", result="failed")
    parts = urlsplit(trusted.rtmps("x"))
    c = rtmp.Connection(f"rtmp://127.0.0.1:{parts.port}/live/x")
    assert c.wait_closed()
    wait_until(lambda: trusted.counted("ingestd_tls_handshakes_total", result="failed") > before, "it is counted")


# ---- PROXY headers

V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H", 12 + 7) + bytes([203, 0, 113, 9, 127, 0, 0, 1]) + \
     struct.pack(">HH", 4444, 1935) + b"\x04\0\4abcd"


@pytest.mark.parametrize("scheme, header, address", [
    ("rtmp", b"PROXY TCP4 203.0.113.7 127.0.0.1 4242 1935\r\n", "203.0.113.7:4242"),
    ("rtmps", b"PROXY TCP6 2001:db8::7 ::1 4343 1936\r\n", "[2001:db8::7]:4343"),
    ("rtmp", V2, "203.0.113.9:4444"),
    ("rtmps", V2, "203.0.113.9:4444"),
])
def test_a_balancers_header_says_whose_the_broadcast_is(trusted, scheme, header, address):
    trusted.reload(proxy_from="192.0.2.0/24,127.0.0.1")
    stream = f"behind-{len(header)}-{scheme}"
    trusted.assert_published(getattr(trusted, scheme)(stream), header=header).close()
    assert f"stream={stream} address={address}" in trusted.cluster.log("ingest-1")


def test_a_balancer_has_to_send_a_header_and_nobody_else_may(trusted):
    trusted.reload(proxy_from="127.0.0.1")
    before = trusted.counted("ingestd_closed_total", reason="proxy_header")
    c = rtmp.Connection(trusted.rtmp("bare"))
    c.send(b"\3" + bytes(1536))
    assert c.wait_closed()
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="proxy_header") == before + 1, "it is counted")
    trusted.reload(proxy_from="192.0.2.1")
    before = trusted.counted("ingestd_closed_total", reason="handshake")
    c = rtmp.Connection(trusted.rtmp("liar"), header=V2)
    assert c.wait_closed()
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="handshake") == before + 1, "it is no RTMP")


def test_who_opens_connections_and_says_nothing_takes_no_others_place(trusted):
    trusted.reload(proxy_from="127.0.0.1")
    idle, other = (b"PROXY TCP4 203.0.113.%d 127.0.0.1 1 1935\r\n" % n for n in (70, 71))
    before = trusted.counted("ingestd_closed_total", reason="newcomers")
    taken = [rtmp.Connection(trusted.rtmp("idle"), header=idle) for _ in range(260)]
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="newcomers") == before + 4, "what is too much is closed")
    trusted.assert_published(trusted.rtmp("other"), header=other).close()
    for c in taken:
        c.close()
    wait_until(lambda: trusted.counted("ingestd_connections") == 0, "they are gone")
    trusted.assert_published(trusted.rtmp("idle"), header=idle).close()


HELLO = bytes((22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3))  # the beginning of a client's hello, which never goes on


def half_open(port, address):
    """A connection in the middle of its TLS handshake."""
    s = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(address, 0))
    s.sendall(HELLO)
    return s


def test_a_flood_of_half_open_handshakes_is_bounded_and_streams_go_on(trusted, tags):
    trusted.reload()
    port = urlsplit(trusted.rtmps("x")).port
    stream = rtmp.Caster(trusted.assert_published(trusted.rtmps("healthy")), tags)
    refused = trusted.counted("ingestd_closed_total", reason="handshakes")
    flood = [half_open(port, "127.0.0.9") for _ in range(100)]
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="handshakes") >= refused + 36, "one address has 64 at most")
    assert trusted.counted("ingestd_tls_handshakes_open") <= 64
    trusted.assert_published(trusted.rtmps("other")).close()  # of another address
    for n in range(1000):
        flood.append(half_open(port, f"127.0.1.{n % 200 + 1}"))
        if n % 250 == 249:
            assert trusted.counted("ingestd_tls_handshakes_open") <= 512
    wait_until(lambda: trusted.counted("ingestd_closed_total", reason="handshakes") >= refused + 36 + 64 + 1000 - 512,
               "the oldest give way, or there are too many a second")

    def gets_in():
        try:
            trusted.assert_published(trusted.rtmps("late")).close()
            return True
        except (AssertionError, OSError):
            return False
    wait_until(gets_in, "an honest one gets in, though not at once")
    wait_until(lambda: trusted.counted("ingestd_publishers") == 1, "the healthy stream is left")
    assert not [line for line in trusted.cluster.log("ingest-1").splitlines() if "stream=healthy" in line and " reason=" in line]
    stream.stop()
    for s in flood:
        s.close()
    wait_until(lambda: trusted.counted("ingestd_tls_handshakes_open") == 0, "they are gone")


# ---- keys and tokens

def test_who_shows_a_wrong_key_or_none_is_told_so(trusted):
    trusted.reload(publish_keys=[{"match": "sports-*", "key": "hush-sports"}], publish_key="hush-general")
    trusted.assert_published(trusted.rtmp("sports-1?key=hush-sports")).close()
    trusted.assert_published(trusted.rtmp("sports-1?key=hush-general")).close()
    trusted.assert_refused(trusted.rtmp("news?key=hush-sports"), "wrong publishing key")
    trusted.assert_refused(trusted.rtmp("news"), "a publishing key or token is needed")
    assert trusted.counted("ingestd_refused_total", reason="no_key") >= 1
    pusher = trusted.cluster.publish("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-re", "-f", "lavfi", "-i",
                                     "testsrc2=size=320x180:rate=30", "-c:v", "libx264", "-f", "flv",
                                     trusted.rtmps("news?key=hush-sports"))
    assert pusher.wait() != 0 and "wrong publishing key" in pusher.said()


def test_a_token_that_has_expired_or_is_for_another_stream_is_refused_in_words(trusted, tmp_path):
    make_keys(tmp_path, "a")
    trusted.reload(publish_jwks=str(tmp_path / "public.json"))
    token = make_token(tmp_path, "mine")
    trusted.assert_published(trusted.rtmp(f"mine?token={token}")).close()
    trusted.assert_refused(trusted.rtmp(f"yours?token={token}"), "the token is for another stream")
    short = run(TOKEN, "make", "publish", "mine", "--for", "1s", "--keys", str(tmp_path / "private.json")).stdout.decode().split()[-1]

    def expired():
        c, code = trusted.publish(trusted.rtmp(f"mine?token={short}"))
        c.close()
        return code == "NetStream.Publish.Denied" and b"the token has expired" in c.said
    wait_until(expired, "it expires", every=0.3)


def test_a_publisher_whose_key_goes_is_let_go_with_a_reason_and_others_stay(trusted, tags):
    trusted.reload(publish_keys=[{"key": "hush-old"}, {"key": "hush-new"}])
    gone, stays = (trusted.assert_published(trusted.rtmp(f"rotate-{k}?key=hush-{k}")) for k in ("old", "new"))
    casters = [rtmp.Caster(c, tags) for c in (gone, stays)]
    trusted.reload(publish_keys=[{"key": "hush-new"}])
    assert gone.answer() == "NetStream.Publish.Denied"
    assert b"is no longer valid" in gone.said
    assert gone.wait_closed()
    frames = trusted.counted("ingestd_relayed_frames_total")
    wait_until(lambda: trusted.counted("ingestd_relayed_frames_total") > frames + 30, "the other one goes on")
    for caster in casters:
        caster.stop()
    stays.close()


def test_a_publisher_whose_token_key_goes_from_the_file_is_let_go(trusted, tmp_path, tags):
    make_keys(tmp_path, "a")
    trusted.reload(publish_jwks=str(tmp_path / "public.json"))
    c = trusted.assert_published(trusted.rtmps(f"revoked?token={make_token(tmp_path, 'revoked')}"))
    caster = rtmp.Caster(c, tags)
    os.unlink(tmp_path / "private.json")
    make_keys(tmp_path, "b")
    assert c.answer() == "NetStream.Publish.Denied"
    assert b"is no longer valid" in c.said
    assert c.wait_closed()
    caster.stop()


def test_who_guesses_is_not_listened_to_for_a_while(trusted):
    trusted.reload(publish_key="hush-guess", proxy_from="127.0.0.1")
    header = b"PROXY TCP4 203.0.113.66 127.0.0.1 1 1935\r\n"
    for i in range(10):
        trusted.assert_refused(trusted.rtmp(f"guess?key=wrong-{i}"), "wrong publishing key", header=header)
    trusted.assert_refused(trusted.rtmp("guess?key=hush-guess"), "too many wrong keys", header=header)
    other = b"PROXY TCP4 203.0.113.67 127.0.0.1 1 1935\r\n"
    trusted.assert_published(trusted.rtmp("guess?key=hush-guess"), header=other).close()


def test_a_broken_file_keeps_no_key_from_being_taken_away(trusted, tmp_path):
    keys = tmp_path / "public.json"
    make_keys(tmp_path, "a")
    trusted.reload(publish_jwks=str(keys), publish_key="hush-broken")
    c = trusted.assert_published(trusted.rtmp("broken?key=hush-broken"))
    keys.write_text("nonsense")
    with open(os.path.join(trusted.certs, "other.crt"), "w", encoding="ascii") as f:
        f.write("nonsense")
    with open(os.path.join(trusted.certs, "other.key"), "w", encoding="ascii") as f:
        f.write("nonsense")
    trusted.reload(publish_jwks=str(keys))
    assert c.answer() == "NetStream.Publish.Denied"
    trusted.assert_refused(trusted.rtmp("broken?key=hush-broken"), "the token is damaged")
    for kind in ("crt", "key"):
        os.unlink(os.path.join(trusted.certs, f"other.{kind}"))


# ---- the webhook

def test_the_webhook_is_waited_for_while_others_go_on(trusted, hook, tags):
    trusted.reload(publish_webhook=hook.url)
    hook.free.clear()
    waiting = rtmp.Connection(trusted.rtmp("slow?key=hush-asked&user=x"))
    waiting.connect()
    waiting.command("publish", 5, None, waiting.stream, "live", message_stream=1)
    wait_until(lambda: hook.asked, "the webhook is asked")
    asked = hook.asked[0]
    assert (asked["stream"], asked["app"], asked["query"], asked["secure"]) == ("slow", "live", "user=x", False)
    assert asked["key"] == "hush-asked" and asked["address"].startswith("127.0.0.1:")
    # it does not read without end: the sockets between fill up
    waiting.socket.settimeout(2)
    with pytest.raises(OSError):
        while True:
            waiting.send(bytes(1 << 20))
    assert request(trusted.cluster.node("ingest-1")["admin"] + "/healthz").status == 200
    waiting.reset()
    asking = rtmp.Connection(trusted.rtmp("later?key=hush-asked"))
    asking.connect()
    asking.command("publish", 5, None, asking.stream, "live", message_stream=1)
    wait_until(lambda: len(hook.asked) == 2, "the webhook is asked")
    hook.free.set()
    assert asking.answer() == "NetStream.Publish.Start"
    asking.close()


def test_the_webhooks_no_is_shown_and_its_silence_lets_nobody_in(trusted, hook):
    trusted.reload(publish_webhook=hook.url)
    hook.says(403, b'{"reason": "not on Sundays"}')
    trusted.assert_refused(trusted.rtmp("sunday"), "not on Sundays")
    hook.says(500)
    trusted.assert_refused(trusted.rtmp("broken"), "cannot be found out")
    trusted.reload(publish_webhook=hook.url, publish_webhook_timeout_ms=500)
    hook.free.clear()
    trusted.assert_refused(trusted.rtmp("late"), "cannot be found out")
    hook.free.set()
    hook.shutdown()
    hook.server_close()
    trusted.assert_refused(trusted.rtmp("dead"), "cannot be found out")
    assert trusted.counted("ingestd_webhook_total", result="timed_out") >= 1
    assert trusted.counted("ingestd_webhook_total", result="failed") >= 2


def test_the_webhooks_yes_is_remembered_as_long_as_it_says(trusted, hook):
    trusted.reload(publish_webhook=hook.url)
    hook.says(200, Cache_Control="max-age=60")
    for _ in range(3):
        trusted.assert_published(trusted.rtmp("known")).close()
    assert len(hook.asked) == 1


def test_the_webhook_can_end_a_broadcast(trusted, hook, tags):
    trusted.reload(publish_webhook=hook.url, publish_webhook_recheck_s=1)
    c = trusted.assert_published(trusted.rtmp("ended-by-hook"))
    caster = rtmp.Caster(c, tags)
    hook.says(403, b'{"reason": "time is over"}')
    assert c.answer() == "NetStream.Publish.Denied"
    assert b"time is over" in c.said
    caster.stop()


# ---- starting

@pytest.mark.parametrize("arguments", [["-n"], []])
def test_a_port_for_strangers_does_not_open_without_saying_who_may_publish(trusted, arguments):
    binary = os.path.join(os.environ.get("FRESHET_BIN") or os.path.join(TOP, "bin"), "ingestd")
    said = run(binary, *arguments, "--set", "bind=0.0.0.0", check=False)
    assert said.returncode == 2
    for word in (b"0.0.0.0", b"publish_key", b"publish_keys", b"publish_jwks", b"publish_webhook", b"insecure=true"):
        assert word in said.stderr, said.stderr
    for setting in ("publish_key=hush-start", 'publish_keys=[{"key": "hush-start"}]', "publish_webhook=http://127.0.0.1/",
                    "insecure=true"):
        run(binary, "-n", "--set", "bind=0.0.0.0", "--set", setting)
    run(binary, "-n")
    for setting in ("rtmps_certs=/nonexistent", "publish_jwks=/nonexistent"):
        said = run(binary, *arguments, "--set", setting, check=False)
        assert said.returncode == 2 and setting.split("=")[0].encode() in said.stderr and b"No such file" in said.stderr


# ---- leaving, and what must never be told

def test_a_proxy_that_leaves_still_accepts_until_a_balancer_has_seen_it(tmp_path):
    made = Trusted(tmp_path, sets=["ingestd.leave_ms=4000"])
    try:
        node = made.cluster.node("ingest-1")
        os.kill(node["pid"], signal.SIGTERM)
        wait_until(lambda: request(node["admin"] + "/readyz").status == 503, "it says that it leaves")
        c = made.assert_published(made.rtmp("late"))
        assert c.wait_closed()
        wait_until(lambda: 'status=0 msg="stopped"' in made.cluster.log("ingest-1"), "it has left")
    finally:
        made.cluster.down()


def test_a_proxy_with_few_descriptors_turns_strangers_away_and_stays_well(tmp_path):
    ports = [reserve_port(), reserve_port()]
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))  # noqa: E731
    with open(tmp_path / "log", "wb") as log:
        proxy = subprocess.Popen([os.path.join(TOP, "bin", "ingestd"), "--set", f"rtmp_port={ports[0]}", "--set", f"admin_port={ports[1]}"],
                                 stderr=log, preexec_fn=few)
    strangers = []
    try:
        wait_until(lambda: socket.create_connection(("127.0.0.1", ports[0]), 5).close() is None, "its RTMP port to open")
        for _ in range(250):
            strangers.append(socket.create_connection(("127.0.0.1", ports[0]), 5))
        for _ in range(3):
            assert request(f"http://127.0.0.1:{ports[1]}/healthz", timeout=5).status == 200
        said = (tmp_path / "log").read_text()
        assert "fewer connections than configured" in said and "out of file descriptors" not in said
    finally:
        for stranger in strangers:
            stranger.close()
        proxy.terminate()
        assert proxy.wait(30) == 0


def test_no_key_token_or_query_is_in_any_log(trusted, tmp_path):
    """After all the others: they used secrets that begin with hush-, in every place, at log level debug."""
    make_keys(tmp_path, "a")
    trusted.reload(publish_jwks=str(tmp_path / "public.json"), publish_key="hush-last")
    token = make_token(tmp_path, "logged")
    for url in (f"logged?token={token}", "logged?key=hush-last&user=hush-query", "logged?key=hush-wrong", "logged?hush-bare"):
        c, _ = trusted.publish(trusted.rtmp(url))
        c.close()
    in_app = rtmp.Connection(trusted.rtmp("logged"))
    in_app.app = "live?key=hush-wrong&user=hush-query"
    in_app.tc_url += "?key=hush-wrong"
    in_app.publish()
    in_app.close()
    for name in trusted.cluster.nodes():
        log = trusted.cluster.log(name)
        assert "hush-" not in log and token not in log and token.split(".")[2] not in log
    assert "hush-" not in subprocess.run(["curl", "-s", trusted.cluster.node("ingest-1")["admin"] + "/metrics"],
                                         capture_output=True, check=True).stdout.decode()
