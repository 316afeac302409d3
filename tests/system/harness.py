"""What the system tests share: a cluster by deploy/local, publishers, HTTP, metrics, and waiting for states.

Nothing here sleeps for a guess: wait_until() polls a condition up to a deadline that is generous, because it is only
reached when the test fails."""
import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import threading
import time
from urllib.parse import urlsplit

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOCAL = os.path.join(TOP, "deploy", "local")
STAMP = os.path.join(TOP, "build", "release", "tools", "stamp")
UP_S = 300  # for `deploy/local up`, which gives up by itself before that
LONG = os.environ.get("FRESHET_LONG") == "1"

SMALL_LADDER = [{"video": [{"height": 360, "kbps": 600}, {"height": 180, "kbps": 300}], "audio": [{"kbps": 96}]}]
# On a machine that is busy with other things all comes later, but all of it: no slate for what is late, nothing left out.
LATE_IS_FINE = ["transcoderd.slate_after_ms=10000", "transcoderd.shed_after_ms=600000"]
TINY_LADDER = [{"video": [{"height": 180, "kbps": 300}], "audio": [{"kbps": 64}]}]


WAIT_S = 180  # for a state, at least; a machine that gives nine tenths of itself to others has been seen to need a minute and more


def wait_until(condition, what, seconds=WAIT_S, every=0.05):
    """Returns condition()'s first true value. An exception counts as not yet, and is told if that is how it ends. However few seconds a
    test gives, it has WAIT_S: who wants to know whether it comes in that time asks is_within()."""
    return _wait(condition, what, max(seconds, WAIT_S), every)


def is_within(condition, seconds, every=0.05):
    """Whether condition() was true before so many seconds were over: for what a test cannot go on without, and is then begun anew."""
    try:
        return bool(_wait(condition, "", seconds, every))
    except AssertionError:
        return False


def _wait(condition, what, seconds, every):
    deadline = time.monotonic() + seconds
    trouble = None
    while True:
        try:
            value = condition()
            if value:
                return value
            trouble = None
        except Exception as error:  # whatever it is, it may pass
            trouble = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s" + (f" ({trouble!r})" if trouble else ""))
        time.sleep(every)


class Lag(threading.Thread):
    """How late this machine runs what is due: a few ms when it is idle, seconds when others want it too. A bound on what
    Freshet does in real time is that much wider."""

    def __init__(self):
        super().__init__(daemon=True)
        self._seen, self._over = [], threading.Event()
        self.start()

    def run(self):
        due = time.monotonic() + 0.01
        while not self._over.wait(max(due - time.monotonic(), 0)):
            now = time.monotonic()
            self._seen.append((now, now - due))
            due = now + 0.01

    def worst(self, since=0):
        return max((late for at, late in list(self._seen) if at >= since), default=0)

    def end(self):
        self._over.set()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode(errors="replace")


def request(url, method="GET", headers=None, timeout=60, body=None):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def stored_tracks(folder):
    """{track: its init segment and all its chunks} of a session's folder: the volumes in a row, without their own inits"""
    out = {}
    for track in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, track)
        volumes = sorted(n for n in os.listdir(path) if n.endswith(".mp4") and n != "init.mp4") if os.path.isdir(path) else ()
        for i, name in enumerate(volumes):
            with open(os.path.join(path, name), "rb") as f:
                data = f.read()
            init = os.path.getsize(os.path.join(path, "init.mp4"))
            out[track] = out[track] + data[init:] if i else data
    return out


def run(*argv, check=True, timeout=120, **options):
    done = subprocess.run(argv, capture_output=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(argv)}: exit status {done.returncode}\n{done.stderr.decode(errors='replace')[-3000:]}")
    return done


def spawn(argv, **options):
    """A process that ends with this one at the latest, however this one ends."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)], **options)


def make_certificate(directory, name, common_name):
    """Both files are written elsewhere and moved in, the key first."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
        f"{directory}/{name}.key.new", "-out", f"{directory}/{name}.crt.new", "-subj", f"/CN={common_name}", "-addext",
        f"subjectAltName=DNS:{common_name}")
    for kind in ("key", "crt"):
        os.rename(f"{directory}/{name}.{kind}.new", f"{directory}/{name}.{kind}")


