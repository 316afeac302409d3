"""The dashboard: a page for a browser, and a small HTTP server for it.

The server looks at the nodes every few seconds with the operator's token and keeps the last minutes for the charts; the page
asks only this server, so it needs no token and the daemons no endpoint of its own. Streams' pictures come straight from the
edges, as any viewer's do. On loopback it is open to this machine's people, and refuses a Host that is not loopback's (a web
page elsewhere could otherwise have its name point here); anywhere else it wants a password."""
import base64
import collections
import hmac
import http.server
import ipaddress
import json
import os
import socket
import sys
import threading
import time
import urllib.request
from urllib.parse import urlsplit

import nodes as net
import view

HERE = os.path.dirname(os.path.realpath(__file__))
KEPT = 450               # looks that the charts go back
ANSWER_WITHIN_S = 10     # a request's header
ALERTS_MAX_BYTES = 4 << 20
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}


def split_listen(text):
    try:
        parts = urlsplit(f"//{text}")
        port, host = parts.port, parts.hostname
        address = ipaddress.ip_address(host)
    except ValueError:
        port = None
    if port is None:
        raise net.Usage(f"--listen: given '{text}', allowed is ADDRESS:PORT with a numeric address, e.g. 127.0.0.1:9590")
    return str(address), port, address.is_loopback


def check_url(text, what):
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or set(text) & set(" ;,'\"\\"):
        raise net.Usage(f"{what}: given '{text}', allowed is an http or https URL, e.g. https://live.example")
    return text.rstrip("/")


def find_player():
    """dash.js lies with the edges' web pages."""
    for path in (os.path.join(HERE, "..", "..", "build", "web", "dash.js"), os.path.join(HERE, "..", "web", "dash.js")):
        if os.path.exists(path):
            return path
    return None


# ---- looking ----------------------------------------------------------------------------------------------------------

def point_of(picture):
    """What the charts keep of one picture."""
    t, latency = picture["totals"], picture["latency"]
    return {"t": time.time(), "viewers": t["viewers"], "requests": t["requests_s"], "joined": t["joined_s"],
            "errors": t["errors_s"], "hits": t["hit_ratio"], "bytes_in": t["bytes_in_s"], "failovers": t["failovers"],
            "headroom": {n["id"]: n["numbers"]["headroom"] for n in picture["nodes"] if n["numbers"].get("headroom") is not None},
            "free": {n["id"]: n["numbers"]["free_bytes"] for n in picture["nodes"] if "free_bytes" in n["numbers"]},
            "edge50": latency["edge"]["p50"], "edge95": latency["edge"]["p95"], "stored95": latency["stored"]["p95"],
            "encoded95": latency["encoded"]["p95"]}


