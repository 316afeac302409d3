"""Where a cluster's nodes are, and how they are asked: addresses, the token, one HTTP request, many at once.

A node that cannot be reached, one that refuses us and one that has nothing to tell are three things, and each is said in
words that name the node and what to do."""
import concurrent.futures
import http.client
import json
import os
import re
import socket
import ssl
from urllib.parse import urlsplit

AT_ONCE = 16          # requests
ANSWER_MAX = 8 << 20  # bytes of one answer
CONFIG_PATHS = ("/etc/freshet/freshet.json",)
ROLES = ("ingestd", "transcoderd", "originD", "edged")  # as the media flows


class Failure(Exception):
    """Told to the person as it is."""


class Usage(Failure):
    """What was asked for cannot be: exit status 2."""


class NoAnswer(Failure):
    """The node at an address cannot be asked. what: unreachable, refused (token) or broken."""

    def __init__(self, what, text, status=0):
        super().__init__(text)
        self.what, self.status = what, status


class Address:
    """One admin port. shown is what the person calls it."""

    def __init__(self, host, port, token="", shown=None, tls=False, role="", public=None):
        self.host, self.port, self.token, self.tls = host, port, token, tls
        self.shown = shown or f"{host}:{port}"
        self.role = role      # what it is known to be before it says so
        self.public = public  # where this node serves viewers, if that is known

    def __eq__(self, other):
        return (self.host, self.port) == (other.host, other.port)

    def __hash__(self):
        return hash((self.host, self.port))


# ---- finding them -----------------------------------------------------------------------------------------------------

def read_secret(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"cannot read the token in {path}: {getattr(error, 'strerror', None) or error}")


def read_json(path, what):
    try:
        with open(path, encoding="utf-8") as f:
            value = json.load(f)
    except OSError as error:
        raise Usage(f"cannot read {what} {path}: {error.strerror}")
    except ValueError as error:
        raise Usage(f"{path} is no JSON: {error}")
    if not isinstance(value, dict):
        raise Usage(f"{path} holds no JSON object")
    return value


def split_address(text):
    """host:port, [v6]:port, or http(s)://host:port → host, port, whether by TLS."""
    url = text if "://" in text else f"http://{text}"
    host = port = None
    if re.fullmatch(r"https?://[^/?#@\s]+/?", url):
        try:
            host, port = urlsplit(url).hostname, urlsplit(url).port
        except ValueError:
            pass
    if not host or not port:
        raise Usage(f"'{text}' is no admin address; allowed are host:port and http://host:port, e.g. origin:9390")
    return host, port, url.startswith("https:")


def local_token(directory, node):
    """As the node's own configuration has it: --set wins over the file."""
    path, config = os.path.join(directory, node["id"] + ".json"), {}
    if os.path.exists(path):
        config = read_json(path, "the configuration")
    for argument in node.get("argv", []):
        key, equals, value = argument.partition("=")
        if equals and key in ("admin_token", "admin_token_file"):
            config = {key: value}
    return read_secret(config["admin_token_file"]) if config.get("admin_token_file") else config.get("admin_token", "")


def local_cluster(directory):
    """The nodes of a cluster.json that deploy/local wrote."""
    cluster = read_json(os.path.join(directory, "cluster.json"), "the cluster")
    out = []
    for node in cluster.get("nodes", []):
        host, port, tls = split_address(node["admin"])
        out.append(Address(host, port, local_token(directory, node), shown=node["id"], tls=tls, role=node["role"],
                           public=node.get("http") if node["role"] == "edged" else None))
    return out


