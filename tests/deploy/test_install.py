"""`make install`: what an operator gets, and that it is right for the programs it came with."""
import os
import re
import shutil
import subprocess
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "system"))

from harness import Cluster  # noqa: E402  (the path is set above)

DAEMONS = ["ingestd", "transcoderd", "originD", "edged"]
STOP_DEADLINE_S = 15  # DAEMON_STOP_DEADLINE_MS in common/daemon/daemon.h: what a daemon allows itself after its drain
EXPOSURE_MAX = 20     # of `systemd-analyze security`, in tenths


def run(*argv, **options):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, **options)


def make(*arguments):
    done = run("make", "--no-print-directory", *arguments, cwd=TOP)
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation that can be used where it is; units in it name /etc for the configuration."""
    where = str(tmp_path_factory.mktemp("installed") / "usr")
    make("install", f"PREFIX={where}")
    return where


def help_keys(program):
    """key -> its default, of --help."""
    return dict(re.findall(r"^([a-z]\w*)(?: [*+])* = (\S+)", run(program, "--help").stdout, re.M))


# ---- programs -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_daemon_is_hardened_against_faults_that_bytes_can_find(prefix, daemon):
    """Loaded anywhere, its tables read-only before it begins, and ended by a stack or a buffer that was written over."""
    program = os.path.join(prefix, "bin", daemon)
    header, dynamic = run("readelf", "-hlW", program).stdout, run("readelf", "-dW", program).stdout
    symbols = run("readelf", "--dyn-syms", "-W", program).stdout
    assert "DYN (Position-Independent Executable file)" in header and "GNU_RELRO" in header
    assert re.search(r"FLAGS\).*BIND_NOW", dynamic) and not re.search(r"GNU_STACK.*RWE", header)
    assert "__stack_chk_fail" in symbols and re.search(r"__(memcpy|snprintf|vsnprintf|read|recv)_chk", symbols)


# ---- files --------------------------------------------------------------------------------------------------------

def test_uninstall_removes_what_install_put_and_nothing_else(tmp_path):
    root = str(tmp_path)
    others = ["usr/share/doc/freshet/notes", "usr/bin/other", "usr/lib/systemd/system/freshet-.service.d/20-mine.conf",
              "etc/freshet/edged.json"]
    for other in others:
        os.makedirs(os.path.dirname(os.path.join(root, other)), exist_ok=True)
        open(os.path.join(root, other), "w").close()
    make("install", f"DESTDIR={root}", "PREFIX=/usr")
    assert len(files(root)) > len(others) + 30
    make("uninstall", f"DESTDIR={root}", "PREFIX=/usr")
    assert files(root) == sorted(others)
    assert not os.path.exists(os.path.join(root, "usr/share/freshet"))


def test_destdir_is_in_no_installed_file(tmp_path):
    root = str(tmp_path)
    make("install", f"DESTDIR={root}", "PREFIX=/usr")
    units = os.path.join(root, "usr/lib/systemd/system")
    for name in files(units):
        with open(os.path.join(units, name), encoding="utf-8") as f:
            text = f.read()
        assert root not in text and not re.search(r"@\w+@", text.replace("@system-service", "")), name
    with open(os.path.join(units, "freshet-edged.service"), encoding="utf-8") as f:
        assert "ExecStart=/usr/bin/edged --config /etc/freshet/edged.json\n" in f.read()


def test_installed_daemons_work_and_find_their_pages(prefix, tmp_path, monkeypatch):
    monkeypatch.setenv("FRESHET_BIN", os.path.join(prefix, "bin"))
    cluster = Cluster(tmp_path / "cluster", sets=["edged.web_root="])
    try:
        page = cluster.get("/")
        assert page.status == 200 and "<html" in page.text()
        assert "/share/freshet/web\" files=" in cluster.log("edge-1")
    finally:
        cluster.down()


@pytest.fixture(scope="module")
def etc(prefix, tmp_path_factory):
    """What /etc/freshet has on a node of a cluster, made with the installed tools as operations.md says."""
    where = str(tmp_path_factory.mktemp("etc"))
    tool = os.path.join(prefix, "bin", "freshet-")
    for argv in ([tool + "certs", "--dir", f"{where}/certs", *DAEMONS],
                 *([tool + "token", "keygen", "--keys", f"{where}/{use}-private.json", "--public", f"{where}/{use}-public.json"]
                   for use in ("publish", "view")),
                 ["install", "-D", f"{where}/certs/edged.crt", f"{where}/rtmps/live.crt"],
                 ["install", "-D", f"{where}/certs/edged.key", f"{where}/rtmps/live.key"]):
        done = run(*argv)
        assert done.returncode == 0, done.stdout
    return where


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("kind", ["", "cluster-"], ids=["one-machine", "many-machines"])
def test_example_configurations_pass_their_daemons_check(prefix, etc, tmp_path, kind, daemon):
    with open(os.path.join(prefix, "share/doc/freshet/examples", f"{kind}{daemon}.json"), encoding="utf-8") as f:
        text = f.read()
    config = tmp_path / "config.json"
    config.write_text(text.replace("/etc/freshet", etc))
    done = run(os.path.join(prefix, "bin", daemon), "--config", str(config), "-n")
    assert done.returncode == 0, done.stdout


# ---- manual pages -------------------------------------------------------------------------------------------------

def pages(prefix):
    return [os.path.join(prefix, "share/man", name) for name in files(os.path.join(prefix, "share/man"))]


def test_every_program_has_a_page(prefix):
    assert {os.path.basename(page).rsplit(".", 1)[0] for page in pages(prefix)} == set(os.listdir(os.path.join(prefix, "bin")))


def test_pages_render_without_warnings(prefix):
    for page in pages(prefix):
        done = run("groff", "-ww", "-mandoc", "-Tutf8", "-z", page)
        assert done.stdout == "" and done.returncode == 0, f"{page}\n{done.stdout}"
        lint = run("mandoc", "-T", "lint", "-W", "warning", page)
        assert lint.returncode == 0, lint.stdout


@pytest.mark.parametrize("daemon", DAEMONS)
def test_pages_have_every_key_with_its_default(prefix, daemon):
    page = os.path.join(prefix, "share/man/man8", f"{daemon}.8")
    text = run("mandoc", "-T", "ascii", "-O", "width=200", page).stdout
    text = re.sub(r".\x08", "", text)
    keys = help_keys(os.path.join(prefix, "bin", daemon))
    assert len(keys) > 10
    for key, default in keys.items():
        assert re.search(rf"^ +{key} = {re.escape(default)}", text, re.M), key


# ---- units --------------------------------------------------------------------------------------------------------

def unit_of(prefix, daemon):
    return os.path.join(prefix, "lib/systemd/system", f"freshet-{daemon}.service")


def unit_text(prefix, daemon):
    shared = os.path.join(prefix, "lib/systemd/system/freshet-.service.d/10-freshet.conf")
    text = ""
    for path in (shared, unit_of(prefix, daemon)):
        with open(path, encoding="utf-8") as f:
            text += f.read()
    return text


def verify(path):
    # --man=no: whether the page can be found depends on where man looks, not on the unit.
    return run("systemd-analyze", "verify", "--man=no", path)


def security(path):
    return run("systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE_MAX}", path)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_units_are_well_formed(prefix, daemon):
    done = verify(unit_of(prefix, daemon))
    assert done.returncode == 0 and done.stdout == "", done.stdout


@pytest.mark.parametrize("daemon", DAEMONS)
def test_units_leave_a_daemon_little(prefix, daemon):
    done = security(unit_of(prefix, daemon))
    assert done.returncode == 0, done.stdout


def test_these_checks_see_a_bad_unit(prefix, tmp_path):
    """Without what the services share, and with a word that systemd does not know."""
    alone = str(tmp_path / "freshet-edged.service")
    shutil.copy(unit_of(prefix, "edged"), alone)
    assert security(alone).returncode != 0
    with open(alone, "a", encoding="utf-8") as f:
        f.write("[Service]\nProtectEverything=yes\n")
    assert "ProtectEverything" in verify(alone).stdout


@pytest.mark.parametrize("daemon", DAEMONS)
def test_units_wait_for_longer_than_a_daemon_takes_to_leave(prefix, daemon):
    keys = help_keys(os.path.join(prefix, "bin", daemon))
    leaving_s = sum(int(keys.get(key, 0)) for key in ("leave_ms", "drain_ms", "finish_ms")) / 1000 + STOP_DEADLINE_S
    assert int(re.search(r"^TimeoutStopSec=(\d+)s$", unit_text(prefix, daemon), re.M).group(1)) > leaving_s


def test_stop_deadline_is_the_daemons():
    with open(os.path.join(TOP, "common/daemon/daemon.h"), encoding="utf-8") as f:
        assert re.search(r"DAEMON_STOP_DEADLINE_MS\s+(\d+)", f.read()).group(1) == str(STOP_DEADLINE_S * 1000)


# ---- completion ---------------------------------------------------------------------------------------------------

def completed(prefix, *words):
    """What bash offers for the last of words."""
    script = os.path.join(prefix, "share/bash-completion/completions", words[0])
    # As bash does it: "=" is a word of its own.
    parts = [part for word in words for part in (re.split("(=)", word) if "=" in word else [word])]
    ask = ('. "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
           'f=$(complete -p "$1" | sed "s/.*-F \\([^ ]*\\) .*/\\1/"); $f "$1"; printf "%s\\n" "${COMPREPLY[@]}"')
    env = {**os.environ, "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    return run("bash", "-c", ask, "bash", script, *parts, env=env).stdout.split()


@pytest.mark.parametrize("daemon", DAEMONS)
def test_bash_completes_the_keys_of_help(prefix, daemon):
    keys = help_keys(os.path.join(prefix, "bin", daemon))
    assert set(completed(prefix, daemon, "--set", "")) >= {key + "=" for key in keys}
    assert completed(prefix, daemon, "--set", "admin_po") == ["admin_port="]


def test_bash_completes_values_and_options(prefix):
    assert completed(prefix, "edged", "--set", "log_level=") == ["debug", "info", "warn", "error"]
    assert completed(prefix, "edged", "--set", "log_level=w") == ["warn"]
    assert "--config" in completed(prefix, "edged", "-")


def test_bash_completes_the_commands_of_tools(prefix):
    assert completed(prefix, "freshet", "str") == ["streams"]
    assert "--json" in completed(prefix, "freshet", "status", "--")
    assert set(completed(prefix, "freshet-token", "")) >= {"keygen", "make", "explain", "verify"}


def test_zsh_completes_the_keys_of_help(prefix, tmp_path):
    """A zsh on a terminal of its own, with Tab pressed."""
    script = tmp_path / "ask.zsh"
    script.write_text(r"""
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "PS1= PS2= RPS1=; fpath=($1/share/zsh/site-functions \$fpath); path=($1/bin \$path); autoload -Uz compinit"
        zpty -w z "compinit -u -d $2/dump; print READY"
        zpty -r -m z line '*READY*READY*'
        zpty -n -w z $'originD --set data_d\t'
        repeat 50; do
                zpty -r -t z more && seen+=$more
                [[ $seen == *data_dir=* ]] && { print completed; exit 0 }
                sleep 0.1
        done
        print -r -- $seen
    """.replace("$1", prefix).replace("$2", str(tmp_path)))
    assert run("zsh", "-f", str(script)).stdout.strip() == "completed"
