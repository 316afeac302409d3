"""deploy/.env.example says that everything in it is the default: of the Compose file and of the stack."""
import os
import re

import pytest

DEPLOY = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "deploy")
UNSAID = {"REVISION", "ORIGINS_PER_NODE"}  # the build's and the tests' own


def text(name):
    with open(os.path.join(DEPLOY, name), encoding="utf-8") as f:
        return f.read()


def choices(name):
    """(variable, default) as a file uses them"""
    return re.findall(r"\$\{([A-Z_]+):-((?:\[\])?[^}]*)\}", text(name))


@pytest.mark.parametrize("name", ["docker-compose.yml", "stack.yml"])
def test_env_example_says_the_defaults(name):
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", text(".env.example"), re.M))
    used = choices(name)
    assert len(used) > 15
    for variable, default in used:
        if variable not in UNSAID:
            assert example.get(variable) == default, f"{name}: {variable} is {default} when it is not set, .env.example says otherwise"


def bytes_of(size):
    number, unit = re.fullmatch(r"(\d+)([kmg]?)", size).groups()
    return int(number) << {"": 0, "k": 10, "m": 20, "g": 30}[unit]


@pytest.mark.parametrize("key, budget, memory", [("FRESHET_CACHE_BYTES", "EDGE_CACHE_BYTES", "EDGE_MEMORY"),
                                                 ("FRESHET_REPLAY_TOTAL_BYTES", "INGEST_REPLAY_BYTES", "INGEST_MEMORY")])
@pytest.mark.parametrize("name", ["docker-compose.yml", "stack.yml"])
def test_what_a_daemon_may_keep_fits_into_its_container(name, key, budget, memory):
    """Or the kernel ends it before its own bound does anything."""
    defaults = dict(choices(name))
    assert re.search(rf"^ +{key}: \$\{{{budget}:-", text(name), re.M)
    assert bytes_of(defaults[budget]) * 1.25 <= bytes_of(defaults[memory])


@pytest.mark.parametrize("name", ["docker-compose.yml", "stack.yml"])
def test_the_keys_of_the_archive_come_as_a_file(name):
    assert re.findall(r"^ +(FRESHET_ARCHIVE[A-Z_]*): (.*)$", text(name), re.M) == [
        ("FRESHET_ARCHIVE_FILE", "/run/freshet/archive.json"),
        *((f"FRESHET_{key}", "${%s:-%s}" % (key, default))
          for key, default in (("ARCHIVE_AFTER_S", 600), ("ARCHIVE_KEEP_S", 3600), ("ARCHIVE_BYTES_S", 20000000)))]


def test_up_without_a_word_keeps_how_many_there_are():
    """A count that was only given with --scale is one again after the next `up`."""
    for tier in ("ingest", "transcoder", "edge"):
        assert re.search(rf"^  {tier}:\n    <<: \*service\n    scale: \$\{{{tier.upper()}S:-", text("docker-compose.yml"), re.M), tier
