"""The benches of the edge run, in their smallest form, and what they count is counted: nothing else would notice that one of them no longer
does. How fast anything was is not looked at."""
import os
import re
import subprocess

import pytest

from harness import TOP

PYTHON = "/usr/bin/python3"
SMALLEST = {"herd": ["--viewers", "40", "--rounds", "1"], "follow": ["--connections", "20"],
            "audience": ["--players", "40", "--seconds", "3", "--arrive-ms", "500"], "siblings": ["--segments", "4", "--viewers", "5"],
            "tls": ["--rounds", "1", "--seconds", "1"]}


@pytest.fixture(scope="module")
def said():
    """What each printed, all at once."""
    runs = {name: subprocess.Popen([PYTHON, os.path.join(TOP, "tests/bench", name + ".py"), *options], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True) for name, options in SMALLEST.items()}
    return {name: (run.communicate()[0], run.returncode) for name, run in runs.items()}


@pytest.mark.parametrize("name", SMALLEST)
def test_a_bench_runs_to_its_end(said, name):
    text, status = said[name]
    assert status == 0, text


@pytest.mark.parametrize("name, counted", [("herd", "40 viewers, whole: FETCHes of an object"), ("audience", "FETCHes of a segment"),
                                           ("siblings", "siblings, whole: viewers not answered")])
def test_what_a_bench_counts_is_as_it_is_to_be(said, name, counted):
    """These are counts, which no machine is too slow for."""
    text, _ = said[name]
    assert re.search(rf"^aim +{counted}: .*: kept$", text, re.M), text
