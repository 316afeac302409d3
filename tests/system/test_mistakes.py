"""What an operator does wrong at a start is named in the words in which the cause is looked for: a port that another process has is
no fault of the disk's, nor is a folder that is not there."""
import os
import re
import socket
import subprocess

import pytest

from harness import TOP

BIN = os.environ.get("FRESHET_BIN") or os.path.join(TOP, "bin")
ALL_PORTS = {"ingestd": ["rtmp_port", "rtmps_port", "admin_port"], "transcoderd": ["port", "admin_port"],
             "originD": ["port", "fetch_port", "http_port", "admin_port"], "edged": ["http_port", "https_port", "fetch_port", "admin_port"]}
PORTS = [(role, key) for role, keys in ALL_PORTS.items() for key in keys
         if key not in ("rtmps_port", "https_port")]  # which want certificates


def bound():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    return s


def last_line(role, **settings):
    """Of a daemon that is to end by itself, with status 1."""
    arguments = [a for key, value in settings.items() for a in ("--set", f"{key}={value}")]
    done = subprocess.run([os.path.join(BIN, role), *arguments], capture_output=True, timeout=120)
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert all(re.match(r"ts=\S+Z level=\S+ node=\S+ \S", line) for line in said.splitlines()), said
    return said.splitlines()[-1]


def test_every_key_is_known_to_all_daemons():
    """They may share one environment: what is a key of one of them is no mistake to another."""
    with open(os.path.join(TOP, "common", "daemon", "config_names.c"), encoding="utf-8") as f:
        known = re.findall(r'"([a-z0-9_]+)"', f.read())
    keys = set()
    for role in ALL_PORTS:
        said = subprocess.run([os.path.join(BIN, role), "--help"], capture_output=True, text=True, check=True).stdout
        for key, secret in re.findall(r"^([a-z0-9_]+)(?: \*)?( \+)? = ", said, re.M):
            keys |= {key, key + "_file"} if secret else {key}
    assert known == sorted(keys)


@pytest.mark.parametrize("role, key", PORTS)
def test_a_port_that_another_process_has_is_named_as_that(role, key, tmp_path):
    sockets = {name: bound() for name in ALL_PORTS[role]}
    settings = {name: s.getsockname()[1] for name, s in sockets.items()}
    if role == "originD":
        settings["data_dir"] = tmp_path
    sockets[key].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # which shares it with whoever does so too, as a second edged's would
    sockets[key].listen()
    said = last_line(role, **settings)
    assert str(settings[key]) in said and "address already in use" in said.lower(), said


@pytest.mark.parametrize("role", ["transcoderd", "originD"])
def test_an_address_of_another_machine_is_named_as_that(role, tmp_path):
    settings = {"data_dir": tmp_path} if role == "originD" else {}
    for name in ALL_PORTS[role]:
        with bound() as s:
            settings[name] = s.getsockname()[1]
    said = last_line(role, bind="192.0.2.1", insecure="true", cluster_token="of-the-test", **settings)
    assert "no address of this machine" in said, said


@pytest.mark.parametrize("what, words", [("no parent", "No such file or directory"), ("a file", "Not a directory"),
                                         ("a link to nothing", "No such file or directory")])
def test_a_data_dir_that_cannot_be_used_is_told_with_the_systems_reason(tmp_path, what, words):
    path = {"no parent": tmp_path / "not" / "there", "a file": tmp_path / "file", "a link to nothing": tmp_path / "link"}[what]
    if what == "a file":
        path.write_bytes(b"")
    if what == "a link to nothing":
        path.symlink_to(tmp_path / "nothing")
    with bound() as s:
        said = last_line("originD", data_dir=path, admin_port=s.getsockname()[1])
    assert str(path) in said and words in said, said


def test_a_data_dir_of_another_user_is_told_with_the_systems_reason(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    with bound() as s:
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", os.path.join(BIN, "originD"),
                               "--set", f"data_dir={path}", "--set", f"admin_port={s.getsockname()[1]}"],
                              capture_output=True, timeout=120)
    said = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1 and str(path) in said and "Permission denied" in said, said
