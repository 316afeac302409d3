"""A transcoder that can begin no more threads (the limit of processes): its fault is not the stream's. It gives sessions away that
another one can encode, and ends none."""
import pytest

import preload
from broadcast import Broadcast
from faults import FaultCluster
from harness import wait_until


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """The cluster; .threads("transcoder-1") leaves that one without any new ones, .threads("") gives them back."""
    directory = tmp_path_factory.mktemp("short")
    control = directory / "control"
    control.write_text("\n")
    with preload.preloaded(preload.build("no_threads", directory), NO_THREADS=control), \
            FaultCluster(directory / "cluster", sets=["transcoderd.shed_after_ms=600000", "transcoderd.slate_after_ms=10000"]) as cluster:
        cluster.threads = lambda word: control.write_text(f"{word}\n")
        yield cluster
        cluster.threads("")


def gave_away(cluster, node):
    return cluster.log(node).count('result="no room for its encoders"')


def test_a_broadcast_begins_at_another_transcoder_than_the_one_without_threads(short, source, stream):
    short.revive()
    for victim in short.names("transcoder"):
        short.threads(victim)
        with Broadcast(short, f"{stream}_{victim[-1]}", source) as show:
            assert show.transcoder() != victim
            show.finish().assert_nothing_lost()
    short.threads("")
    assert sum(gave_away(short, node) for node in short.names("transcoder")) == 1  # the first of the walk


def test_a_broadcast_whose_transcoder_dies_is_not_ended_by_one_without_threads(short, source, stream):
    short.revive()
    with Broadcast(short, stream, source) as show:
        victim = show.transcoder()
        other = next(n for n in short.names("transcoder") if n != victim)
        before = gave_away(short, other)
        short.threads(other)
        short.kill(victim)
        wait_until(lambda: gave_away(short, other) > before, f"{other} was asked")
        short.threads("")
        show.wait_seen(2)
        assert show.transcoder() == other
        show.finish().assert_nothing_lost()
        short.wait_same_everywhere(show)
