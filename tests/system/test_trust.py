"""Trust between nodes: a secure cluster broadcasts like any other, its certificates are renewed under a running stream, and
who has no credentials gets nothing on any port that nodes listen on."""
import os
import re
import resource
import socket
import ssl
import struct
import subprocess
import time
from datetime import datetime

import pytest

from harness import Cluster, TINY_LADDER, TOP, wait_until

CERTS = os.path.join(TOP, "deploy", "certs")
NNG_PORTS = [("transcoder-1", "port"), ("origin-1", "port"), ("origin-1", "fetch_port"),
             ("edge-1", "fetch_port")]
HELLO, HELLO_REPLY, CHALLENGE, REFUSED = 1, 2, 3, 99
REQUESTS = [2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25, 30, 31, 77, 99]


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("secure"), ladder=TINY_LADDER, flags=["--secure"])
    yield made
    made.down()
    assert not made.reports(), made.reports()


@pytest.fixture(scope="module")
def with_token(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("token"), ladder=TINY_LADDER,
                   sets=[f"{role}.cluster_token=of-the-test" for role in ("ingestd", "transcoderd", "originD", "edged")])
    yield made
    made.down()
    assert not made.reports(), made.reports()


def errors(cluster, node, reason):
    return cluster.metric(node, "freshet_peer_errors_total", reason=reason)


class Stranger:
    """Speaks nng's REQ by hand."""

    def __init__(self, port, wrap=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        if wrap:
            self.socket = wrap(self.socket)
        self.socket.sendall(bytes.fromhex("0053500000300000"))
        self.number = 0x80000000
        assert self.take(8) == bytes.fromhex("0053500000310000")

    def take(self, n):
        out = b""
        while len(out) < n:
            got = self.socket.recv(n - len(out))
            if not got:
                raise ConnectionError("closed")
            out += got
        return out

    def ask(self, body):
        self.number += 1
        self.socket.sendall(struct.pack(">QI", len(body) + 4, self.number) + body)
        length, number = struct.unpack(">QI", self.take(12))
        assert number == self.number
        return self.take(length - 4)

    def close(self):
        self.socket.close()


def text(s):
    return struct.pack(">H", len(s)) + s.encode()



with open(os.path.join(TOP, "proto", "message.h"), encoding="utf-8") as f:
    PROTO_VERSION = int(re.search(r"#define PROTO_VERSION (\d+)", f.read()).group(1))


def hello(proof=bytes(32), role=4, nonce=bytes(16)):
    return bytes([HELLO]) + struct.pack(">HB", PROTO_VERSION, role) + text("stranger") + struct.pack(">qIB", 1, 0, 0) + text("") + struct.pack(">qq", 0, 0) + nonce + proof


def test_a_secure_cluster_publishes_and_plays(secure):
    secure.publish_test_picture("cam", size="320x180")
    entry = secure.wait_playable("cam")
    assert secure.segment("cam", entry["session"], "v180", 0)
    for node in secure.nodes():
        assert "nng on" not in secure.log(node)  # among what is open to whoever reaches it


def test_certificates_are_renewed_under_a_stream_and_no_connection_is_lost(secure):
    """One after the other, as an operator would, while chunks go through all tiers."""
    secure.publish_test_picture("renewed", size="320x180")
    session = secure.wait_playable("renewed")["session"]
    name = "freshet_cluster_certificate_not_after_seconds"
    before = {node: secure.metric(node, name) for node in secure.nodes()}
    logs = {node: len(secure.log(node)) for node in secure.nodes()}
    nodes = [f"{n['role']}:{n['id']}" for n in secure.nodes().values()]
    said = subprocess.run([CERTS, "--dir", os.path.join(secure.dir, "trust"), "--days", "200", "--renew-days", "150", *nodes],
                          check=True, capture_output=True, text=True).stdout
    assert said.count("made (was ended or ending)") == len(nodes), said
    for node in secure.nodes():
        wait_until(lambda n=node: secure.metric(n, name) > before[n], f"{node} to read its new certificate")
    last = newest(secure, session)
    wait_until(lambda: newest(secure, session) > last + 2, "segments made after the renewal")
    for node in secure.nodes():
        later = secure.log(node)[logs[node]:]
        assert "state=dead" not in later and "no TLS" not in later, later


def test_certificates_that_could_not_be_used_are_tried_again_without_another_change(secure):
    """As those whose time has not come, by this machine's clock."""
    name = "freshet_cluster_certificate_not_after_seconds"
    pid, before, seen = secure.node("edge-1")["pid"], secure.metric("edge-1", name), len(secure.log("edge-1"))
    few = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, few[1]))
    try:
        subprocess.run([CERTS, "--dir", os.path.join(secure.dir, "trust"), "--days", "300", "--renew-days", "250", "edged:edge-1"],
                       check=True, capture_output=True)
        wait_until(lambda: "cannot be used, the ones from before are" in secure.log("edge-1")[seen:], "the failure to be told")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, few)
    wait_until(lambda: secure.metric("edge-1", name) > before, "the certificate to be read")
    assert secure.metric("edge-1", "freshet_cluster_certificate_unusable") == 0


def newest(cluster, session):
    body = cluster.get("/live/renewed/manifest.mpd").body
    began = re.search(rb'availabilityStartTime="([^"]+)"', body).group(1).decode()
    n = int(time.time() - datetime.fromisoformat(began.replace("Z", "+00:00")).timestamp()) - 2
    assert cluster.segment("renewed", session, "v180", n)
    return n


