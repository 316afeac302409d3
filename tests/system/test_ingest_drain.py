"""SIGTERM of a proxy: it asks its broadcasters to leave, serves those that stay for drain_ms, and loses nothing it received."""
import os
import signal

import pytest

import rtmp
from harness import TINY_LADDER, request, wait_until


def terminate(cluster, name):
    os.kill(cluster.node(name)["pid"], signal.SIGTERM)


def listening(cluster, name):
    try:
        rtmp.Connection(cluster.rtmp("x", name), timeout=2).close()
        return True
    except ConnectionRefusedError:
        return False


def test_a_proxy_that_leaves_asks_who_understands_and_serves_until_they_leave(make_cluster, tags):
    cluster = make_cluster(ladder=TINY_LADDER, ingests=2, sets=["ingestd.drain_ms=60000"])
    plain = rtmp.Connection(cluster.rtmp("plain"))
    able = rtmp.Connection(cluster.rtmp("able"), caps_ex=1)
    for c in (plain, able):
        assert c.publish() == "NetStream.Publish.Start"
    plain_caster, able_caster = rtmp.Caster(plain, tags), rtmp.Caster(able, tags)
    session = cluster.wait_playable("able")["session"]
    cluster.wait_playable("plain")
    terminate(cluster, "ingest-1")
    wait_until(lambda: not listening(cluster, "ingest-1"), "no new connection is taken")
    assert request(cluster.node("ingest-1")["admin"] + "/readyz").status == 503
    able.socket.settimeout(10)
    heard = b""
    while b"NetConnection.Connect.ReconnectRequest" not in heard:
        heard += able.socket.recv(65536)
    # it is served until it has another connection
    frames = cluster.metric("ingest-1", "ingestd_relayed_frames_total")
    wait_until(lambda: cluster.metric("ingest-1", "ingestd_relayed_frames_total") > frames + 60, "frames go on")
    again = rtmp.Connection(cluster.rtmp("able", "ingest-2"))
    assert again.publish() == "NetStream.Publish.Start"
    again_caster = rtmp.Caster(again, tags)
    able_caster.stop()
    able.command("deleteStream", 6, None, 1)
    able.close()
    wait_until(lambda: cluster.metric("ingest-1", "ingestd_publishers") == 1, "one has left")
    plain.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        while True:
            said = plain.socket.recv(65536)
            assert said and b"ReconnectRequest" not in said
    plain_caster.stop()
    plain.command("deleteStream", 6, None, 1)
    wait_until(lambda: 'status=0 msg="stopped"' in cluster.log("ingest-1"), "the proxy has left")
    cluster.wait_state("plain", "ended")
    assert cluster.wait_state("able", "live")["session"] == session
    again_caster.stop()
    again.close()
    plain.close()


def test_what_does_not_leave_is_closed_and_its_session_waits_for_it(make_cluster, tags):
    cluster = make_cluster(ladder=TINY_LADDER, ingests=2, sets=["ingestd.drain_ms=500"])
    stays = rtmp.Connection(cluster.rtmp("stays"))
    assert stays.publish() == "NetStream.Publish.Start"
    caster = rtmp.Caster(stays, tags)
    session = cluster.wait_playable("stays")["session"]
    terminate(cluster, "ingest-1")
    assert stays.wait_closed()
    caster.stop()
    wait_until(lambda: 'status=0 msg="stopped"' in cluster.log("ingest-1"), "the proxy has left")
    received = cluster.log("ingest-1")
    assert 'msg="closing what did not leave"' in received
    cluster.wait_state("stays", "slate")
    again = rtmp.Connection(cluster.rtmp("stays", "ingest-2"))
    assert again.publish() == "NetStream.Publish.Start"
    caster = rtmp.Caster(again, tags)
    assert cluster.wait_state("stays", "live")["session"] == session
    caster.stop()
    again.close()