class Finder:
    """Says again and again where the nodes are: a name stands for every address that DNS gives it now."""

    def __init__(self, directory=None, admin=None, token=None, timeout=3.0):
        self.timeout, self.directory = timeout, None
        self.settings = self._settings()
        self.token = token if token is not None else self._token()
        self.names = []
        text = admin if admin is not None else None
        if directory is None and text is None:
            text = os.environ.get("FRESHET_ADMIN")
        if directory is None and text is None and self.settings.get("admin"):
            listed = self.settings["admin"]
            text = ",".join(listed) if isinstance(listed, list) and all(isinstance(x, str) for x in listed) else None
            if text is None:
                raise Usage("\"admin\" of the configuration is no list of addresses, [\"origin:9390\", …]")
        if directory is not None:
            self.directory = directory
        elif text is not None:
            self.names = [split_address(part.strip()) for part in text.split(",") if part.strip()]
            if not self.names:
                raise Usage("the list of admin addresses is empty")
        elif os.path.exists("run/local/cluster.json"):
            self.directory = "run/local"
        else:
            raise Usage("there is no telling where the nodes are. Say it with one of\n"
                        "  --dir DIR                  of a cluster that deploy/local started\n"
                        "  --admin host:port[,…]      admin addresses; a name stands for every address it has\n"
                        "  FRESHET_ADMIN              the same, in the environment\n"
                        f"  {CONFIG_PATHS[0]}  {{\"admin\": [\"host:port\", …], \"token_file\": \"…\"}}")

    @staticmethod
    def _settings():
        given = os.environ.get("FRESHET_CONFIG")
        for path in [given] if given else [p for p in CONFIG_PATHS if os.path.exists(p)]:
            return read_json(path, "the configuration")
        return {}

    def _token(self):
        if os.environ.get("FRESHET_ADMIN_TOKEN"):
            return os.environ["FRESHET_ADMIN_TOKEN"]
        path = os.environ.get("FRESHET_ADMIN_TOKEN_FILE") or self.settings.get("token_file")
        return read_secret(path) if path else ""

    def find(self):
        """Addresses, and sentences about names that have none."""
        if self.directory is not None:
            found = local_cluster(self.directory)
            for address in found:
                address.token = address.token or self.token
            return found, []
        found, trouble = {}, []
        for host, port, tls in self.names:
            try:
                infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                trouble.append(f"{host}: the name has no address ({error.strerror})")
                continue
            numeric = {info[4][0] for info in infos}
            if host in ("localhost", "localhost.localdomain") and "127.0.0.1" in numeric:
                numeric = {"127.0.0.1"}
            for ip in sorted(numeric):
                shown = f"{host}:{port}" if len(numeric) == 1 else f"{host}[{ip}]:{port}"
                found.setdefault((ip, port), Address(ip, port, self.token, shown=shown, tls=tls))
        return list(found.values()), trouble


# ---- asking them ------------------------------------------------------------------------------------------------------

def ask(address, method, path, body=None, timeout=3.0):
    """The answer's bytes and headers. NoAnswer says why there is none."""
    kind = http.client.HTTPSConnection if address.tls else http.client.HTTPConnection
    connection = kind(address.host, address.port, timeout=timeout)
    headers = {"Accept": "application/json", "Connection": "close"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=data, headers=headers)
        answer = connection.getresponse()
        content = answer.read(ANSWER_MAX + 1)
    except ssl.SSLError as error:
        raise NoAnswer("unreachable", f"TLS does not come about: {error.reason or error}")
    except ConnectionRefusedError:
        raise NoAnswer("unreachable", "nobody listens there: it is not running, or its admin_bind or admin_port is another")
    except TimeoutError:
        raise NoAnswer("unreachable", f"no answer within {timeout:g} s")
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer("unreachable", getattr(error, "strerror", None) or str(error) or type(error).__name__)
    finally:
        connection.close()
    if len(content) > ANSWER_MAX:
        raise NoAnswer("broken", f"its answer to {path} is over {ANSWER_MAX >> 20} MiB")
    if answer.status == 401:
        raise NoAnswer("refused", "it asks for another token (its admin_token): " +
                       ("--token-file, FRESHET_ADMIN_TOKEN or FRESHET_ADMIN_TOKEN_FILE" if not address.token else
                        "the one given is not it"), 401)
    if answer.status >= 400:
        raise NoAnswer("broken", said(content) or f"it answers {answer.status} to {method} {path}", answer.status)
    return content, answer.headers


def said(content):
    """The sentence of a JSON error."""
    try:
        error = json.loads(content).get("error", "")
        return error if isinstance(error, str) else ""
    except (ValueError, AttributeError):
        return ""


def ask_json(address, method, path, body=None, timeout=3.0):
    content, headers = ask(address, method, path, body, timeout)
    try:
        value = json.loads(content)
    except ValueError:
        raise NoAnswer("broken", f"its answer to {path} is no JSON: is that an admin port of Freshet?")
    if not isinstance(value, dict):
        raise NoAnswer("broken", f"its answer to {path} is no JSON object")
    return value, headers


def at_once(function, items):
    """function(item) for all, AT_ONCE of them at a time; results in the order of items."""
    items = list(items)
    if not items:
        return []
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(AT_ONCE, len(items))) as pool:
        return list(pool.map(function, items))
