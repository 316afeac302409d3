"""Whatever call on its disk fails, or kills it: nothing that originD acknowledged is lost, nothing it could not read is removed, and the
next start on a good disk serves and goes on. tests/fault/store_faults.py repeats a single case."""
import os
import time

import pytest

from store_faults import BIN, CHANGES, HOWS, WHENS, Bench, DidNotCome, fault_of, spread, symbols

SOME_S = 40  # for the subset


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("store-faults"))


@pytest.mark.bounded
def test_every_call_by_which_originD_changes_a_disk_is_one_that_can_be_made_to_fail(bench):
    made = symbols(os.path.join(BIN, "originD"), "--undefined-only") & CHANGES
    assert made >= {"pwrite", "rename", "fsync", "link"}
    assert made <= symbols(bench.library, "--defined-only"), made


@pytest.mark.bounded
def test_a_fault_that_does_not_come_is_no_case(bench):
    with pytest.raises(DidNotCome):
        bench.case("stores", fault_of("pwrite", 100000, "EIO", False))
    assert "was not made" in bench.fails("stores", "mkdir", (100000, "kill", False))


@pytest.mark.bounded
def test_the_disk_fails_at_some_calls_and_nothing_acknowledged_is_lost(bench):
    """A few cases of each call, as many rounds as there is time for."""
    began, wrong, done = time.monotonic(), [], set()
    for n in (1, 2, 4, 8, 16):
        for when in WHENS:
            for call in HOWS:
                cases = [c for c in spread(bench.all(when, call), n) if (when, call, c) not in done]
                if time.monotonic() - began < SOME_S:
                    wrong += bench.run(when, call, cases)
                    done.update((when, call, c) for c in cases)
    assert len(done) >= 10 and not wrong, "\n".join(wrong)


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("call", HOWS)
def test_the_disk_fails_at_every_call_and_nothing_acknowledged_is_lost(bench, when, call):
    wrong = bench.run(when, call, bench.all(when, call))
    assert not wrong, f"{len(wrong)} of {len(bench.all(when, call))}:\n" + "\n".join(wrong)
