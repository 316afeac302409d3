"""A Docker engine for the check: the one that is there, or one of our own, in folders of our own, which leaves no trace."""
import os
import re
import shutil
import subprocess
import tempfile
import time

START_S = 60
STOP_S = 60
OURS = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")  # bridges an engine leaves behind
TABLES = ("iptables", "ip6tables")


class NoEngine(Exception):
    """Why there cannot be one here."""


def answers(host=None):
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    return shutil.which("docker") and subprocess.run(["docker", "info"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                                     timeout=30, check=False).returncode == 0


class Engine:
    """with Engine(data) as engine: … docker commands find it by DOCKER_HOST. data: folder where an own one keeps its images, so
    that a second run is quick."""

    def __init__(self, data):
        self.data, self.own, self.process, self.log = data, False, None, None

    def __enter__(self):
        if answers():
            return self
        if os.geteuid() != 0:
            raise NoEngine("no Docker engine answers, and only root can start one")
        if not shutil.which("dockerd"):
            raise NoEngine("no Docker engine answers, and there is no dockerd to start")
        self._start()
        return self

    def _start(self):
        self.own = True
        self.dir = tempfile.mkdtemp(prefix="freshet-engine-")  # short: a socket's path may have 107 bytes
        self.before = {t: subprocess.run([f"{t}-save"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
                       for t in TABLES if shutil.which(f"{t}-save")}
        self.forward = read("/proc/sys/net/ipv4/ip_forward")
        self.links = set(os.listdir("/sys/class/net"))
        os.makedirs(self.data, exist_ok=True)
        self.log = os.path.join(os.path.dirname(self.data), "dockerd.log")
        host = f"unix://{self.dir}/docker.sock"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--host", host, "--data-root", self.data, "--exec-root", f"{self.dir}/exec",
                 "--pidfile", f"{self.dir}/pid"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_S
        while not answers(host):
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = read(self.log).splitlines()
                self.__exit__()
                raise NoEngine(f"dockerd does not run here: {said[-1] if said else 'it said nothing'}")
            time.sleep(0.2)
        os.environ["DOCKER_HOST"] = host

    def __exit__(self, *_failure):
        if not self.own:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.environ.pop("DOCKER_HOST", None)
        for link in {n for n in os.listdir("/sys/class/net") if OURS.fullmatch(n)} - self.links:
            subprocess.run(["ip", "link", "delete", link], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for program, rules in self.before.items():
            restore(program, rules)
        with open("/proc/sys/net/ipv4/ip_forward", "w", encoding="ascii") as f:
            f.write(self.forward)
        shutil.rmtree(self.dir, ignore_errors=True)


def restore(program, rules):
    """The packet filter as it was. What was not there at all is emptied: *-restore leaves tables alone that it is not told of."""
    def quietly(*argv, **options):
        subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, **options)
    for table in ("nat", "filter"):
        if f"*{table}\n".encode() not in rules:
            quietly(program, "-t", table, "-F")
            quietly(program, "-t", table, "-X")
            if table == "filter":
                quietly(program, "-P", "FORWARD", "ACCEPT")
    quietly(f"{program}-restore", input=rules)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""
