"""The check itself (tests/check): what failed beside others is tried alone, within a bound, and who reads no more than the end knows what failed."""
import importlib.machinery
import importlib.util
import os
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Programs and tests that fail when they are run first; those of the last kind always do.
ONCE = 'if [ -e "$0.ran" ]; then echo "[  PASSED  ] 2 test(s)."; exit 0; fi; touch "$0.ran"'
SAID = 'echo "[  FAILED  ] test_it_keeps_its_promise"; echo "[  PASSED  ] 1 test(s)."; echo "[  FAILED  ] 1 test(s), listed below:"; exit 1'
SUSPECT = "import os\n\ndef test_first():\n    ran, path = os.path.exists(__file__ + '.ran'), __file__ + '.ran'\n    open(path, 'w').close()\n    assert ran\n"
PAGE = """import { existsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
const ran = existsSync(import.meta.filename + '.ran')
writeFileSync(import.meta.filename + '.ran', '')
test('it plays', () => { if (!ran) throw new Error('not yet') })
test('it goes on', () => {})
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    loader = importlib.machinery.SourceFileLoader("check", os.path.join(TOP, "tests", "check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    module.LOGS = str(tmp_path / "logs")
    os.mkdir(module.LOGS)
    return module


def program(folder, name, *lines):
    path = folder / "tests" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_what_passes_alone_is_unsteady_and_what_fails_again_is_named(check, tmp_path):
    once, never = program(tmp_path, "once", ONCE, SAID), program(tmp_path, "never", SAID)
    stage = check.Stage("unit")
    stage.totals(["tests/run-units", once, never])
    assert (stage.passed, stage.failed) == (2, 2)
    assert stage.failures == [f"{name}: test_it_keeps_its_promise" for name in (once, never)]
    stage.end()
    assert check.try_again([stage], 6) == ([once], [])
    assert (stage.passed, stage.failed) == (3, 1)
    assert stage.failures == [f"{never}: test_it_keeps_its_promise"]


def test_one_of_two_that_failed_in_a_stage_may_pass_alone(check, tmp_path):
    (tmp_path / "test_twice.py").write_text(SUSPECT + "\ndef test_second():\n    assert False\n\ndef test_third():\n    pass\n")
    stage = check.Stage("system")
    stage.pytest(str(tmp_path / "test_twice.py"))
    assert (stage.passed, stage.failed) == (1, 2)
    stage.end()
    unsteady, untried = check.try_again([stage], 6)
    assert [name.rpartition("::")[2] for name in unsteady] == ["test_first"] and untried == []
    assert (stage.passed, stage.failed) == (2, 1)
    assert [name.rpartition("::")[2] for name in stage.failures] == ["test_second"]


def test_a_file_of_pages_is_tried_alone_and_its_tests_are_named(check, tmp_path):
    page = tmp_path / "page.test.mjs"
    page.write_text(PAGE.replace("import.meta.filename", repr(str(page))))
    stage, where = check.Stage("pages"), os.path.relpath(page, check.TOP)
    stage.node_test(str(page))
    assert (stage.passed, stage.failed) == (1, 1)
    assert stage.failures == [f"{where}: it plays"]
    stage.end()
    assert check.try_again([stage], 6) == ([where], [])
    assert (stage.passed, stage.failed, stage.failures) == (2, 0, [])


def test_where_more_failed_than_may_be_unsteady_none_is_tried_and_that_is_told(check, tmp_path):
    programs = [program(tmp_path, f"once{n}", ONCE, SAID) for n in range(3)]
    stage = check.Stage("unit")
    stage.totals(["tests/run-units", *programs])
    stage.end()
    assert check.try_again([stage], 2) == ([], programs)
    assert stage.failed == 3
    assert check.try_again([stage], 3) == (programs, [])


@pytest.mark.parametrize("report", ["WARNING: ThreadSanitizer: data race", "x.c:5:3: runtime error: signed integer overflow"])
def test_what_a_sanitizer_reported_is_never_tried_again(check, tmp_path, report):
    once = program(tmp_path, "once", ONCE, f"echo '{report}'", SAID)
    stage = check.Stage("threads")
    stage.totals(["tests/run-units", once])
    stage.end()
    assert check.try_again([stage], 6) == ([], [])
    assert (stage.failed, stage.failures) == (1, [f"{once}: test_it_keeps_its_promise"])


def test_a_stage_that_cannot_even_run_is_named(check):
    stage = check.Stage("fuzz")
    stage.totals(["sh", "-c", "exit 3"])
    assert stage.make("no-such-target") is False
    assert (stage.failed, stage.failures) == (2, ["sh -c exit 3", "make no-such-target"])
    stage.end()


@pytest.mark.parametrize("ran, most", [(6001, 7), (5994, 6), (117, 1)])
def test_one_in_a_thousand_of_what_ran_may_be_unsteady_and_the_end_names_all_that_failed(check, tmp_path, monkeypatch, capsys, ran, most):
    programs = [program(tmp_path, f"once{n}", ONCE, SAID) for n in range(most + 1)]

    def steady(stage, _args):
        stage.count(0, ran - 2 * len(programs) - 1, 0, "")

    def suspects(stage, _args):
        stage.totals(["tests/run-units", *programs])
        stage.count(1, 0, 1, "what never passes")

    monkeypatch.setattr(sys, "argv", ["check"])
    check.STAGES = {"steady": steady, "suspects": suspects}
    monkeypatch.setattr(check.Stage, "quiet", staticmethod(lambda line: True))
    assert check.main() == 1
    said = capsys.readouterr().out
    told = said[said.index("\nslowest:"):]
    assert f"not tried alone, as more failed than may be unsteady ({most}):\n  {programs[0]}\n" in told
    assert all(f"\n  suspects   {p}: test_it_keeps_its_promise\n" in told for p in programs)
    assert "\n  suspects   what never passes\n" in told

    programs.pop()
    for one in programs:
        os.remove(one + ".ran")
    assert check.main() == 1
    told = capsys.readouterr().out.partition("\nslowest:")[2]
    assert "\nunsteady: failed beside others, passed alone:\n  " + "\n  ".join(programs) + "\n" in told
    assert "\nfailed:\n  suspects   what never passes\n\n" in told and "not tried alone" not in told
