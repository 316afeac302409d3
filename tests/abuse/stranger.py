"""Somebody at an edge's HTTP port from an address of his own, and how often an origin was asked meanwhile."""
import re
import socket
from urllib.parse import urlsplit

from abuse import metric


class Stranger:
    """One connection from an address of its own."""

    def __init__(self, url, address="127.0.1.1", receive=0, timeout=20):
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.bind((address, 0))
        self.socket.settimeout(timeout)
        self.socket.connect((parts.hostname, parts.port))
        self.got = b""

    def ask(self, path, more=""):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())

    def head(self):
        """(status, headers as text) of the next answer; (0, "") when the connection is over."""
        while b"\r\n\r\n" not in self.got:
            try:
                piece = self.socket.recv(65536)
            except ConnectionError:
                piece = b""
            if not piece:
                return 0, ""
            self.got += piece
        head, _, self.got = self.got.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode()

    def get(self, path, more=""):
        """The status; what comes with it is read too."""
        self.ask(path, more)
        status, head = self.head()
        length = re.search(r"content-length: (\d+)", head, re.I)
        left = int(length.group(1)) if length else 0
        if "chunked" in head:
            while b"\r\n0\r\n\r\n" not in self.got:
                self.got += self.socket.recv(65536)
            left = self.got.index(b"\r\n0\r\n\r\n") + 7
        while len(self.got) < left:
            self.got += self.socket.recv(65536)
        self.got = self.got[left:]
        return status

    def over(self):
        """It was closed at the other end."""
        self.socket.setblocking(False)
        try:
            return self.socket.recv(65536) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def close(self):
        self.socket.close()


def ask_all(url, paths, addresses=("127.0.1.1",)):
    """How many answers of each status."""
    seen = {}
    strangers = [Stranger(url, a) for a in addresses]
    for i, path in enumerate(paths):
        status = strangers[i % len(strangers)].get(path)
        seen[status] = seen.get(status, 0) + 1
    for s in strangers:
        s.close()
    return seen


def origin_asked(cluster):
    """By whomever, but not the names that an edge asks for each second."""
    return sum(metric(cluster, "origin-1", "originD_fetches_total", status=s) for s in ("not_found", "error", "full"))


def http(cluster):
    return cluster.node("edge-1")["http"]
