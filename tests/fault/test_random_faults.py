"""Twenty faults in a row, drawn from a seed that is printed: FRESHET_FAULT_SEED=n repeats them."""
import os
import random
import time

import pytest

from broadcast import Broadcast

FAULTS = 20


def kill(cluster, name, _show):
    cluster.kill(name)


def freeze(cluster, name, show):
    cluster.freeze(name)
    show.wait_seen(2)
    cluster.thaw(name)


def short_freeze(cluster, name, show):
    cluster.freeze(name)
    show.wait_sent(show.sent_s() + 0.3)
    cluster.thaw(name)


def leave(cluster, name, _show):
    cluster.stop(name)
    cluster.wait_left_well(name)


@pytest.mark.parametrize("encoders", ["one_encoder", "two_encoders"])
def test_twenty_random_faults_in_a_row_cost_no_frame(two, long_source, stream, encoders):
    seed = int(os.environ.get("FRESHET_FAULT_SEED") or time.time_ns() % 1000000)
    print(f"FRESHET_FAULT_SEED={seed}")
    draw, done = random.Random(seed), []
    stream = ("hot_" if encoders == "two_encoders" else "") + stream
    with Broadcast(two, stream, long_source, patience_s=1.0) as show:
        for _ in range(FAULTS):
            fault = draw.choice([kill, freeze, short_freeze, leave])
            name = draw.choice([n for n in sorted(two.nodes()) if not n.startswith("ingest-")])
            done.append(f"{fault.__name__} {name} at {show.now_s():.1f} s")
            print(done[-1], flush=True)
            fault(two, name, show)
            show.wait_seen(draw.choice([0.2, 1]))
            two.revive()
        show.wait_seen(1)
        show.finish()
        try:
            show.assert_nothing_lost()
        except AssertionError as error:
            raise AssertionError(f"FRESHET_FAULT_SEED={seed}; {'; '.join(done)}") from error
        two.wait_same_everywhere(show)
