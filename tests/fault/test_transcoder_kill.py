"""kill -9 of the transcoder that has the stream: the next one of the ring goes on with the very next frame."""
import json
import os

import pytest

from broadcast import Broadcast
from faults import SHORT
from harness import request


def restart_with(cluster, name, **changes):
    config = {**cluster.config(name), **changes}
    with open(os.path.join(cluster.dir, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    if cluster.runs(name):
        cluster.kill(name)
    cluster.restart(name)


def chunk_ms(cluster, name, stream):
    told = request(cluster.node(name)["admin"] + "/api/sessions").json()["sessions"]
    return next((s["chunk_ms"] for s in told if s["stream"] == stream), None)


@pytest.mark.bounded
@pytest.mark.parametrize("grid_ms", [200, 100])
def test_a_killed_transcoder_costs_no_frame(two, source, stream, grid_ms):
    name = stream if grid_ms == 200 else SHORT + stream
    with Broadcast(two, name, source) as show:
        victim = show.transcoder()
        assert chunk_ms(two, victim, name) == grid_ms
        two.kill(victim)
        show.wait_seen(2)
        assert show.transcoder() != victim
        assert chunk_ms(two, show.transcoder(), name) == grid_ms
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_who_goes_on_keeps_the_length_of_chunks_whatever_its_own_would_be(two, source, stream):
    first, other = two.names("transcoder")
    try:
        for name in (first, other):
            restart_with(two, name, chunk_ms=100)
        two.wait_whole()
        with Broadcast(two, stream, source) as show:
            if show.transcoder() != first:
                first, other = other, first
            assert chunk_ms(two, first, stream) == 100
            restart_with(two, other, chunk_ms=200)
            two.wait_whole()
            two.kill(first)
            show.wait_seen(2)
            assert show.transcoder() == other and chunk_ms(two, other, stream) == 100
            assert 'availabilityTimeOffset="0.9"' in two.get(f"/live/{stream}/manifest.mpd").text()
            show.finish().assert_nothing_lost()
            two.wait_same_everywhere(show)
    finally:
        for name in (first, other):
            restart_with(two, name, chunk_ms=200)


def test_a_transcoder_that_comes_back_is_good_for_the_next_death(two, source, stream):
    with Broadcast(two, stream, source) as show:
        first = show.transcoder()
        two.kill(first)
        show.wait_seen(1)
        two.restart(first)
        two.wait_whole()
        second = show.transcoder()
        assert second != first
        two.kill(second)
        show.wait_seen(1)
        assert show.transcoder() == first
        show.finish().assert_nothing_lost()
