"""What the benches of the edge share: servers that are pinned to a core of their own, a crowd that has the others, and what a server spent.

    with Rig("herd") as rig:
        edge = rig.edge(["--after", 200])      # and the made-up origin above it
        floor = rig.floor("--bytes", 3000)
        said = rig.crowd("herd", edge, "--connections", 2000, "--bytes", 3000, path)

Whatever was started ends with it, and its folder goes. Daemons are those of FRESHET_BIN, bin/ unless it is set. A server's work is
counted in nanoseconds of its threads, which a machine that is busy with other things changes little; all else that is printed it does
change, so servers are compared in alternating rounds of one run, and what is looked at are their ratios."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TOP / "build/release/tools"
BIN = pathlib.Path(os.environ.get("FRESHET_BIN") or TOP / "bin")
READY_S = 60


def body_of(size):
    """What fake_fetch and http_floor serve."""
    return bytes((i * 7 + i // 251) & 255 for i in range(size))


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def wait_for(condition, what):
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"{what}: not within {READY_S} s")


def cores():
    """(the server's, everyone else's)"""
    all_of_them = sorted(os.sched_getaffinity(0))
    return ({all_of_them[-1]}, set(all_of_them[:-1]) or set(all_of_them))


def loaded(server, argv, pattern, tries=5):
    """By a tool that says how many answers it had (the pattern's first group): the groups, and the server's CPU seconds meanwhile. On a
    machine that gave them no time it tries again."""
    before = server.cpu_s()
    out = subprocess.run(["taskset", "-c", ",".join(map(str, cores()[1])), *map(str, argv)], capture_output=True, text=True, check=True).stdout
    spent = server.cpu_s() - before
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{server.name}: {out}")
    found = re.search(pattern, out).groups()
    if int(found[0]):
        return found, spent
    return loaded(server, argv, pattern, tries - 1) if tries > 1 else sys.exit(f"{server.name} answered nothing: {out}")


def ratio(values, one, other):
    """Of two servers, from the rounds of each: the median of what they were round by round."""
    return statistics.median(x / y for x, y in zip(values[one], values[other]))


def turns(servers, rounds):
    """Each server in each round, and none always the first after the pause."""
    for n in range(rounds):
        for i in range(len(servers)):
            yield servers[(n + i) % len(servers)]


class Aims:
    """What a figure is to be, beside what it was. Nothing fails by it: a busy machine misses what a quiet one keeps."""

    def __init__(self):
        self.rows = []

    def most(self, what, value, bound):
        self.rows.append((what, value, "≤", bound, value <= bound))

    def least(self, what, value, bound):
        self.rows.append((what, value, "≥", bound, value >= bound))

    def print(self):
        for what, value, sign, bound, kept in self.rows:
            print(f"aim       {what}: {value:.3g}, to be {sign} {bound:g}: {'kept' if kept else 'missed'}")


class Server:
    def __init__(self, name, process, base, admin=0):
        self.name, self.process, self.base, self.admin = name, process, base, admin

    @property
    def port(self):
        return int(self.base.rpartition(":")[2])

    def pids(self):
        """The process and its workers."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def cpu_s(self):
        """Of all their threads, in nanoseconds and not in ticks of the clock."""
        return self._schedstat(0)

    def waited_s(self):
        """For how long they had something to do, and their core did something else. That is what others on the machine do to a figure."""
        return self._schedstat(1)

    def _schedstat(self, column):
        return sum(int(task.read_text().split()[column]) for pid in self.pids()
                   for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1)) * 1024

    def kernel(self):
        """What the kernel has for this server's ends of its connections, in bytes: to be read, to be sent, and taken for that."""
        said = subprocess.run(["ss", "-tmnHO", "state", "established", f"( sport = :{self.port} )"], capture_output=True, text=True,
                              check=True)
        return sum(int(n) for found in re.findall(r"skmem:\(r(\d+),.*?,f(\d+),w(\d+),", said.stdout) for n in found)

    def metric(self, name):
        """Of a daemon: the sum over its labels."""
        text = get(f"http://127.0.0.1:{self.admin}/metrics").decode()
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", text, re.M)
        return sum(map(float, found)) if found else sys.exit(f"{self.name} does not tell {name}")


