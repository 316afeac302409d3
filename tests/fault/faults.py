"""A cluster in which processes die, freeze and leave, and the waiting for what follows."""
import os
import signal
import time

import harness

RUNGS = {"video": [{"height": 180, "kbps": 300}, {"height": 90, "kbps": 150}], "audio": [{"kbps": 96}]}
SHORT = "short"  # streams whose names begin so have chunks of 100 ms
LADDER = [{"match": SHORT + "*", "chunk_ms": 100, **RUNGS}, RUNGS]
# A machine that is busy with other things is no fault.
PATIENT = ["transcoderd.slate_after_ms=3000", "transcoderd.shed_after_ms=600000"]


class FaultCluster(harness.Cluster):
    """Two of everything, and what happens to processes. Faults are signals sent here, without a command in between, so that
    the moment is known; at() of each returns it."""

    def __init__(self, directory, **options):
        super().__init__(directory, **{**dict(ladder=LADDER, ingests=2, transcoders=2, origins=2, edges=2), **options})

    def runs(self, name):
        """Neither dead nor frozen."""
        return harness.process_state(self.node(name)) not in ("", "T")

    def url(self, path, edge="edge-1"):
        """At the edge of that name or, while that is away, at one that runs."""
        return super().url(path, next((e for e in [edge, *self.names("edge")] if self.runs(e)), edge))

    def signal(self, name, number):
        os.kill(self.node(name)["pid"], number)
        return time.monotonic()

    def kill(self, name):
        at = self.signal(name, signal.SIGKILL)
        self.wait_gone(name)
        return at

    def kill_all(self, *names):
        at = [self.signal(name, signal.SIGKILL) for name in names][0]
        for name in names:
            self.wait_gone(name)
        return at

    def freeze(self, name):
        return self.signal(name, signal.SIGSTOP)

    def thaw(self, name):
        return self.signal(name, signal.SIGCONT)

    def wait_gone(self, name, seconds=40):
        harness.wait_until(lambda: not harness.process_state(self.node(name)), f"{name} ended", seconds, every=0.01)

    def restart(self, name):
        """Again, until it is ready."""
        self.do("start", name)

    def stop(self, name):
        """SIGTERM; returns at once. wait_gone() and wait_left_well() are the rest of it."""
        return self.signal(name, signal.SIGTERM)

    def wait_left_well(self, name):
        self.wait_gone(name)
        assert 'status=0 msg="stopped"' in self.log(name).splitlines()[-1], self.log(name)[-1000:]

    def names(self, prefix):
        return sorted(n for n in self.nodes() if n.startswith(prefix + "-"))

    def revive(self):
        """Everything runs again, for the next fault, and nobody lacks anything."""
        for name, node in self.nodes().items():
            if harness.process_state(node):
                os.kill(node["pid"], signal.SIGCONT)
            else:
                self.restart(name)
        self.wait_whole()

    def wait_whole(self, seconds=harness.WAIT_S):
        """Every node is ready, sees every node of the other tiers, and no origin lacks what its peer has."""
        def whole():
            tiers = {role: len(self.names(prefix)) for prefix, role in
                     (("transcoder", "transcoderd"), ("origin", "originD"))}
            for name in self.nodes():
                assert harness.request(self.node(name)["admin"] + "/readyz", timeout=10).status == 200, name
                above = {"ingest": "transcoderd", "transcoder": "originD", "edge": "originD"}.get(name.split("-")[0])
                if above:
                    seen = self.metric(name, "freshet_peers", role=above, state="live")
                    assert seen == tiers[above], f"{name} sees {seen} of {above}"
            for name in self.names("origin"):
                assert self.metric(name, "originD_behind_sessions") == 0, f"{name} is behind"
            return True
        harness.wait_until(whole, "the cluster is whole", seconds)

    def wait_slate(self, show):
        """Until slate is made for the broadcast, a second of it."""
        name = show.transcoder()
        before = self.metric(name, "transcoderd_slate_seconds_total")
        harness.wait_until(lambda: self.metric(name, "transcoderd_slate_seconds_total") >= before + 1, "slate is counted")

    def stored(self, origin, stream, session, data=None):
        """{track: its bytes}"""
        return harness.stored_tracks(os.path.join(data or self.config(origin)["data_dir"], stream, session))

    def wait_same_everywhere(self, show, data=None):
        """Every origin holds the same bytes of the broadcast. data: {origin: its data_dir, if it is not the usual one}"""
        def same():
            held = [self.stored(o, show.stream, show.session, (data or {}).get(o)) for o in self.names("origin")]
            assert held[0] and all(h == held[0] for h in held), [{t: len(b) for t, b in h.items()} for h in held]
            return True
        harness.wait_until(same, "the same bytes at all origins")