def prometheus_alerts(url, timeout):
    """Firing alerts, in the shape of view.py's problems."""
    request = urllib.request.Request(f"{url}/api/v1/alerts", headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        alerts = json.loads(answer.read(ALERTS_MAX_BYTES))["data"]["alerts"]
    out = []
    for alert in alerts:
        labels, severity = alert["labels"], alert["labels"].get("severity", "warning")
        if alert["state"] == "firing":
            out.append({"severity": severity if severity in view.SEVERITY else "warning", "alert": labels.get("alertname", ""),
                        "node": "", "text": alert.get("annotations", {}).get("summary", labels.get("alertname", "")),
                        "since": alert.get("activeAt", "")})
    return sorted(out, key=lambda p: view.SEVERITY[p["severity"]])


class Looker(threading.Thread):
    """Looks again and again. What it saw last is read under the lock."""

    def __init__(self, finder, every, watch, prometheus):
        super().__init__(daemon=True)
        self.watcher, self.every, self.watch, self.prometheus = view.Watcher(finder), every, watch, prometheus
        self.lock, self.points, self.text = threading.Lock(), collections.deque(maxlen=KEPT), None
        self.looked = threading.Event()
        self.media = ""  # from where the page may get media, for its policy
        self.note_media(watch)

    def run(self):
        while True:
            began = time.monotonic()
            try:
                self.look()
            except (net.Failure, OSError, ValueError, KeyError, TypeError) as error:
                # Whatever a node or Prometheus says, the next look comes.
                self.tell({"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "error": str(error) or type(error).__name__})
            self.looked.set()
            time.sleep(max(0.2, self.every - (time.monotonic() - began)))

    def look(self):
        picture = self.watcher.look()
        self.points.append(point_of(picture))
        picture["alerts_from"] = "nodes"
        if self.prometheus:
            try:
                picture["problems"], picture["alerts_from"] = prometheus_alerts(self.prometheus, self.watcher.finder.timeout), "prometheus"
            except (OSError, ValueError, KeyError, TypeError) as error:
                picture["problems"].insert(0, {"severity": "warning", "alert": "", "node": "", "text":
                                               f"Prometheus at {self.prometheus} does not answer ({error}); what follows the tool sees itself"})
        picture["watch"] = self.watch or self.public_edge()
        self.note_media(picture["watch"])
        picture["every_s"] = self.every
        picture["points"] = list(self.points)
        self.tell(picture)

    def public_edge(self):
        """Where deploy/local has an edge; None: it is not known where viewers watch."""
        addresses, _ = self.watcher.finder.find()
        return next((a.public for a in addresses if a.public), None)

    def note_media(self, url):
        parts = urlsplit(url) if url else None
        self.media = f" {parts.scheme}://{parts.netloc}" if parts else ""

    def tell(self, value):
        text = json.dumps(value).encode()
        with self.lock:
            self.text = text

    def last(self):
        self.looked.wait(ANSWER_WITHIN_S)
        with self.lock:
            return self.text or b'{"error": "nothing has been looked at yet"}'


# ---- serving ----------------------------------------------------------------------------------------------------------

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32

    def __init__(self, host, port, loopback, password, looker):
        self.loopback, self.password, self.looker = loopback, password, looker
        self.slots = threading.BoundedSemaphore(32)
        if ":" in host:
            self.address_family = socket.AF_INET6
        self.files = {}  # read once: an upgrade under a running server changes nothing of it
        folder = os.path.join(HERE, "page")
        for name in os.listdir(folder):
            self.take("/" if name == "index.html" else f"/{name}", os.path.join(folder, name))
        player = find_player()
        if player:
            self.take("/dash.js", player)
        super().__init__((host, port), Handler)

    def take(self, url, path):
        with open(path, "rb") as f:
            self.files[url] = TYPES[os.path.splitext(path)[1]], f.read()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a browser that went away is nothing to tell
            super().handle_error(request, client_address)

    def process_request(self, request, client_address):
        if not self.slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()


class Handler(http.server.BaseHTTPRequestHandler):
    timeout = ANSWER_WITHIN_S
    server_version, sys_version = "freshet", ""

    def do_GET(self):
        if self.server.loopback and not self.host_is_loopback():
            self.say(403, "text/plain", b"Host: allowed are localhost and loopback addresses\n")
        elif self.server.password and not self.knows_password():
            self.say(401, "text/plain", b"a password is needed\n", {"WWW-Authenticate": 'Basic realm="Freshet", charset="UTF-8"'})
        elif self.path == "/picture":
            self.say(200, "application/json", self.server.looker.last())
        elif self.path in self.server.files:
            self.say(200, *self.server.files[self.path])
        else:
            self.say(404, "text/plain", b"there is nothing here\n")

    def host_is_loopback(self):
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def knows_password(self):
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        try:
            password = base64.b64decode(given, validate=True).partition(b":")[2]
        except ValueError:
            return False
        return kind.lower() == "basic" and hmac.compare_digest(password, self.server.password.encode())

    def say(self, status, content_type, body, more=()):
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store",
                            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
                            "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
                            f"connect-src 'self'{self.server.looker.media}; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                            **dict(more)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def run(finder, args):
    host, port, loopback = split_listen(args.listen)
    password = net.read_secret(args.password_file) if args.password_file else ""
    if args.password_file and len(password) < 8:
        raise net.Usage(f"the password in {args.password_file} has {len(password)} characters; allowed are 8 and more")
    if not loopback and not password:
        raise net.Usage(f"--listen {args.listen} is not loopback: who reaches it would see everything. Give --password-file, or stay on "
                        "127.0.0.1 and come by ssh -L 9590:127.0.0.1:9590")
    watch = args.watch or finder.settings.get("watch")
    prometheus = args.prometheus or finder.settings.get("prometheus")
    looker = Looker(finder, args.every, check_url(watch, "--watch") if watch else None,
                    check_url(prometheus, "--prometheus") if prometheus else None)
    try:
        server = Server(host, port, loopback, password, looker)
    except OSError as error:
        raise net.Failure(f"cannot listen on {args.listen}: {error.strerror}")
    looker.start()
    print(f"The dashboard is at http://{f'[{host}]' if ':' in host else host}:{server.server_port}/ (Ctrl-C ends it)", flush=True)
    if "/dash.js" not in server.files:
        print("freshet: there is no dash.js beside it, so streams are shown without their picture; `make web` gets it", file=sys.stderr)
    server.serve_forever()
    return 0
