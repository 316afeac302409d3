"""A store that fails, that has no descriptor left, that holds very much, and nodes that name generations as they like: what was
acknowledged stays, what cannot be kept is refused in words, and no stream is lost to anybody."""
import contextlib
import os
import resource
import socket
import subprocess
import time

import pytest

from abuse import Said, fds, metric, pid
from harness import LOCAL, TOP, UP_S, request, run, wait_until

TIERS = dict(origins=2)
SETS = ["originD.max_sessions=2000"]
WRITER = os.path.join(TOP, "build", "release", "tools", "store_writer")
LAST = 2**32 - 1
GRACE_S = 600  # sessions that nobody writes to are live for longer than a test takes on a machine that is busy


def write(cluster, *arguments, node="origin-1", check=False):
    """(exit status, what it printed): 0, or 4: refused for as long as it tried, a second."""
    done = run(WRITER, "--origin", f"127.0.0.1:{cluster.config(node)['port']}", *map(str, arguments), check=check)
    return done.returncode, done.stdout.decode()


def ready(cluster, node):
    return request(cluster.node(node)["admin"] + "/readyz")


def claimed(printed):
    """(session, generation)"""
    words = next(line.split() for line in printed.splitlines() if line.startswith("claimed "))
    return words[1], int(words[2])


@contextlib.contextmanager
def read_only(folder):
    """By a mount of it over itself: files that are open stay so."""
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode:
        pytest.skip("only root can mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_store_that_becomes_read_only(cluster, healthy, table, load):
    """Of one of two origins, while it stores; and writers that try to claim there again and again."""
    node, tries = "origin-2", load(2, 20)
    status, printed = write(cluster, "--stream", "ro", "--salt", 1, "--to", 1, node=node)
    assert status == 0
    before = claimed(printed)
    with healthy.watched(), Said(cluster, node) as said:
        with read_only(cluster.config(node)["data_dir"]):
            wait_until(lambda: ready(cluster, node).status == 503, "the node says that it stores nothing")
            words = ready(cluster, node).text().strip()
            for _ in range(tries):
                assert write(cluster, "--stream", "ro", "--salt", 1, "--to", 2, node=node)[0] == 4  # 50 claims
            lines = [line for line in said.lines() if "HELLO" not in line and "level=info" not in line]
        wait_until(lambda: ready(cluster, node).status == 200, "the node stores again")
        status, printed = write(cluster, "--stream", "ro", "--salt", 1, "--to", 2, node=node)
    table.row("a store that becomes read-only: /readyz", "why not", words)
    table.row(f"{50 * tries} claims there: lines, generations", "5, 1", f"{len(lines)}, {claimed(printed)[1] - before[1]}")
    assert "Read-only file system" in words
    assert len(lines) <= 5, lines
    assert status == 0 and claimed(printed) == (before[0], before[1] + 1)


def test_generations_that_nobody_can_have_been_given(cluster, healthy, table, load):
    """A node that claims and joins with the last generations, at both origins; then the stream's own writer."""
    refused, tries = 0, load(3, 100)
    with healthy.watched():
        session, generation = claimed(write(cluster, "--stream", "gen", "--salt", 2, "--to", 1, check=True)[1])
        for n in range(tries):
            for node in ("origin-1", "origin-2"):
                status, printed = write(cluster, "--stream", "gen", "--generation", LAST - n, "--to", 0, node=node)
                assert status == 0 and claimed(printed)[1] < 10 * tries, printed
            refused += write(cluster, "--stream", "gen", "--generation", LAST - n, "--join", session, "--to", 0)[0] == 4
        status, printed = write(cluster, "--stream", "gen", "--salt", 2, "--to", 2)
    table.row(f"{tries} times 2^32-1 as CLAIM and as JOIN: the writer's own claim after it", "taken", "taken" if status == 0 else printed)
    assert refused == tries
    assert status == 0 and claimed(printed)[0] == session and claimed(printed)[1] > generation
    assert metric(cluster, "origin-1", "originD_impossible_generations_total") > 0


@contextlib.contextmanager
def few_descriptors(of, more):
    """Not many more than it has now."""
    before = resource.prlimit(of, resource.RLIMIT_NOFILE)
    limit = (fds(of) + more) * 4 // 3
    resource.prlimit(of, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.prlimit(of, resource.RLIMIT_NOFILE, before)


def test_strangers_that_take_every_descriptor_leave_the_stores_to_it(cluster, healthy, table, load):
    node, count = "origin-1", load(150, 1000)
    port = cluster.config(node)["http_port"]
    refused, lost = metric(cluster, node, "freshet_descriptors_refused_total"), 0
    with healthy.watched(), contextlib.ExitStack() as held, few_descriptors(pid(cluster, node), 40) as limit:
        time.sleep(1.5)  # the daemon looks at its limit each second
        for _ in range(count):
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        wait_until(lambda: metric(cluster, node, "freshet_descriptors_refused_total") > refused, "strangers are refused")
        for n in range(load(3, 20)):  # new sessions need folders, files and session.json
            lost += write(cluster, "--stream", f"fd{n}", "--salt", n, "--to", 2, "--end", node=node)[0] != 0
        state = ready(cluster, node).status
    table.row(f"{count} connections, {limit} descriptors: sessions that cannot be stored", 0, lost)
    assert lost == 0 and state == 200


def test_many_live_sessions_do_not_stop_an_origin(cluster, healthy, table, load):
    """Each is compared with the other origin's, which copies it."""
    count = load(20, 1000)
    with healthy.watched(), Said(cluster, "origin-2") as said:
        for n in range(count):
            assert write(cluster, "--stream", f"many{n}", "--salt", n, "--to", 1, "--grace-s", GRACE_S)[0] == 0
        wait_until(lambda: metric(cluster, "origin-2", "originD_sessions", status="live") >= count, "the other one has them too", 300)
        time.sleep(load(2, 10))  # as long as all are compared a few times
    live = metric(cluster, "origin-1", "originD_sessions", status="live")
    table.row("live sessions beside the stream", f">= {count}", int(live))
    assert live >= count
    assert not said.lines("cannot compare")


def start_with(cluster, node, limit):
    """So many descriptors at most."""
    run(LOCAL, "start", "--dir", cluster.dir, node, timeout=UP_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))


def test_an_origin_starts_with_more_live_tracks_than_descriptors(cluster, healthy, table, load):
    """Two tracks a session, two files a track; and all of them go on."""
    node, count = "origin-2", load(40, 400)
    for n in range(count):
        assert write(cluster, "--stream", f"low{n}", "--salt", n, "--to", 1, "--grace-s", GRACE_S, node=node)[0] == 0
    limit = 150 + count
    cluster.stop(node)
    cluster.wait_left_well(node)
    start_with(cluster, node, limit)
    with healthy.watched(), Said(cluster, node) as said:
        refused = sum(write(cluster, "--stream", f"low{n}", "--salt", n, "--to", 2, "--grace-s", GRACE_S, node=node)[0] != 0
                      for n in range(count))
        table.row(f"{2 * count} live tracks, {limit} descriptors: sessions that cannot go on", 0, refused)
        assert not refused
        assert metric(cluster, node, "originD_kept_files") < limit
        assert metric(cluster, node, "originD_sessions", status="live") >= count
        assert not said.lines("out of file descriptors")
    cluster.stop(node)
    cluster.wait_left_well(node)
    cluster.restart(node)
    cluster.wait_whole()
