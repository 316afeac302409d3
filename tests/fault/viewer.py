"""A viewer of one track at the live edge: segment after segment through the edges, each byte's arrival known."""
import http.client
import struct
import threading
import time
from collections import namedtuple
from urllib.parse import urlsplit

import mp4

READ_BYTES = 1 << 16
RETRY_S = 0.05

# at: monotonic seconds of arrival; begins, ends: media seconds
Chunk = namedtuple("Chunk", "at segment begins ends samples")


class Broken(Exception):
    """The answer did not come to its end."""


class Viewer(threading.Thread):
    """Reads from `first` until over is set and there is no further segment. A broken answer is asked for again, at the next
    edge if there are several, from its beginning, as players do; that the beginning is the same is part of the proof."""

    def __init__(self, edges, stream, session, track, first, patience_s=2.0):
        super().__init__(daemon=True, name=f"viewer of {track}")
        self.edges, self.path, self.track, self.first = list(edges), f"/live/{stream}/{session}/{track}", track, first
        self.patience_s = patience_s
        self.segments, self.chunks, self.troubles = {}, [], []
        self.over = threading.Event()
        self.failure = None
        self._connection = None
        self.init = self._get_init()
        self.scale = mp4.timescale(self.init)

    # ---- what tests ask

    def seen_s(self):
        """Media seconds up to which it has everything."""
        return self.chunks[-1].ends if self.chunks else 0

    def longest_wait(self, since=0):
        """(seconds, when it ended): the longest time between two chunks, of those that ended after `since`."""
        times = [c.at for c in self.chunks]
        waits = [(b - a, b) for a, b in zip(times, times[1:]) if b >= since]
        return max(waits, default=(0, 0))

    def lateness(self, began):
        """How far behind the broadcast that began then the end of a chunk was when it came, at worst. With the first
        segments left out: the viewer joined in the middle of them."""
        return max((c.at - began - c.ends for c in self.chunks if c.segment > self.first + 1), default=0)

    def samples(self):
        return [s for c in self.chunks for s in c.samples]

    # ---- the life of it

    def run(self):
        try:
            n = self.first
            while self._segment(n):
                n += 1
        except Exception as error:  # told by whoever waits for this viewer
            self.failure = error
            raise

    def _segment(self, n):
        """False: there is none, and the broadcast is over."""
        while True:
            over = self.over.is_set()
            try:
                status = self._read(n)
                if status == 200:
                    return True
                if status == 404 and over:
                    return False
                if not over:
                    self._trouble(f"segment {n}: {status}")
            except (OSError, http.client.HTTPException, Broken) as error:
                self._trouble(f"segment {n}: {error!r}")
                self._next_edge()
            time.sleep(RETRY_S)

    def _trouble(self, what):
        self.troubles.append((time.monotonic(), what))

    def _next_edge(self):
        self._connection = None
        self.edges = self.edges[1:] + self.edges[:1]

    def _ask(self, path):
        if self._connection is None:
            parts = urlsplit(self.edges[0])
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.patience_s)
        self._connection.request("GET", path)
        return self._connection.getresponse()

    def _get_init(self):
        for _ in range(5 * len(self.edges)):
            try:
                answer = self._ask(self.path + "/init.mp4")
                body = answer.read()
                if answer.status == 200:
                    return body
            except (OSError, http.client.HTTPException):
                self._next_edge()
            time.sleep(RETRY_S)
        raise AssertionError(f"no init segment of {self.track}")

    def _read(self, n):
        answer = self._ask(f"{self.path}/{n}.m4s")
        if answer.status != 200:
            answer.read()
            return answer.status
        had, at = self.segments.setdefault(n, bytearray()), 0
        while True:
            data = answer.read1(READ_BYTES)
            if not data:
                break
            again = bytes(had[at:at + len(data)])
            if not data.startswith(again):
                raise AssertionError(f"segment {n} of {self.track} has other bytes at {at} than before the answer broke")
            at += len(data)
            if len(data) > len(again):
                had += data[len(again):]
                self._chunks_of(n)
        if answer.length:
            raise Broken(f"{answer.length} bytes short")
        answer.close()
        if at < len(had):
            raise AssertionError(f"segment {n} of {self.track} had {len(had)} bytes, now {at}")
        return 200

    def _chunks_of(self, n):
        """Notes every moof+mdat that is whole now."""
        data, at = self.segments[n], time.monotonic()
        have = sum(1 for c in self.chunks if c.segment == n)
        begin, count, pos = 0, 0, 0
        while pos + 8 <= len(data):
            size, kind = struct.unpack_from(">I4s", data, pos)
            if pos + size > len(data):
                break
            if kind == b"moof":
                begin = pos
            pos += size
            if kind == b"mdat":
                count += 1
                if count > have:
                    samples = mp4.samples(self.init, bytes(data[begin:pos]))
                    last = samples[-1]
                    self.chunks.append(Chunk(at, n, samples[0].dts / self.scale, (last.dts + last.duration) / self.scale,
                                             samples))
