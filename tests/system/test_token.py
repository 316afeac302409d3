"""deploy/token: what it makes it can explain and verify; what is not good is refused in words, with an exit status that scripts see.
That the daemons take its tokens is in test_private.py and test_publish_trust.py."""
import base64
import json
import os
import re
import stat

import pytest

from harness import TOP, run

TOKEN = os.path.join(TOP, "deploy", "token")


def token(*argv, status=0, **options):
    done = run(TOKEN, *map(str, argv), check=False, **options)
    assert done.returncode == status, done.stderr.decode()
    return (done.stdout if status == 0 else done.stderr).decode().strip()


@pytest.fixture(params=["ES256", "HS256"])
def keys(tmp_path, request):
    private, public = tmp_path / "private.json", tmp_path / "public.json"
    token("keygen", "--keys", private, "--public", public, "--alg", request.param, "--kid", "k1")
    return private, public


def rewritten(text, claims=None, **header):
    """The same token with other claims or another header, signature as it was."""
    def read(part):
        return json.loads(base64.urlsafe_b64decode(part + "=="))

    def written(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    head, body, signature = text.split(".")
    return ".".join([written({**read(head), **header}), written({**read(body), **(claims or {})}), signature])


def test_what_is_made_is_genuine_and_says_what_it_allows(keys):
    private, public = keys
    made = token("make", "view", "staff-*", "--for", "90m", "--jti", "ticket 7", "--keys", private)
    assert "\n" not in made
    token("verify", made, "--keys", public, "--use", "view", "--stream", "staff-1")
    said = token("explain", made, "--keys", public)
    assert "may watch the streams that fit staff-*" in said and "Genuine" in said and "ticket 7" in said
    assert re.search(r"\(in (89|90) minutes\)", said)
    assert "Genuine" not in token("explain", made) and "--keys" in token("explain", made)
    assert "may publish every stream" in token("explain", token("make", "publish", "*", "--keys", private))


def test_addresses_are_complete_and_are_tokens_themselves(keys):
    private, public = keys
    view = json.loads(token("make", "view", "cam", "--keys", private, "--url", "https://live.example.org:8443", "--json"))
    assert view["urls"]["a browser"] == f"https://live.example.org:8443/t/{view['token']}/watch/cam"
    for address in view["urls"].values():
        token("verify", address, "--keys", public, "--stream", "cam")
    publish = json.loads(token("make", "publish", "cam", "--keys", private, "--url", "rtmps://in.example.org", "--json"))
    assert publish["urls"]["OBS, Server"] == "rtmps://in.example.org/live"
    assert publish["urls"]["OBS, Stream Key"] == f"cam?token={publish['token']}"
    token("verify", "-", "--keys", public, "--use", "publish", input=publish["urls"]["ffmpeg"].encode())


def test_what_is_not_good_is_refused_with_status_1(keys, tmp_path):
    private, public = keys
    made = token("make", "view", "cam", "--keys", private)
    other = tmp_path / "other.json"
    token("keygen", "--keys", other, "--kid", "k1")
    refusals = {
        "signature is wrong": [rewritten(made, {"path": "*"}), "--keys", public],
        "none of the keys": [rewritten(made, alg="none"), "--keys", public],
        "which other does not fit": [made, "--keys", public, "--stream", "other"],
        "not to publish": [made, "--keys", public, "--use", "publish"],
        "valid only in": [token("make", "view", "cam", "--in", "2h", "--keys", private), "--keys", public],
        "crit": [rewritten(made, crit=["b64"]), "--keys", public],
        "no token": ["nonsense", "--keys", public]}
    for words, argv in refusals.items():
        assert words in token("verify", *argv, status=1)
    stolen = token("make", "view", "cam", "--keys", other)
    assert "none of the keys" in token("verify", stolen, "--keys", public, status=1) \
        or "signature is wrong" in token("verify", stolen, "--keys", public, status=1)


def test_keys_are_added_before_they_are_taken_away(keys):
    private, public = keys
    old = token("make", "view", "cam", "--keys", private)
    assert "--add" in token("keygen", "--keys", private, status=2)  # nothing is overwritten
    token("keygen", "--keys", private, "--public", public, "--add", "--kid", "k2")
    assert "k1" in token("keygen", "--keys", private, "--add", "--kid", "k1", status=2)
    new = token("make", "view", "cam", "--keys", private)
    assert "“k2”" in token("verify", new, "--keys", public)
    assert "“k1”" in token("verify", old, "--keys", public)
    assert "“k1”" in token("verify", token("make", "view", "cam", "--kid", "k1", "--keys", private), "--keys", public)


def test_only_the_owner_reads_what_signs_and_the_public_file_cannot_sign(keys):
    private, public = keys
    with open(public, encoding="utf-8") as f:
        key = json.load(f)["keys"][0]
    assert stat.S_IMODE(os.stat(private).st_mode) == 0o600
    assert "d" not in key
    if key["kty"] == "EC":
        assert stat.S_IMODE(os.stat(public).st_mode) == 0o644
        assert "no key that can sign" in token("make", "view", "cam", "--keys", public, status=2)
    else:
        assert stat.S_IMODE(os.stat(public).st_mode) == 0o600  # the same secret


@pytest.mark.parametrize("argv, words", [
    (["make", "view", "cam", "--for", "3x"], "such as 90m"), (["make", "view", "a b"], "fits no stream"),
    (["make", "watch", "cam"], "choose from 'publish', 'view'"), (["make", "view", "cam", "--url", "rtmp://x"], "http:// or https://"),
    (["make", "view", "cam", "--ends", "1h"], "for publishing"), (["make", "view", "cam", "--kid", "none"], "kid none")])
def test_a_mistake_is_named_with_what_is_allowed(keys, argv, words):
    assert words in token(*argv, "--keys", keys[0], status=2)


def test_a_key_file_that_is_none_is_named(tmp_path):
    path = tmp_path / "keys.json"
    assert "No such file" in token("make", "view", "cam", "--keys", path, status=2)
    for text in ("", "[]", "{}", '{"keys": 5}', '{"keys": [], "keys": []}'):
        path.write_text(text)
        assert str(path) in token("make", "view", "cam", "--keys", path, status=2)