_reserved = []


def reserve_port():
    """A port on 127.0.0.1 that is given to nobody who does not ask for it by its number, until this process ends. It is
    bound by a socket that does not listen; whoever is to listen on it sets SO_REUSEADDR, as all servers do."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    _reserved.append(s)
    return s.getsockname()[1]


def process_state(node):
    """The letter of ps; "" when there is no such process, or another one has its number by now. One whose first thread has
    ended and others not yet is there still, with its ports."""
    try:
        with open(f"/proc/{node['pid']}/cmdline", "rb") as f:
            arguments = f.read().split(b"\0")
        with open(f"/proc/{node['pid']}/stat", encoding="ascii", errors="replace") as f:
            letter = f.read().rpartition(")")[2].split()[0]
        if letter == "Z" and len(os.listdir(f"/proc/{node['pid']}/task")) > 1:
            return letter
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return letter if letter not in "ZX" and node["argv"][2].encode() in arguments else ""


class Publisher:
    """A process that pushes a stream; its own output is kept for the failure message."""

    def __init__(self, argv, log):
        self.argv = argv
        self.log = log
        with open(log, "wb") as out:
            self.process = spawn(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def running(self):
        return self.process.poll() is None

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, seconds=120):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{shlex.join(self.argv)} did not end within {seconds} s:\n{self.said()[-2000:]}")

    def stop(self):
        """As a person does: the encoder says goodbye."""
        if self.running():
            self.process.terminate()
        self.wait()

    def kill(self):
        """As a power cut does."""
        self.process.kill()
        self.process.wait()


class Cluster:
    """with Cluster(directory) as …: deploy/local, and what it serves. Its ports are reserved, so that any number of them live side by side."""

    def __init__(self, directory, sets=(), ladder=SMALL_LADDER, flags=(), **tiers):
        self.dir = str(directory)
        argv = [LOCAL, "up", "--detach", "--dir", self.dir, "--while", str(os.getpid()), *flags]
        for tier, n in tiers.items():
            argv += [f"--{tier}", str(n)]
        if os.environ.get("FRESHET_BIN"):  # with sanitizers nothing is as fast as it comes, and streams are taken all the same
            sets = ["transcoderd.capacity_percent=0", *sets]
        for setting in list(sets) + [f"transcoderd.ladder={json.dumps(ladder)}"]:
            argv += ["--set", setting]
        run(*argv, timeout=UP_S)
        self.publishers = []

    # ---- nodes

    def nodes(self):
        with open(os.path.join(self.dir, "cluster.json"), encoding="utf-8") as f:
            return {n["id"]: n for n in json.load(f)["nodes"]}

    def node(self, name):
        return self.nodes()[name]

    def config(self, name):
        with open(os.path.join(self.dir, name + ".json"), encoding="utf-8") as f:
            return json.load(f)

    def do(self, command, *names):
        run(LOCAL, command, "--dir", self.dir, *names, timeout=UP_S)

    def log(self, name):
        with open(self.node(name)["log"], encoding="utf-8", errors="replace") as f:
            return f.read()

    def metrics(self, name):
        """{"name{labels}": value}"""
        answer = request(self.node(name)["admin"] + "/metrics")
        assert answer.status == 200, answer.text()
        out = {}
        for line in answer.text().splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                out[series] = float(value)
        return out

    def metric(self, node, name, **labels):
        """The sum of all series of that name with these labels."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(v for series, v in self.metrics(node).items()
                   if re.split(r"[{]", series)[0] == name and all(w in series for w in wanted))

    def rss_kb(self, name):
        with open(f"/proc/{self.node(name)['pid']}/status", encoding="ascii") as f:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1))

    def down(self):
        for publisher in self.publishers:
            if publisher.running():
                publisher.kill()
        running = [n for n in self.nodes().values() if process_state(n)]
        self.do("down")
        for node in running:
            with open(node["log"], encoding="utf-8", errors="replace") as f:
                end = "".join(f.readlines()[-3:])
            assert 'status=0 msg="stopped"' in end, f"{node['id']} did not end well:\n{end}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """Ends it whatever happened meanwhile; when nothing has, its end is judged too."""
        try:
            self.down()
            assert not self.reports(), self.reports()
        except Exception:
            if kind is None:
                raise

    def reports(self):
        """What sanitizers and assertions said, over all nodes."""
        out = []
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), encoding="utf-8", errors="replace") as f:
                    text = f.read()
                if re.search(r"Sanitizer|runtime error:|Assertion .* failed|panic:", text):
                    out.append(f"{name}:\n{text[-6000:]}")
        return "\n".join(out)

    # ---- publishing

    def rtmp(self, stream, ingest="ingest-1"):
        return f"{self.node(ingest)['rtmp']}/{stream}"

    def publish(self, *argv):
        publisher = Publisher(list(argv), os.path.join(self.dir, f"publisher-{len(self.publishers)}.txt"))
        self.publishers.append(publisher)
        return publisher

    def publish_file(self, stream, path, *more, ingest="ingest-1", loop=False):
        """In real time, nothing encoded again."""
        again = ["-stream_loop", "-1"] if loop else []
        return self.publish("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-re", *again, "-i", str(path),
                            "-c", "copy", *more, "-f", "flv", self.rtmp(stream, ingest))

    def publish_test_picture(self, stream, seconds=None, size="640x360", fps=30, video=True, audio=True, gop=None,
                             more=(), ingest="ingest-1"):
        argv = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning"]
        if video:
            argv += ["-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate={fps}"]
        if audio:
            argv += ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
        if video:
            argv += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
                     "-g", str(gop or int(fps))]
        if audio:
            argv += ["-c:a", "aac", "-b:a", "96k"]
        argv += list(more) + (["-t", str(seconds)] if seconds else [])
        return self.publish(*argv, "-f", "flv", self.rtmp(stream, ingest))

    # ---- what viewers get

    def url(self, path, edge="edge-1"):
        return self.node(edge)["http"] + path

    def get(self, path, edge="edge-1", **options):
        return request(self.url(path, edge), **options)

    def stream(self, stream, edge="edge-1"):
        """The stream's entry in /api/streams, or None."""
        for entry in self.get("/api/streams", edge).json()["streams"]:
            if entry["id"] == stream:
                return entry
        return None

    def wait_state(self, stream, *states, seconds=WAIT_S):
        def has():
            entry = self.stream(stream)
            return entry if entry and entry["state"] in states else None
        return wait_until(has, f"{stream} {' or '.join(states)}", seconds)

    def wait_playable(self, stream, seconds=WAIT_S, tracks=()):
        """The stream's entry, once its manifest is there and the second segment of each track as well; of these tracks at least: on a
        slow machine there is sound long before there are pictures."""
        entry = self.wait_state(stream, "live", "ended", seconds=seconds)  # a short one may be over before we look
        wait_until(lambda: self.get(f"/live/{stream}/manifest.mpd").status == 200, f"{stream}'s manifest", seconds)

        def with_tracks():
            entry = self.stream(stream)
            names = {t["name"] for t in (entry or {}).get("tracks", [])}
            return entry if names and names >= set(tracks) else None
        entry = wait_until(with_tracks, f"{stream}'s tracks {sorted(tracks)}", seconds)
        for track in entry["tracks"]:
            self.segment(stream, entry["session"], track["name"], 1)
        # by now the tracks that came a little later are there too
        return self.stream(stream)

    def init(self, stream, session, track):
        answer = self.get(f"/live/{stream}/{session}/{track}/init.mp4")
        assert answer.status == 200, f"init of {track}: {answer.status} {answer.text()[:200]}"
        return answer.body

    def segment(self, stream, session, track, n, edge="edge-1"):
        answer = wait_until(lambda: (a := self.get(f"/live/{stream}/{session}/{track}/{n}.m4s", edge)).status == 200 and a,
                            f"segment {n} of {track}")
        return answer.body

    def recording(self, stream, session, track):
        """Init segment, and the list of all segments of an ended session."""
        init, segments = self.init(stream, session, track), []
        while True:
            answer = self.get(f"/live/{stream}/{session}/{track}/{len(segments)}.m4s")
            if answer.status == 404:
                return init, segments
            assert answer.status == 200, f"segment {len(segments)} of {track}: {answer.status}"
            segments.append(answer.body)
