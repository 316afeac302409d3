"""Freshet under an engine: under Compose, or under Swarm on one node. What both can be asked, and what is done to them."""
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
from urllib.parse import urlsplit

import harness

TOP = harness.TOP
PROJECT = "freshetcheck"
LADDER = [{"video": [{"height": 180, "kbps": 300}], "audio": [{"kbps": 96}]}]
PROGRAMS = {"ingest": "ingestd", "transcoder": "transcoderd", "origin": "originD", "edge": "edged"}
ADMIN = {"ingest": 9190, "transcoder": 9290, "origin": 9390, "edge": 9490}
LONG_S = 900


def run(*argv, seconds=LONG_S, check=True, env=None, **options):
    return harness.run(*argv, timeout=seconds, check=check, env={**os.environ, **(env or {})}, cwd=TOP, **options)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Stack(harness.Cluster):
    """dir: where it leaves what it made. https, rtmps: the balancer's addresses on loopback."""

    def __init__(self, directory):  # pylint: disable=super-init-not-called
        self.dir = str(directory)
        self.publishers = []
        rtmp, rtmps, http_, https = free_ports(4)
        self.settings = {"RTMP_PORT": rtmp, "RTMPS_PORT": rtmps, "HTTP_PORT": http_, "HTTPS_PORT": https,
                         "LADDER": json.dumps(LADDER, separators=(",", ":")), "PRIVATE": '["secret*"]',
                         "OPEN_FILES": min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])}
        self.env = {k: str(v) for k, v in self.settings.items()}
        self.https = f"https://localhost:{https}"
        self.http = f"http://localhost:{http_}"
        self.rtmps_base = f"rtmps://localhost:{rtmps}/live"
        self.context = None

    # ---- what tests of a cluster ask (harness.Cluster)

    def nodes(self):
        return {"balancer": {"http": self.https}}

    def names(self, _prefix):
        return ["balancer"]

    def url(self, path, edge="balancer"):
        return self.https + path

    def get(self, path, edge="balancer", headers=None, timeout=10):
        parts = urlsplit(self.https)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=self.context)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return harness.Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def setup(self, *command):
        """What a command of the tools image prints, with the trust of this cluster."""
        raise NotImplementedError

    def token(self, use, pattern):
        return self.setup("freshet-token", "make", use, pattern, "--for", "2h", "--keys", f"/trust/operator/{use}.keys").strip()

    def rtmp(self, stream, ingest="balancer"):
        return f"{self.rtmps_base}/{stream}?token={self.token('publish', stream)}"

    def override(self, version=""):
        """A file that lets transcoders take their time: where frames are counted, none is left out because this machine is busy."""
        path = os.path.join(self.dir, "override.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(version + 'services: {transcoder: {environment: {FRESHET_SHED_AFTER_MS: "60000"}}}\n')
        return path

    def trust(self, certificate):
        self.context = ssl.create_default_context(cadata=certificate)

    # ---- containers

    def containers(self, tier):
        """Ids of those that run; a tier is `origin` or one of its services, `origin-1`."""
        raise NotImplementedError

    def crash(self, container):
        """SIGKILL from outside, as the kernel does it when memory is short: the engine is not told, and starts it again."""
        pid = int(run("docker", "inspect", "-f", "{{.State.Pid}}", container).stdout)
        os.kill(pid, signal.SIGKILL)

    def ready(self, container, tier):
        return run("docker", "exec", container, PROGRAMS[tier], "--healthcheck=ready", check=False).returncode == 0

    def wait_whole(self, **counts):
        """As many containers of each tier as given, each ready."""
        for tier, count in counts.items():
            def whole(tier=tier, count=count):
                there = self.containers(tier)
                return len(there) == count and all(self.ready(c, tier) for c in there)
            harness.wait_until(whole, f"{count} of {tier} are ready", 120, every=0.3)

    def log_of(self, container):
        done = run("docker", "logs", "--tail", "2000", container, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    def memory(self):
        """[(container's name, what it uses, of what)]"""
        ids = [c for tier in (*PROGRAMS, "balancer", "prometheus") for c in self.containers(tier)]
        lines = run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids).stdout.decode().splitlines()
        return [(re.sub(rf"^{PROJECT}_|\.[a-z0-9]+$", "", name), usage) for name, _, usage in (line.partition(" ") for line in lines)]


class ComposeStack(Stack):
    def __init__(self, directory):
        super().__init__(directory)
        path = os.path.join(self.dir, "env")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(f"{k}={v}\n" for k, v in self.env.items())
        program = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
        self.files = [os.path.join(TOP, "deploy", "docker-compose.yml"), self.override()]
        self.command = [*program, "--env-file", path, "-p", PROJECT, *[word for f in self.files for word in ("-f", f)]]

    def compose(self, *arguments, **options):
        return run(*self.command, *arguments, **options)

    def images(self):
        """Those that `up` needs; Grafana is in a profile of its own."""
        shown = self.compose("config").stdout.decode()
        return sorted(i for i in set(re.findall(r"^ +image: [\"']?([^\s\"']+)", shown, re.M)) if not i.startswith("grafana/"))

    def build(self):
        self.compose("build")

    def up(self, **scale):
        self.scaled = {"ingest": 1, "transcoder": 1, "edge": 1, **scale}
        self.compose("up", "-d", *[f"--scale={tier}={n}" for tier, n in self.scaled.items()])
        self.trust(self.setup("cat", "/trust/operator/tls.crt"))

    def setup(self, *command):
        return self.compose("run", "--rm", "-T", "--no-deps", "setup", *command).stdout.decode()

    @staticmethod
    def image(name):
        with open(os.path.join(TOP, "VERSION"), encoding="ascii") as f:
            return f"freshet/{name}:{f.read().strip()}"

    def built(self):
        return all(run("docker", "image", "inspect", image, check=False).returncode == 0 for image in self.images())

    def scale(self, tier, count):
        self.scaled[tier] = count
        self.compose("up", "-d", "--no-recreate", *[f"--scale={t}={n}" for t, n in self.scaled.items()])

    def containers(self, tier):
        services = ["origin-1", "origin-2"] if tier == "origin" else [tier]
        return [c for service in services for c in
                run("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter",
                    f"label=com.docker.compose.service={service}", "--filter", "status=running").stdout.decode().split()]

    def roll(self, *services):
        env = {"COMPOSE_FILE": ":".join(self.files), "COMPOSE_PROJECT_NAME": PROJECT, **self.env}
        return run("deploy/roll", "--force", *services, env=env).stdout.decode()

    def logs(self):
        return self.compose("logs", "--no-color", "--tail=3000", check=False).stdout.decode(errors="replace")

    def down(self):
        self.compose("down", "-v", "--remove-orphans", "-t", "45", check=False)


class SwarmStack(Stack):
    """A Swarm of this one node; it must not be one yet."""

    TRUST = "check"
    VOLUME = "freshet-trust-of-check"

    def __init__(self, directory):
        super().__init__(directory)
        self.env.update(ORIGINS_PER_NODE="2", INGESTS="1", TRANSCODERS="2", EDGES="1", TRUST=self.TRUST, CONFIGS=self.TRUST,
                        TRUST_VOLUME=self.VOLUME)
        self.began = False

    @staticmethod
    def active():
        return run("docker", "info", "-f", "{{.Swarm.LocalNodeState}}").stdout.strip() == b"active"

    @staticmethod
    def others():
        return run("docker", "ps", "-q").stdout.decode().split()

    def up(self):
        run("docker", "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", f"127.0.0.1:{free_ports(1)[0]}")
        self.began = True
        node = run("docker", "node", "ls", "-q").stdout.decode().strip()
        run("docker", "node", "update", "--label-add", "store=true", "--label-add", "front=true", node)
        run("deploy/swarm-trust", self.TRUST, env=self.env)
        run("docker", "stack", "deploy", "--resolve-image", "never", "-c", "deploy/stack.yml", "-c",
            self.override('version: "3.8"\n'), PROJECT, env=self.env)
        self.trust(self.setup("cat", "/trust/operator/tls.crt"))

    def setup(self, *command):
        image = ComposeStack.image("tools")
        return run("docker", "run", "--rm", "--network", "none", "-v", f"{self.VOLUME}:/trust", image, *command).stdout.decode()

    def containers(self, tier):
        return run("docker", "ps", "-q", "--filter", f"label=com.docker.swarm.service.name={PROJECT}_{tier}",
                   "--filter", "status=running").stdout.decode().split()

    def scale(self, tier, count):
        run("docker", "service", "scale", "--detach=false", f"{PROJECT}_{tier}={count}")

    def roll(self, *tiers):
        for tier in tiers:
            run("docker", "service", "update", "--force", "--detach=false", "-q", f"{PROJECT}_{tier}")

    def logs(self):
        names = run("docker", "service", "ls", "--format", "{{.Name}}", check=False).stdout.decode().split()
        return "\n".join(run("docker", "service", "logs", "--raw", "--tail", "2000", n, check=False).stdout.decode(errors="replace") for n in names)

    def down(self):
        if not self.began:
            return
        run("docker", "stack", "rm", PROJECT, check=False)
        label = f"label=com.docker.stack.namespace={PROJECT}"
        harness.wait_until(lambda: not run("docker", "ps", "-aq", "--filter", label).stdout.strip(), "the stack is gone", 120, every=0.5)
        run("docker", "swarm", "leave", "--force", check=False)
        volumes = run("docker", "volume", "ls", "-q").stdout.decode().split()
        for volume in volumes:
            if volume.startswith(PROJECT + "_") or volume == self.VOLUME:
                run("docker", "volume", "rm", volume, check=False)