def test_a_node_that_starts_again_finds_its_peers_with_the_new_certificates(secure):
    secure.do("kill", "edge-1")
    secure.do("start", "edge-1")
    wait_until(lambda: secure.get("/live/renewed/manifest.mpd").status == 200, "the edge to have what the origin has")


@pytest.mark.parametrize("node,key", NNG_PORTS)
def test_without_tls_or_a_certificate_no_port_says_anything(secure, node, key):
    port = secure.config(node)[key]
    before = errors(secure, node, "tls")
    with pytest.raises((ConnectionError, OSError)):
        Stranger(port)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ConnectionError, OSError)):
        Stranger(port, context.wrap_socket)
    wait_until(lambda: errors(secure, node, "tls") >= before + 2, "both to be counted")
    assert "it shows no certificate" in secure.log(node)


@pytest.mark.parametrize("node,key", NNG_PORTS)
def test_without_the_token_every_message_is_refused_on_every_port(with_token, node, key):
    port = with_token.config(node)[key]
    stranger = Stranger(port)
    for kind in REQUESTS:
        assert stranger.ask(bytes([kind]) + bytes(20))[0] == REFUSED
    stranger.close()
    stranger = Stranger(port)
    assert stranger.ask(hello())[0] == CHALLENGE
    assert stranger.ask(hello())[0] == REFUSED
    for kind in REQUESTS:
        assert stranger.ask(bytes([kind]) + bytes(20))[0] == REFUSED
    stranger.close()
    assert errors(with_token, node, "token") >= 1


def test_a_cluster_with_a_token_publishes_and_plays(with_token):
    with_token.publish_test_picture("cam", size="320x180")
    entry = with_token.wait_playable("cam")
    assert with_token.segment("cam", entry["session"], "v180", 0)


# ---- before anything runs

def check(role, *settings):
    """(exit status, what it said) of a check of this configuration alone."""
    argv = [os.path.join(TOP, "bin", role), "-n"]
    for setting in settings:
        argv += ["--set", setting]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("role", ["transcoderd", "originD", "edged"])
def test_off_loopback_a_node_does_not_start_without_credentials(role, tmp_path):
    subprocess.run([CERTS, "--dir", tmp_path, role], check=True, stdout=subprocess.DEVNULL)
    files = [f"cluster_cert={tmp_path}/{role}.crt", f"cluster_key={tmp_path}/{role}.key", f"cluster_ca={tmp_path}/ca.crt"]
    assert check(role)[0] == 0
    for settings, key in (([], "cluster_cert"), (["cluster_token=x"], "cluster_cert"), (["insecure=true"], "cluster_token"),
                          (files[:2], "cluster_ca"), (files[1:], "cluster_cert")):
        status, said = check(role, "bind=0.0.0.0", *settings)
        assert status == 2 and f"{key}: not set" in said, (settings, said)
    assert check(role, "bind=0.0.0.0", "insecure=true", "cluster_token=x")[0] == 0
    assert check(role, "bind=0.0.0.0", *files)[0] == 0


@pytest.mark.parametrize("role", ["ingestd", "transcoderd", "originD", "edged"])
def test_a_node_does_not_start_with_only_some_of_its_certificates(role, tmp_path):
    """It would speak to the others without TLS, and its operator would not know."""
    subprocess.run([CERTS, "--dir", tmp_path, role], check=True, stdout=subprocess.DEVNULL)
    files = [f"cluster_cert={tmp_path}/{role}.crt", f"cluster_key={tmp_path}/{role}.key", f"cluster_ca={tmp_path}/ca.crt"]
    assert check(role, *files) == (0, "")
    for left_out in files:
        status, said = check(role, *(f for f in files if f != left_out))
        assert status == 2 and f"{left_out.split('=')[0]}: not set" in said, (left_out, said)
    status, said = check(role, *files[:2], f"cluster_ca={tmp_path}/nothing.crt")
    assert status == 2 and "cluster_ca: given" in said, said


def test_certs_makes_what_is_missing_and_keeps_the_rest(tmp_path):
    def certs(*argv):
        return subprocess.run([CERTS, "--dir", tmp_path / "trust", *argv], capture_output=True, text=True, check=False)

    def bytes_of(name):
        return (tmp_path / "trust" / name).read_bytes()

    assert certs("--ca-only").returncode == 0
    assert sorted(os.listdir(tmp_path / "trust")) == ["ca.crt", "ca.key"]
    authority = bytes_of("ca.crt")
    assert "edge-7.crt: made" in certs("edged:edge-7,edge.example,192.0.2.7").stdout
    first = bytes_of("edge-7.crt")
    said = certs("edged:edge-7", "ingestd").stdout
    assert "edge-7.crt: kept" in said and "ingestd.crt: made" in said
    assert bytes_of("edge-7.crt") == first and bytes_of("ca.crt") == authority
    for name in ("ca.key", "edge-7.key", "ingestd.key"):
        assert os.stat(tmp_path / "trust" / name).st_mode & 0o777 == 0o600
    assert "for another node" in certs("originD:edge-7").stdout
    (tmp_path / "trust" / "ingestd.key").write_bytes(bytes_of("edge-7.key"))
    assert "not for the key beside it" in certs("ingestd").stdout
    (tmp_path / "trust" / "ca.key").unlink()
    assert certs("ingestd").returncode == 0
    missing = certs("transcoderd")
    assert missing.returncode == 1 and "ca.key is not here" in missing.stderr
    for wrong in (("edge",), ("edged:a/b",), ("edged:",), ("edged:ca",), ("--days", "x", "edged"), ()):
        assert certs(*wrong).returncode == 1, wrong
