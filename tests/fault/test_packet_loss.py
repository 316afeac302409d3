"""Packets are lost between the tiers: TCP sends them again, and nothing else may happen to the picture."""
import pytest

from broadcast import Broadcast


@pytest.mark.parametrize("percent", [1, 5])
def test_lost_packets_cost_no_frame(net, source, stream, percent):
    with Broadcast(net, stream, source) as show:
        _, before = net.switch.counts()
        for name in net.nodes():
            net.switch.loss(name, *net.others(name, "ingest", "transcoder", "origin", "edge"), percent=percent)
        show.wait_seen(8, seconds=60)
        net.switch.heal_all()
        _, after = net.switch.counts()
        assert after > before + 20, "hardly a packet was lost"
        net.wait_whole()
        show.finish().assert_nothing_lost()


def test_a_slow_network_costs_no_frame(net, source, stream):
    with Broadcast(net, stream, source) as show:
        for name in net.nodes():
            net.switch.delay(name, *net.others(name, "ingest", "transcoder", "origin", "edge"), ms=40)
        show.wait_seen(5, seconds=60)
        net.switch.heal_all()
        show.finish().assert_nothing_lost()
