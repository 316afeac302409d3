"""A broadcaster whose frames are numbered: it sends a stamped file in real time, knows which numbers it sent, and when a
connection breaks it comes back as encoders do: soon, perhaps to another proxy, with the next keyframe, its time from 0."""
import select
import struct
import threading
import time

import rtmp

SET_CHUNK_SIZE = 1
CHUNK_BYTES = 4096


class Source:
    """A stamped FLV file without B-frames: [(ms, kind, payload, number or None)], and the headers every connection begins with."""

    def __init__(self, path):
        self.headers, self.tags, number = [], [], 0
        for kind, ms, payload in rtmp.flv_tags(path):
            if kind not in (rtmp.AUDIO, rtmp.VIDEO):
                continue
            if payload[1] == 0:
                self.headers.append((kind, payload))
                continue
            picture = kind == rtmp.VIDEO
            if picture and payload[1] != 1:
                continue
            self.tags.append((ms, kind, payload, number if picture else None))
            number += picture
        self.frames = number


def is_key(payload):
    return payload[0] >> 4 == 1


class Broadcaster(threading.Thread):
    """urls: proxies in the order in which they are tried. events: (time, what) for failure messages."""

    def __init__(self, source, urls, start=None, returns=True):
        super().__init__(daemon=True)
        self.source, self.urls, self.returns = source, list(urls), returns
        self.sent, self.events, self.connections = [], [], 0
        self.began = start
        self._connection, self._shift_ms, self._asked_away = None, 0, False
        self._leave, self._stay_away, self._finished = threading.Event(), threading.Event(), threading.Event()

    # ---- what tests say

    def end(self):
        """The person presses stop: the stream is ended properly at the next frame."""
        self._leave.set()
        self.join(60)
        assert not self.is_alive(), self.events

    def cut(self):
        """The line is cut; the encoder comes back at once, or after come_back() if away."""
        connection = self._connection
        if connection:
            connection.socket.shutdown(2)

    def stay_away(self):
        self._stay_away.set()
        self.cut()

    def come_back(self):
        self._stay_away.clear()

    # ---- the life of it

    def run(self):
        self.began = self.began or time.monotonic()
        for ms, kind, payload, number in self.source.tags:
            wait = self.began + ms / 1000 - time.monotonic()
            if self._leave.wait(max(wait, 0)):
                break
            if self._asked_away and kind == rtmp.VIDEO and is_key(payload):
                self._move(ms)
            if self._connection is None and not self._open(ms, kind, payload):
                continue
            try:
                self._listen()
                self._connection.tag(kind, ms - self._shift_ms, payload)
                if number is not None:
                    self.sent.append((number, time.monotonic()))
            except (OSError, ConnectionError) as error:
                self._lost(error)
        else:
            self.events.append((time.monotonic(), "the source is over, and nobody had asked for an end"))
        self._goodbye()
        self._finished.set()

    def _open(self, ms, kind, payload):
        """A connection begins with a keyframe, so that no decoder sees what it cannot decode."""
        if self._stay_away.is_set() or kind != rtmp.VIDEO or not is_key(payload) or (self.connections and not self.returns):
            return False
        for url in self.urls:
            try:
                self._connection = self._publish(url)
            except (OSError, ConnectionError, AssertionError) as error:
                self.events.append((time.monotonic(), f"{url}: {error!r}"))
                continue
            self._begin(ms, url)
            return True
        return False

    def _begin(self, ms, url):
        self.connections += 1
        self._shift_ms, self._asked_away = ms, False
        for header_kind, header in self.source.headers:
            self._connection.tag(header_kind, 0, header)
        self.events.append((time.monotonic(), f"publishing to {url}"))

    def _move(self, ms):
        """To the next proxy with a keyframe, before the old connection is given up: nothing is left out."""
        self.urls = self.urls[1:] + self.urls[:1]
        old = self._connection
        try:
            self._connection = self._publish(self.urls[0])
            self._begin(ms, self.urls[0])
        except (OSError, ConnectionError, AssertionError) as error:
            self._connection = old
            self.events.append((time.monotonic(), f"not moved: {error!r}"))
            return
        if old:
            old.close()

    @staticmethod
    def _publish(url):
        connection = rtmp.Connection(url, timeout=3, caps_ex=1)
        said = connection.publish()
        if said != "NetStream.Publish.Start":
            connection.close()
            raise ConnectionError(said)
        connection.message(SET_CHUNK_SIZE, struct.pack(">I", CHUNK_BYTES), csid=2)
        connection.chunk_size = CHUNK_BYTES
        return connection

    def _listen(self):
        """What the server says between frames: its end, or that it would like us elsewhere."""
        while select.select([self._connection.socket], [], [], 0)[0]:
            said = self._connection.socket.recv(65536)
            if not said:
                raise ConnectionError("closed by the server")
            if b"ReconnectRequest" in said:
                self.events.append((time.monotonic(), "asked to reconnect"))
                self._asked_away = True

    def _unpublish(self):
        self._connection.command("deleteStream", 6, None, 1)

    def _lost(self, error):
        self.events.append((time.monotonic(), f"lost: {error!r}"))
        self._connection.close()
        self._connection = None
        self.urls = self.urls[1:] + self.urls[:1]

    def _goodbye(self):
        if self._connection:
            self._unpublish()
            self._connection.socket.shutdown(1)
            self._connection.wait_closed(10)
            self._connection.close()
            self._connection = None
