"""Tiers that are far apart: 300 ms there and back, 50 Mbit/s, and one packet of a hundred lost. A broadcast is as late at its end as at
its beginning, and nothing of it is missing. What is farther is said."""
import json
import os
import statistics
import subprocess
import time

import pytest

import network
from abuse import BUSY_SHARE, Others, Said, metric
from broadcast import Broadcast, make_source
from harness import LATE_IS_FINE, TINY_LADDER, TOP, request, wait_until

RTT_MS, MBIT = 300, 50
# Between whom, and how many round trips a chunk may be later for it, as a rule: one way, what waits for an answer, and a little more.
WAYS = {"ingest and transcoder": ([("ingest-1", "transcoder-1")], 0.85),
        "transcoder and origins": ([("transcoder-1", "origin-1"), ("transcoder-1", "origin-2")], 0.75),
        "transcoder and one of two origins": ([("transcoder-1", "origin-2")], 0.75),
        "origin and origin": ([("origin-1", "origin-2")], 0.25),
        "origins and edge": ([("edge-1", "origin-1"), ("edge-1", "origin-2")], 1.75),
        "edge and edge": ([("edge-2", "edge-1")], 1.75)}
NEAR_S = 0.35        # what a broadcast is late without any distance, at most
STEADY_S = 0.2       # so much later the last third may be than the first
THIRD_S = 5          # of thirds that are as long as that: in a shorter one a single lost packet is half of what is seen
RECOVERY_RTTS = 4    # what a lost packet, and the one that is sent for it, may cost one hop


class Chain(network.NetworkCluster):
    """The second edge asks the first one."""

    def _config(self, name, role, names):
        config = super()._config(name, role, names)
        if name == "edge-2":
            config.update(origins=f"{self._address('edge-1')}:9402", upstream_role="edged")
        return config

    def _wire(self, names):
        """As where the machine has nothing that bears loss; reno is always allowed."""
        super()._wire(names)
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno"], check=True)

    def _connections(self, one, other):
        """{(its end, the other's): what the kernel tells} of those that one has with the other."""
        said = subprocess.run(["ip", "netns", "exec", f"freshet-{os.getpid()}-{one}", "ss", "-tinHO", "state", "established",
                               "dst", self._address(other)], capture_output=True, text=True, check=True).stdout
        lines = [line.split() for line in said.splitlines()]
        return {(words[2], words[3]): set(words) for words in lines}

    def dialed(self, one, other):
        """Those that one of the two opened to a port of the other, as it sees them."""
        ports = {str(value) for name in (one, other) for key, value in self.config(name).items() if key in ("port", "fetch_port")}
        ends = [*self._connections(one, other), *self._connections(other, one)]
        return {(mine, there) for mine, there in ends if there.rpartition(":")[2] in ports}

    def congestion_controls(self, one, other):
        return {name for words in self._connections(one, other).values() for name in words & {"bbr", "reno"}}

    def wait_ready(self):
        """Each is ready, and sees all nodes of the tier that it asks."""
        def ready():
            for name in self.nodes():
                assert request(self.node(name)["admin"] + "/readyz", timeout=5).status == 200, name
                above = {"ingest-1": "transcoderd", "edge-2": "edged"}.get(name, "originD")
                count = 1 if name in ("ingest-1", "edge-2") else 2
                assert self.metric(name, "freshet_peers", role=above, state="live") == count, name
            return True
        wait_until(ready, "every node is ready and sees the others")


@pytest.fixture(scope="module")
def _net(tmp_path_factory):
    network.require()
    with Chain(tmp_path_factory.mktemp("far"), ladder=TINY_LADDER, sets=LATE_IS_FINE, ingests=1, transcoders=1, origins=2,
               edges=2) as made:
        yield made


@pytest.fixture
def net(_net):
    _net.switch.heal_all()
    _net.wait_ready()
    return _net


@pytest.fixture(scope="module")
def stamped(tmp_path_factory, load):
    return make_source(tmp_path_factory.mktemp("stamped"), load(60, 120))


def far_apart(net, ways, percent, rtt_ms=RTT_MS):
    """From now on, and as if they had always been: a connection that was near goes by that for minutes."""
    pairs = [pair for way in ways for pair in WAYS[way][0]]
    near = {pair: net.dialed(*pair) for pair in pairs}
    for pair in pairs:
        net.switch.cut(*pair)
    for pair in pairs:
        wait_until(lambda pair=pair: not near[pair] & net.dialed(*pair), f"connections of {pair} are closed")
    for one, other in pairs:
        net.switch.path(one, other, rtt_ms=rtt_ms, percent=percent, mbit=MBIT)
    net.wait_ready()


def lateness(show, since, until):
    """(seconds, when) of each chunk of a picture that came then: how long after its last frame was sent."""
    return [(c.at - show.broadcaster.began - c.ends, c.at) for v in show.video() for c in v.chunks if since <= c.at <= until]


