"""Every node of the cluster is stopped and started again in its turn, as for an upgrade, under a live stream."""
from broadcast import Broadcast


def test_a_rolling_restart_of_the_whole_cluster_loses_nothing(two, long_source, stream):
    with Broadcast(two, stream, long_source) as show:
        for name in sorted(two.nodes()):
            began = show.now_s()
            two.stop(name)
            two.wait_left_well(name)
            two.restart(name)
            two.wait_whole()
            show.wait_seen(1)
            print(f"{name}: {show.now_s() - began:.1f} s")
        show.finish().assert_nothing_lost(same_connection=False)
        two.wait_same_everywhere(show)
