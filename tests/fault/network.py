"""A cluster whose nodes live in network namespaces of their own, joined by a switch that can lose, delay and cut
(tests/tools/lossy_switch.c)."""
import json
import os
import re
import signal
import subprocess

import pytest

import harness
from faults import LADDER, FaultCluster

SWITCH = os.path.join(os.path.dirname(harness.STAMP), "lossy_switch")
TESTER = "tester"  # the port of this machine itself: broadcasters, viewers, metrics
PREFIXES = [("ingestd", "ingest"), ("transcoderd", "transcoder"), ("originD", "origin"), ("edged", "edge")]


def ip(*argv, check=True):
    return subprocess.run(["ip", *argv], capture_output=True, check=check)


def require():
    """Skips where the kernel or our rights do not allow it."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces: only root may make them")
    name = f"fn{os.getpid()}"
    tried = ip("netns", "add", name, check=False)
    if tried.returncode:
        pytest.skip(f"network namespaces: {tried.stderr.decode().strip()}")
    ip("netns", "del", name)
    forget_left_behind()
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("network namespaces: there is no /dev/net/tun")


def forget_left_behind():
    """Namespaces, and the nodes in them, of a run that was killed."""
    for name in re.findall(r"^freshet-\d+-\S+", ip("netns", "list").stdout.decode(), re.M):
        if os.path.exists(f"/proc/{name.split('-')[1]}"):
            continue
        for pid in ip("netns", "pids", name, check=False).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", name, check=False)


def free_subnet():
    """Three bytes out of 198.18.0.0/15, which is for tests."""
    used = ip("-o", "-4", "addr").stdout.decode()
    numbers = ((os.getpid() + n) % 512 for n in range(512))
    return next(s for s in (f"198.{18 + n // 256}.{n % 256}" for n in numbers) if f" {s}." not in used)


class Switch:
    def __init__(self, seed, ports):
        self.ports = {name: i for i, name in enumerate(ports)}
        self.devices = [f"f{os.getpid() % 100000}x{i}" for i in range(len(ports))]
        self.process = harness.spawn([SWITCH, seed, *self.devices], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def _say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def _set(self, what, one, others, *value):
        for other in others:
            assert self._say(what, self.ports[one], self.ports[other], *value) == ["ok"]

    def cut(self, one, *others):
        self._set("cut", one, others)

    def heal(self, one, *others):
        self._set("heal", one, others)

    def heal_all(self):
        assert self._say("heal", "*", "*") == ["ok"]

    def loss(self, one, *others, percent):
        self._set("loss", one, others, int(percent * 10000))

    def delay(self, one, *others, ms):
        self._set("delay", one, others, ms)

    def path(self, one, *others, rtt_ms, percent=0, mbit=0):
        """A way of that round trip, loss in each direction, and rate in each direction; 0: any."""
        self._set("path", one, others, rtt_ms // 2, int(percent * 10000), int(mbit * 1000))

    def counts(self):
        _, passed, lost = self._say("count")
        return int(passed), int(lost)

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


class NetworkCluster(FaultCluster):
    """As FaultCluster; .switch between all nodes. Broadcasters and viewers are at the port TESTER, which stays connected to
    every node unless it is cut itself."""

    def __init__(self, directory, seed=1, ladder=LADDER, sets=(), ingests=2, transcoders=2, origins=2, edges=2):
        self.dir, self.publishers = str(directory), []
        os.makedirs(self.dir, exist_ok=True)
        names = [f"{prefix}-{n}" for (_, prefix), count in zip(PREFIXES, (ingests, transcoders, origins, edges))
                 for n in range(1, count + 1)]
        self.subnet = free_subnet()
        self.namespaces = []
        self.switch = Switch(seed, [TESTER, *names])
        try:
            self._wire(names)
            self._plan(names, [*sets, f"transcoderd.ladder={json.dumps(ladder)}"])
            self.do("start", *names)
        except BaseException:
            self._unwire()
            raise

    def _address(self, name):
        return f"{self.subnet}.{self.switch.ports[name] + 1}"

    def _wire(self, names):
        for name in [TESTER, *names]:
            device = self.switch.devices[self.switch.ports[name]]
            inside = []
            if name != TESTER:
                namespace = f"freshet-{os.getpid()}-{name}"
                ip("netns", "add", namespace)
                self.namespaces.append(namespace)
                ip("link", "set", device, "netns", namespace)
                inside = ["-n", namespace]
                ip(*inside, "link", "set", "lo", "up")
            ip(*inside, "addr", "add", f"{self._address(name)}/24", "dev", device)
            ip(*inside, "link", "set", device, "up")

    def _unwire(self):
        for namespace in self.namespaces:
            ip("netns", "del", namespace, check=False)
        self.switch.end()

    def _config(self, name, role, names):
        def all_of(prefix, port):
            return ",".join(f"{self._address(n)}:{port}" for n in names if n.startswith(prefix + "-"))
        config = {"id": name, "bind": self._address(name), "admin_bind": self._address(name), "insecure": True,
                  "cluster_token": "of the test"}
        config.update({"ingestd": {"rtmp_port": 1935, "admin_port": 9190, "transcoders": all_of("transcoder", 9201)},
                       "transcoderd": {"port": 9201, "admin_port": 9290, "origins": all_of("origin", 9301)},
                       "originD": {"port": 9301, "fetch_port": 9302, "http_port": 8081, "admin_port": 9390,
                                   "peers": all_of("origin", 9302), "data_dir": os.path.join(self.dir, "data", name)},
                       "edged": {"http_port": 8080, "fetch_port": 9402, "admin_port": 9490, "origins": all_of("origin", 9302)}}[role])
        return config

    def _plan(self, names, sets):
        """What deploy/local would have written; each program is started by a script that enters its namespace first."""
        binaries = os.environ.get("FRESHET_BIN") or os.path.join(harness.TOP, "bin")
        nodes = []
        for role, prefix in PREFIXES:
            for name in (n for n in names if n.startswith(prefix + "-")):
                config, path = self._config(name, role, names), os.path.join(self.dir, name)
                if "data_dir" in config:
                    os.makedirs(config["data_dir"], exist_ok=True)
                with open(path + ".json", "w", encoding="utf-8") as f:
                    json.dump(config, f, indent=1)
                with open(path + ".sh", "w", encoding="utf-8") as f:
                    f.write(f'#!/bin/sh\nexec ip netns exec freshet-{os.getpid()}-{name} "{binaries}/{role}" "$@"\n')
                os.chmod(path + ".sh", 0o755)
                open(path + ".log", "wb").close()
                http = f"http://{config['bind']}:"
                node = {"id": name, "role": role, "pid": 0, "admin": http + str(config["admin_port"]), "log": path + ".log"}
                if "rtmp_port" in config:
                    node["rtmp"] = f"rtmp://{config['bind']}:{config['rtmp_port']}/live"
                if "http_port" in config:
                    node["http"] = http + str(config["http_port"])
                node["argv"] = [path + ".sh", "--config", path + ".json"]
                for setting in sets:
                    who, _, what = setting.partition(".")
                    node["argv"] += ["--set", what] if who in (role, name) else []
                nodes.append(node)
        with open(os.path.join(self.dir, "cluster.json"), "w", encoding="utf-8") as f:
            json.dump({"nodes": nodes}, f, indent=1)

    def others(self, name, *prefixes):
        """All nodes of these tiers but this one."""
        return [n for p in prefixes for n in self.names(p) if n != name]

    def isolate(self, name):
        """From every node; the tester still sees it."""
        self.switch.cut(name, *self.others(name, "ingest", "transcoder", "origin", "edge"))

    def down(self):
        self.switch.heal_all()
        for node in self.nodes().values():
            if harness.process_state(node):
                os.kill(node["pid"], signal.SIGCONT)
        try:
            super().down()
        finally:
            self._unwire()
