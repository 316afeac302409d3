"""Bytes that viewers may send, and what an edge answers: tests/system/wire/*.case (its README says how to read them), without TLS and
in it."""
import contextlib
import glob
import os
import re
import socket
import ssl

import pytest

from harness import make_certificate, reserve_port
from test_edge_tier import Tier, metric

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


class Case:
    def __init__(self, name):
        self.name, self.steps, self.closed = name, [], False


def to_bytes(text):
    """The bytes of a ">" line; a repetition may not hold braces."""
    text = re.sub(r"\{([^{}]+)\*(\d+)\}", lambda m: m.group(1) * int(m.group(2)), text)
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def read_cases(path):
    cases = []
    with open(path, encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if not line.strip() or line.startswith("#"):
                continue
            if not line.startswith("  "):
                cases.append(Case(line))
            elif line.startswith("  > "):
                cases[-1].steps.append((">", None if line == "  > EOF" else to_bytes(line[4:])))
            elif line.startswith("  < "):
                status, _, wants = line[4:].partition(";")
                word = re.fullmatch(r"(\d+)(?: (head|raw))?(?: times (\d+))?", status)
                cases[-1].steps += [("<", (int(word[1]), word[2], [w.strip() for w in wants.split("; ") if w]))] * int(word[3] or 1)
            else:
                assert line in ("  = closed", "  = open"), line
                cases[-1].closed = line == "  = closed"
    return cases


CASES = [case for path in sorted(glob.glob(f"{HERE}/wire/*.case")) for case in read_cases(path)]


CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname, CLIENT.verify_mode = False, ssl.CERT_NONE
CLIENT.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # whoever ends an answer says so in TLS


class Wire:
    """A connection, and what has come on it and was not looked at."""

    def __init__(self, url):
        scheme, _, address = url.partition("://")
        self.socket = socket.create_connection(address.split(":"), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            self.socket = CLIENT.wrap_socket(self.socket, server_hostname="localhost", suppress_ragged_eofs=False)
        self.got, self.ended = b"", False

    def end_sending(self):
        socket.socket.shutdown(self.socket, socket.SHUT_WR)  # TLS's own would read no more
        self.ended = True

    def more(self):
        try:
            piece = self.socket.recv(1 << 20)
        except ssl.SSLError as error:
            if not self.ended or "EOF" not in str(error):  # left without a word it may go without one
                raise
            piece = b""
        self.got += piece
        return piece

    def until(self, mark):
        while mark not in self.got:
            assert self.more(), f"the connection ended in the middle of an answer: {self.got[:300]}"
        taken, _, self.got = self.got.partition(mark)
        return taken

    def take(self, count):
        while len(self.got) < count:
            assert self.more(), "the connection ended in the middle of a body"
        taken, self.got = self.got[:count], self.got[count:]
        return taken

    def chunks(self):
        body = b""
        while True:
            size = self.until(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+", size)
            body += self.take(int(size, 16))
            assert self.take(2) == b"\r\n"
            if int(size, 16) == 0:
                return body

    def answer(self, kind):
        """(status, fields, body), read as strictly as can be."""
        head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        line = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", head[0])
        assert line, head[0]
        fields = {}
        for text in head[1:]:
            field = re.fullmatch(rf"({TOKEN}): ([\t -~]*)", text)
            assert field and field[1].lower() not in fields, text
            fields[field[1].lower()] = field[2]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", fields["date"])
        assert fields["access-control-allow-origin"] == "*"
        status, sized, chunked = int(line[1]), "content-length" in fields, fields.get("transfer-encoding") == "chunked"
        if kind == "head" or status in (204, 304):
            return status, fields, b""
        if kind == "raw":
            while self.more():
                pass
            body, self.got = self.got, b""
            return status, fields, body
        assert sized != chunked
        return status, fields, self.chunks() if chunked else self.take(int(fields["content-length"]))


def check(wants, fields, body):
    for want in wants:
        name, _, text = want.partition(": ")
        if want.startswith("!"):
            assert want[1:].lower() not in fields, want
        elif want == "chunked":
            assert fields["transfer-encoding"] == "chunked"
        elif want.startswith("bytes "):
            assert len(body) == int(want[6:])
        elif want.startswith("body "):
            assert want[5:].encode() in body
        else:
            assert text in fields[name.rstrip(":").lower()], want


@pytest.fixture(scope="module", params=("http", "https"))
def edge(request, tmp_path_factory):
    """One of its own for each: what is made while it is read is made once."""
    with contextlib.ExitStack() as ends:
        directory = tmp_path_factory.mktemp("wire")
        make_certificate(directory, "tls", "localhost")
        tier = Tier(directory, ends)
        edge = tier.edge(tier.origin(), hold_ms=3000, https_certs=directory, https_port=(port := reserve_port()))
        if request.param == "https":
            edge.url = f"https://127.0.0.1:{port}"
        yield edge


def test_there_are_a_hundred_cases_and_no_two_promise_the_same():
    names = [case.name for case in CASES]
    assert len(names) >= 100 and len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def test_wire(edge, case):
    wire = Wire(edge.url)
    for what, how in case.steps:
        if what == ">" and how is None:
            wire.end_sending()
        elif what == ">":
            wire.socket.sendall(how)
        else:
            status, fields, body = wire.answer(how[1])
            assert status == how[0], (fields, body[:200])
            check(how[2], fields, body)
    if case.closed:
        assert wire.got == b"" and wire.more() == b""
    else:
        wire.socket.sendall(b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.answer(None)[0] == 200 and wire.got == b""
    wire.socket.close()


def test_each_refusal_is_counted_with_its_reason(edge):
    for reason, head in (("request_line", "GET"), ("host", "GET / HTTP/1.1"), ("framing", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1")):
        before = metric(edge, "edged_bad_requests_total", f'"{reason}"')
        wire = Wire(edge.url)
        wire.socket.sendall(f"{head}\r\n\r\n".encode())
        assert wire.answer(None)[0] == 400
        wire.socket.close()
        assert metric(edge, "edged_bad_requests_total", f'"{reason}"') == before + 1