class Rig:
    def __init__(self, name):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"freshet-{name}-"))
        self.memory = None  # a folder that is no disk's
        self.running, self.reserved, self.edges = [], [], 0
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # whoever ends a bench ends its servers too
        self.files = files[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            end(process)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.memory:
            shutil.rmtree(self.memory, ignore_errors=True)

    def port(self):
        """Bound but not listening until the rig ends: nobody else gets it but by its number."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        self.reserved.append(s)
        return s.getsockname()[1]

    def spawn(self, argv, cpus=None, **options):
        process = subprocess.Popen([str(word) for word in argv], preexec_fn=cpus and (lambda: os.sched_setaffinity(0, cpus)), **options)
        self.running.append(process)
        return process

    def stop(self, *servers):
        for server in servers:
            process = getattr(server, "process", server)
            end(process)
            self.running.remove(process)

    def origin(self, *options):
        """A made-up one; its FETCH port."""
        port = self.port()
        process = self.spawn([TOOLS / "fake_fetch", "--port", port, *options], cores()[1], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             text=True)
        if process.stdout.readline() != "ready\n":
            sys.exit("fake_fetch does not start")
        return Server("origin", process, f"fetch://127.0.0.1:{port}")

    def edge(self, above, sets=None, threads=1, cpus=None, ready=True):
        """above: the servers it asks. What bounds strangers is wide enough for a crowd that has one address, and for
        one that a busy machine keeps from asking and reading."""
        self.edges += 1
        http, admin, fetch = self.port(), self.port(), self.port()
        keys = {"id": f"edge-{self.edges}", "http_port": http, "fetch_port": fetch, "admin_port": admin, "http_threads": threads,
                "origins": ",".join(f"127.0.0.1:{server.fetch if server.name == 'edged' else server.port}" for server in above),
                "log_level": "warn", "drain_ms": 0, "connections_max": 100000, "misses_per_s": 0, "misses_of_one_per_s": 0,
                "header_deadline_ms": 60000, "min_rate_bytes_s": 0, **(sets or {})}
        with open(self.directory / f"edge-{self.edges}.log", "wb") as log:
            process = self.spawn([BIN / "edged", *(w for k, v in keys.items() for w in ("--set", f"{k}={v}"))], cpus or cores()[0], stderr=log)
        server = Server("edged", process, f"http://127.0.0.1:{http}", admin)
        server.fetch, server.above = keys["fetch_port"], list(above)
        if ready:
            self.wait_ready(server)
        return server

    def wait_ready(self, edge):
        def ready():
            if edge.process.poll() is not None:
                sys.exit("edged does not start: " + "".join(log.read_text() for log in self.directory.glob("edge-*.log"))[-2000:])
            return get(f"http://127.0.0.1:{edge.admin}/readyz")
        wait_for(ready, "edged is ready")

    def floor(self, *options, name="bare write"):
        """What merely handing the bytes to the kernel costs."""
        port = self.port()
        process = self.spawn([TOOLS / "http_floor", "--port", port, *options], cores()[0], stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            sys.exit("http_floor does not start")
        return Server(name, process, f"http://127.0.0.1:{port}")

    def nginx(self, sizes):
        """One worker that serves objects /SIZE.m4s: [from its cache, from files in memory, from files on the temporary folder's disk]."""
        self.memory = self.memory or pathlib.Path(tempfile.mkdtemp(prefix="freshet-bench-", dir="/dev/shm"))
        ports = {"nginx cache": self.port(), "nginx tmpfs": self.port(), "nginx disk": self.port()}
        for root in (self.directory / "root", self.memory / "root"):
            root.mkdir()
            for size in sizes:
                (root / f"{size}.m4s").write_bytes(body_of(size))
        fields = ('add_header Access-Control-Allow-Origin *; add_header Cache-Control "max-age=31536000, immutable"; '
                  "add_header Timing-Allow-Origin *;")
        (self.directory / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {self.directory}/nginx.pid; error_log {self.directory}/error.log; user root;
            worker_rlimit_nofile {self.files};
            events {{ worker_connections 16384; multi_accept on; }}
            http {{
              access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 100000000;
              open_file_cache max=100; types {{ video/mp4 m4s; }}
              proxy_cache_path {self.memory}/cache keys_zone=all:10m; proxy_temp_path {self.memory}/temp;
              server {{ listen 127.0.0.1:{ports["nginx cache"]} backlog=4096; {fields}
                        location / {{ proxy_pass http://127.0.0.1:{ports["nginx disk"]}; proxy_cache all; proxy_cache_lock on;
                                      proxy_cache_valid 200 1h; proxy_hide_header Access-Control-Allow-Origin; proxy_hide_header Cache-Control;
                                      proxy_hide_header Timing-Allow-Origin; proxy_ignore_headers Cache-Control; }} }}
              server {{ listen 127.0.0.1:{ports["nginx tmpfs"]} backlog=4096; root {self.memory}/root; {fields} }}
              server {{ listen 127.0.0.1:{ports["nginx disk"]} backlog=4096; root {self.directory}/root; {fields} }}
            }}""")
        process = self.spawn([shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"],
                             cores()[0], stderr=subprocess.DEVNULL)
        servers = [Server(name, process, f"http://127.0.0.1:{port}") for name, port in ports.items()]
        for server in servers:
            wait_for(lambda: get(f"{server.base}/{sizes[0]}.m4s"), "nginx is ready")
        return servers

    def start_crowd(self, what, server, *options, cpus=None):
        """To be given to said()."""
        return self.spawn([TOOLS / "viewers", what, "--port", server.port, *options], cpus or cores()[1], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True)

    def said(self, child):
        """What tests/tools/viewers saw; then its viewers leave."""
        line = child.stdout.readline()
        child.communicate()
        self.running.remove(child)
        return json.loads(line) if line else sys.exit("viewers ended without a word")

    def crowd(self, *what, cpus=None):
        return self.said(self.start_crowd(*what, cpus=cpus))


def end(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def fetches(edge):
    """{key: how many FETCHes the made-up origin above had for it}. The counts are an object too, fresh for no longer than a moment."""
    time.sleep(1.1)
    return json.loads(get(f"{edge.base}/live/counts/manifest.mpd"))