def watch(net, source, stream, edge, seconds):
    """A broadcast over the network as it is: its lateness for so long, and that nothing is missing."""
    others = Others(net)
    with Broadcast(net, stream, source, edges=[edge], patience_s=6.0) as show:
        show.wait_seen(1)
        began = time.monotonic()
        show.wait_seen(seconds, seconds=4 * seconds)
        ended = time.monotonic()
        lag_s = show.late_s(began)
        net.switch.heal_all()
        show.finish().assert_nothing_lost()
    return lateness(show, began, ended), lag_s, others.share()


def judge(table, trial, ways, late, lag_s, others):
    """A machine that gives much of itself to others is late by itself: then it is told and not judged."""
    first, last = late[0][1], max(at for _, at in late)
    thirds = [[s for s, at in late if first + n * (last - first) / 3 <= at <= first + (n + 1) * (last - first) / 3] for n in (0, 2)]
    begins, ends = (statistics.median(third) for third in thirds)
    usual, worst = statistics.median(s for s, _ in late), max(s for s, _ in late)
    may = NEAR_S + sum(WAYS[way][1] for way in ways) * RTT_MS / 1000 + lag_s
    may_worst = may + RECOVERY_RTTS * RTT_MS / 1000 * len(ways)
    table.row(f"{trial}: as a rule, at worst, and from the first third to the last",
              f"{1000 * may:.0f}, {1000 * may_worst:.0f}, +{1000 * (STEADY_S + lag_s):.0f} ms",
              f"{1000 * usual:.0f}, {1000 * worst:.0f}, {1000 * (ends - begins):+.0f} ms")
    if others > BUSY_SHARE:
        return
    assert ends - begins <= STEADY_S + lag_s or last - first < 3 * THIRD_S, "it falls behind"
    assert usual <= may and worst <= may_worst, (usual, worst)


def test_all_tiers_are_far_apart_and_packets_are_lost(net, table, stamped):
    ways = ["ingest and transcoder", "transcoder and origins", "origins and edge", "origin and origin"]
    far_apart(net, ways, percent=1)
    seen = watch(net, stamped, "everywhere", "edge-1", 8)
    judge(table, "300 ms and 1 % loss between all tiers", ways, *seen)


@pytest.mark.long
@pytest.mark.parametrize("percent", [0, 1])
@pytest.mark.parametrize("way", WAYS)
def test_two_tiers_are_far_apart(net, table, stamped, way, percent):
    far_apart(net, [way], percent)
    stream = f"{way.replace(' ', '-')}-{percent}"
    seen = watch(net, stamped, stream, "edge-2" if way == "edge and edge" else "edge-1", 30)
    judge(table, f"300 ms and {percent} % loss between {way}", [way], *seen)


@pytest.mark.long
def test_a_far_origin_that_was_away_is_in_step_again(net, table, stamped):
    far_apart(net, ["transcoder and one of two origins", "origin and origin"], percent=1)
    with Broadcast(net, "back", stamped, edges=["edge-1"]) as show:
        net.kill("origin-2")
        wait_until(lambda: metric(net, "transcoder-1", "transcoderd_owners", state="in_step") == 1, "one origin is in step")
        show.wait_seen(2)
        back = time.monotonic()
        net.restart("origin-2")
        wait_until(lambda: metric(net, "transcoder-1", "transcoderd_owners", state="in_step") == 2, "both origins are in step")
        took = time.monotonic() - back
        net.switch.heal_all()
        show.finish().assert_nothing_lost()
    table.row("an origin 300 ms away, 1 % loss, is killed: in step again after its start", "it is", f"{took:.1f} s")


def test_connections_over_a_long_way_bear_loss(net, table):
    with open("/proc/sys/net/ipv4/tcp_available_congestion_control", encoding="ascii") as f:
        if "bbr" not in f.read().split():
            pytest.skip("this kernel has no bbr")
    far_apart(net, ["transcoder and one of two origins"], percent=0)
    for one, other in (("transcoder-1", "origin-2"), ("origin-2", "transcoder-1")):
        wait_until(lambda one=one, other=other: net.congestion_controls(one, other) == {"bbr"}, f"{one} has bbr towards {other}")
    table.row("congestion control of connections over 300 ms, where the machine's is reno", "bbr", "bbr")


def problems(net):
    admin = ",".join(node["admin"].removeprefix("http://") for node in net.nodes().values())
    argv = [os.path.join(TOP, "deploy", "freshet"), "status", "--json", "--admin", admin]
    said = subprocess.run(argv, capture_output=True, check=False)
    return json.loads(said.stdout)["problems"]


def test_what_is_farther_is_said(net, table):
    with Said(net, "transcoder-1") as said:
        far_apart(net, ["transcoder and one of two origins"], percent=0, rtt_ms=500)
        wait_until(lambda: metric(net, "transcoder-1", "freshet_far_peers") == 1, "the far origin is counted")
        assert [p["text"] for p in problems(net) if p["alert"] == "FreshetPeerFar" and p["node"] == "transcoder-1"]
        net.switch.heal_all()
        wait_until(lambda: metric(net, "transcoder-1", "freshet_far_peers") == 0, "it is near again")
        there, back = (len(said.lines("peer_id=origin-2", what)) for what in ("far away: what goes there", "not far away any more"))
    table.row("an origin 500 ms away: lines of the log, and when it is near again", "1, 1", f"{there}, {back}")
    assert (there, back) == (1, 1)
