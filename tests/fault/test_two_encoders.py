"""Streams that two transcoders encode at the same time (`redundancy`): one leads, the other is its shadow. Whichever fails, the
other's chunks are there already: nothing is replayed, and nobody waits for a deadline."""
import pytest

from broadcast import Broadcast
from harness import wait_until

LOCKSTEP_S = 4  # so often encoders begin anew
FREEZE_DEADLINE_S = 1.5  # of MEDIA: what a viewer waits for when there is no shadow


def by_role(cluster):
    """(leader, shadow); waits until there are both."""
    def look():
        running = [n for n in cluster.names("transcoder") if cluster.runs(n)]
        roles = {n: (cluster.metric(n, "transcoderd_sessions"), cluster.metric(n, "transcoderd_shadows")) for n in running}
        leaders = [n for n, role in roles.items() if role == (1, 0)]
        shadows = [n for n, role in roles.items() if role == (1, 1)]
        assert len(leaders) == len(shadows) == 1, roles
        return leaders[0], shadows[0]
    return wait_until(look, "a transcoder leads and another is its shadow")


def in_lockstep(show):
    """Both, after both have begun anew at the same place."""
    roles = by_role(show.cluster)
    show.wait_seen(LOCKSTEP_S + 1)
    return roles


def proxies(cluster, metric):
    return sum(cluster.metric(n, metric) for n in cluster.names("ingest"))


@pytest.mark.bounded
def test_hot_the_leader_killed(two, source, stream):
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        replayed, swaps = proxies(two, "ingestd_replayed_frames_total"), proxies(two, "ingestd_swaps_total")
        at = two.kill(leader)
        wait_until(lambda: two.metric(shadow, "transcoderd_shadows") == 0, "the shadow leads")
        show.wait_seen(2)
        assert proxies(two, "ingestd_swaps_total") == swaps + 1
        assert proxies(two, "ingestd_replayed_frames_total") == replayed
        print(f"longest wait {show.longest_wait(at) * 1000:.0f} ms")
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_the_shadow_killed(two, source, stream):
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        two.kill(shadow)
        show.wait_seen(1)
        two.restart(shadow)
        assert in_lockstep(show) == (leader, shadow)
        two.kill(leader)
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_the_leader_frozen(two, source, stream):
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        at = two.freeze(leader)
        show.wait_seen(3)
        assert show.longest_wait(at) < FREEZE_DEADLINE_S + show.late_s(at)
        two.thaw(leader)
        assert in_lockstep(show) == (shadow, leader)  # it is fenced, and good for the other part
        two.kill(shadow)
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_the_leader_leaves(two, source, stream):
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        two.stop(leader)
        two.wait_left_well(leader)
        two.restart(leader)
        assert in_lockstep(show) == (shadow, leader)
        two.stop(leader)  # now as the shadow
        two.wait_left_well(leader)
        show.wait_seen(1)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_a_leader_killed_before_the_two_are_in_lockstep(two, source, stream):
    """The shadow's chunks do not fit: it is fenced, and the stream goes the ordinary way."""
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        two.kill(shadow)
        two.restart(shadow)
        by_role(two)
        two.kill(leader)
        show.wait_seen(2)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_both_killed(two, source, stream):
    with Broadcast(two, stream, source) as show:
        leader, shadow = in_lockstep(show)
        two.kill_all(leader, shadow)
        two.restart(leader)
        show.wait_seen(1)
        two.restart(shadow)
        in_lockstep(show)
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_an_origin_killed(two, source, stream):
    with Broadcast(two, stream, source) as show:
        in_lockstep(show)
        two.kill("origin-1")
        show.wait_seen(2)
        two.restart("origin-1")
        two.wait_whole()
        in_lockstep(show)
        two.kill("origin-2")
        show.wait_seen(2)
        two.restart("origin-2")
        two.wait_whole()
        show.finish().assert_nothing_lost()
        two.wait_same_everywhere(show)


def test_hot_the_broadcaster_drops_and_comes_back(two, source, stream):
    with Broadcast(two, stream, source) as show:
        in_lockstep(show)
        at = show.cut()
        show.wait_back()
        in_lockstep(show)
        show.finish().assert_only_the_gap(at)
        two.wait_same_everywhere(show)
