"""A numbered broadcast by RTMPS with a token, and readers of every track by HTTPS, all through the balancer."""
import http.client
import ssl
import time
from urllib.parse import urlsplit

from broadcast import Broadcast
from broadcaster import Broadcaster
from viewer import Viewer

RETRIES_S = 1.5  # for which a player asks again what failed: dash.js with low latency, 15 times 0.1 s


class SecureBroadcaster(Broadcaster):
    def _listen(self):
        """What is readable below TLS need not be anything above it."""
        encrypted = self._connection.socket
        encrypted.settimeout(0)
        try:
            while True:
                said = encrypted.recv(65536)
                if not said:
                    raise ConnectionError("closed by the server")
                if b"ReconnectRequest" in said:
                    self.events.append((time.monotonic(), "asked to reconnect"))
                    self._asked_away = True
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            encrypted.settimeout(5)


class SecureViewer(Viewer):
    context = None  # one for all of a check
    prefix = ""     # /t/TOKEN

    def _ask(self, path):
        if self._connection is None:
            parts = urlsplit(self.edges[0])
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.patience_s, context=self.context)
        self._connection.request("GET", self.prefix + path)
        return self._connection.getresponse()

    def longest_trouble(self, since=0):
        """Seconds from the first to the last failure of the request that failed for longest, of those after `since`."""
        spans = {}
        for at, what in self.troubles:
            if at >= since:
                spans.setdefault(what.partition(":")[0], []).append(at)
        return max((ats[-1] - ats[0] for ats in spans.values()), default=0)


class Show(Broadcast):
    """with Show(stack, "name", source) as show: …"""

    def __init__(self, stack, stream, source, patience_s=6.0):
        super().__init__(stack, stream, source, ingests=["balancer"], edges=["balancer"], patience_s=patience_s)
        self.broadcaster = SecureBroadcaster(source, self.broadcaster.urls)

    def _join(self):
        entry = self.cluster.wait_playable(self.stream)
        self.session = entry["session"]
        self.tracks = {t["name"]: t for t in entry["tracks"]}
        first = max(int(self.now_s()) - 1, 0)
        SecureViewer.context = self.cluster.context
        self.viewers = [SecureViewer(self.edges, self.stream, self.session, t, first, self.patience_s) for t in self.tracks]
        for viewer in self.viewers:
            viewer.start()
        self.wait_seen(0, 60)

    def failed_requests(self, since=0):
        return sum(1 for v in self.viewers for at, _ in v.troubles if at >= since)

    def assert_a_retry_was_enough(self, since=0, within_s=RETRIES_S):
        for viewer in self.viewers:
            assert viewer.longest_trouble(since) <= within_s, (viewer.track, [w for at, w in viewer.troubles if at >= since][:8])
