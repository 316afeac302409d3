"""deploy/setup, which makes what a cluster in containers trusts: run here, in a folder, with the commands beside it as the image has
them."""
import json
import os
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = {"freshet-certs": "certs", "freshet-token": "token"}
TIERS = ("authority", "ingest", "transcoder", "origin", "edge", "balancer", "prometheus", "operator")  # volumes
NAME = "stream.example.org"


def openssl(*argv):
    return subprocess.run(["openssl", *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False)


class Trust:
    def __init__(self, folder):
        self.folder, commands = os.path.join(folder, "trust"), os.path.join(folder, "bin")
        os.makedirs(commands)
        for tier in TIERS:
            os.makedirs(os.path.join(self.folder, tier))
        for name, program in COMMANDS.items():
            os.symlink(os.path.join(TOP, "deploy", program), os.path.join(commands, name))
        self.env = {**os.environ, "TRUST_DIR": self.folder, "HOSTNAMES": f"{NAME},192.0.2.7", "PATH": f"{commands}:{os.environ['PATH']}"}
        self.said = self.setup()

    def setup(self, *argv, given=None):
        done = subprocess.run([os.path.join(TOP, "deploy", "setup"), *argv], env=self.env, input=given, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), encoding="ascii") as f:
            return f.read()

    def all(self):
        return {os.path.relpath(os.path.join(where, name), self.folder): self.read(os.path.join(where, name))
                for where, _, names in os.walk(self.folder) for name in names}


@pytest.fixture(scope="module")
def trust(tmp_path_factory):
    return Trust(str(tmp_path_factory.mktemp("setup")))


def test_the_certificate_for_trying_out_is_good_for_its_names_when_it_is_trusted(trust):
    own = trust.path("operator/tls.crt")
    for asked in (["-verify_hostname", NAME], ["-verify_ip", "192.0.2.7"]):
        assert openssl("verify", "-CAfile", own, "-purpose", "sslserver", *asked, own).returncode == 0
    assert openssl("verify", "-CAfile", own, "-verify_hostname", "another.example.org", own).returncode != 0
    assert trust.read("ingest/tls/tls.crt") == trust.read("operator/tls.crt")
    assert trust.read("balancer/tls/tls.pem") == trust.read("ingest/tls/tls.crt") + trust.read("ingest/tls/tls.key")


def test_who_trusts_it_trusts_nothing_that_its_key_signs(trust, tmp_path):
    """README tells people to have their machines trust it, and the key is in the ingests' and the balancer's hands."""
    key, request, forged = (str(tmp_path / name) for name in ("key", "request", "forged"))
    assert openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
                   "-subj", "/CN=bank.example.org").returncode == 0
    assert openssl("x509", "-req", "-in", request, "-CA", trust.path("ingest/tls/tls.crt"), "-CAkey", trust.path("ingest/tls/tls.key"),
                   "-CAcreateserial", "-CAserial", str(tmp_path / "serial"), "-out", forged).returncode == 0
    said = openssl("verify", "-CAfile", trust.path("operator/tls.crt"), forged)
    assert said.returncode != 0 and "invalid CA certificate" in said.stdout, said.stdout


def test_a_second_run_changes_nothing(trust):
    before = trust.all()
    trust.setup()
    assert trust.all() == before


def test_the_archive_is_none_until_it_is_given_and_only_origins_see_it(trust):
    assert json.loads(trust.read("origin/archive.json")) == {}
    given = '{"endpoint": "https://s3.example.org", "bucket": "media", "region": "eu-1", "access_key": "a", "secret_key": "hush"}\n'
    trust.setup("--archive", given=given)
    for wrong in ("", "[]", "not JSON"):
        done = subprocess.run([os.path.join(TOP, "deploy", "setup"), "--archive"], env=trust.env, input=wrong, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
        assert done.returncode == 1 and "no JSON object" in done.stdout, done.stdout
    trust.setup()
    assert trust.read("origin/archive.json") == given
    assert os.stat(trust.path("origin/archive.json")).st_mode & 0o007 == 0
    assert [name for name, content in trust.all().items() if "hush" in content] == ["origin/archive.json"]
    origin = subprocess.run([os.path.join(TOP, "bin", "originD"), "-n", "--set", f"archive_file={trust.path('origin/archive.json')}"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert origin.returncode == 0, origin.stdout


def test_what_signs_stays_where_tokens_and_certificates_are_made(trust):
    for name, content in trust.all().items():
        tier = name.split("/")[0]
        if tier not in ("authority", "operator"):
            assert "keys" not in name and trust.read("authority/ca.key") not in content, name
            assert '"d"' not in content, f"{name} holds a private half"


def test_a_real_certificate_is_taken_and_kept(trust, tmp_path):
    chain, key = str(tmp_path / "chain"), str(tmp_path / "key")
    assert openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", chain,
                   "-subj", "/CN=real.example.org").returncode == 0
    with open(chain, encoding="ascii") as c, open(key, encoding="ascii") as k:
        given = c.read() + k.read()
    assert "real.example.org" in trust.setup("--tls", given=given)
    trust.setup()
    assert trust.read("balancer/tls/tls.pem") == given
