"""What an operator is shown: the answers of all nodes, put together into one picture (a plain dict, also what --json prints).

A Watcher keeps the last sample of each node, so that counters become rates and histograms become recent ones. Nothing is
asked but GET /api/node, /metrics and what is under way at a node: publishers, sessions, streams (MORE)."""
import calendar
import collections
import email.utils
import re
import time

import nodes as net

RATE_SPAN_S = 10      # counters are looked at over the last so many seconds
CLOCK_STEPPED_S = 60  # forwards or back, while a node ran
AGE_BEHIND_S = 3600    # an origin that was off for a while is behind, too
CLOCKS_APART_S = 3    # the HTTP Date has whole seconds
BEHIND_S = 1.0
HIT_RATIO_LOW = 0.5
UNSURE_UP_S = 10     # an edge that has just come up does not know yet what there is
REQUESTS_FEW = 1.0    # a second: below that a ratio says nothing
FILL_SOON_S = 24 * 3600
STARVED_RATIO = 0.05   # of players' reports
REPORTS_FEW = 20       # below that it says nothing

# Problems link to the runbook by the names of the alerts in deploy/prometheus/rules.yml.
SEVERITY = {"critical": 0, "warning": 1, "info": 2}


# ---- metrics ----------------------------------------------------------------------------------------------------------

SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text):
    """{name: [(labels, value), …]}"""
    out = collections.defaultdict(list)
    for line in text.splitlines():
        match = SERIES.match(line) if line and not line.startswith("#") else None
        if match:
            try:
                out[match[1]].append((dict(LABEL.findall(match[2] or "")), float(match[3])))
            except ValueError:
                continue
    return out


def total(metrics, name, **labels):
    """The sum of the series of that name with these labels; a tuple allows several values."""
    def fits(have):
        return all(have.get(k) in (v if isinstance(v, tuple) else (v,)) for k, v in labels.items())
    return sum(value for have, value in metrics.get(name, ()) if fits(have))


class Sample:
    def __init__(self, at, metrics):
        self.at, self.metrics = at, metrics


class History:
    """The samples of one node within RATE_SPAN_S, and the one before."""

    def __init__(self):
        self.samples = collections.deque()

    def add(self, at, metrics):
        self.samples.append(Sample(at, metrics))
        while len(self.samples) > 2 and self.samples[1].at <= at - RATE_SPAN_S:
            self.samples.popleft()

    def span(self):
        return self.samples[-1].at - self.samples[0].at if len(self.samples) > 1 else 0

    def grown(self, name, **labels):
        """By how much a counter grew over the span; None without one. A process that began anew began at 0."""
        if self.span() <= 0:
            return None
        now = total(self.samples[-1].metrics, name, **labels)
        then = total(self.samples[0].metrics, name, **labels)
        return now - then if now >= then else now

    def rate(self, name, **labels):
        grown = self.grown(name, **labels)
        return None if grown is None else grown / self.span()

    def buckets(self, name):
        """{bound: observations of the span up to it}"""
        out = {}
        if self.span() <= 0:
            return out
        then = {have.get("le"): value for have, value in self.samples[0].metrics.get(f"{name}_bucket", ())}
        for have, value in self.samples[-1].metrics.get(f"{name}_bucket", ()):
            old = then.get(have.get("le"), 0)
            out[float(have.get("le", "inf"))] = value - old if value >= old else value
        return out


def quantile(buckets, q):
    """Within a bucket as if its observations were spread evenly; None: there are none."""
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    wanted, low, below = buckets[bounds[-1]] * q, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if bound == float("inf"):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((wanted - below) / inside if inside else 1)
        low, below = bound, buckets[bound]
    return low


# ---- asking -----------------------------------------------------------------------------------------------------------

MORE = {"ingestd": "/api/publishers", "transcoderd": "/api/sessions", "originD": "/api/sessions", "edged": "/api/stats"}


def ask_node(address, timeout):
    """One node's answers: {"address", "node" or "error", …}."""
    out = {"address": address}
    try:
        out["node"], headers = net.ask_json(address, "GET", "/api/node", timeout=timeout)
        out["asked"] = time.time()
        out["date"] = headers.get("Date")
        content, _ = net.ask(address, "GET", "/metrics", timeout=timeout)
        out["metrics"] = parse_metrics(content.decode("utf-8", "replace"))
    except net.NoAnswer as error:
        out["error"], out["what"] = str(error), error.what
        return out
    path = MORE.get(out["node"].get("role"))
    try:
        if path:
            out["more"], _ = net.ask_json(address, "GET", path, timeout=timeout)
    except net.NoAnswer as error:
        out["silent"] = f"does not answer {path}: {error}"
    return out


class Watcher:
    def __init__(self, finder):
        self.finder = finder
        self.histories = collections.defaultdict(History)
        self.known = {}  # address -> (id, role) of one that answered once

    def look(self):
        """Asks every node once; the picture as of now."""
        addresses, trouble = self.finder.find()
        answers = net.at_once(lambda a: ask_node(a, self.finder.timeout), addresses)
        now = time.monotonic()
        seen = {}
        for answer in answers:
            node = answer.get("node")
            if node:
                self.known[answer["address"]] = (str(node.get("id")), node.get("role"))
                seen.setdefault((node.get("id"), node.get("pid"), node.get("role")), answer)
        kept = [a for a in answers if "node" not in a or
                seen[(a["node"].get("id"), a["node"].get("pid"), a["node"].get("role"))] is a]
        for answer in kept:
            if "metrics" in answer:
                self.histories[answer["address"]].add(now, answer["metrics"])
        return self._picture(kept, trouble)

    def settle(self):
        """Two looks a second apart, so that one picture has rates."""
        self.look()
        time.sleep(1)
        return self.look()

    # ---- the picture

    def _picture(self, answers, trouble):
        rows = [self._node(answer) for answer in answers]
        rows.sort(key=lambda n: (net.ROLES.index(n["role"]) if n["role"] in net.ROLES else 9, natural(n["id"])))
        watched = viewers_of(answers)
        streams = streams_of(answers, watched)
        picture = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "nodes": rows, "streams": streams,
                   "latency": self._latency(), "totals": totals_of(rows, streams, watched)}
        picture["problems"] = problems_of(picture, trouble)
        return picture

    def _latency(self):
        """From the capture to each hop, in seconds, over the last RATE_SPAN_S."""
        out = {}
        for hop, name in (("encoded", "transcoderd_glass_seconds"), ("stored", "originD_glass_seconds"),
                          ("edge", "edged_glass_seconds")):
            merged = collections.Counter()
            for history in self.histories.values():
                merged.update(history.buckets(name))
            out[hop] = {"p50": rounded(quantile(merged, 0.5)), "p95": rounded(quantile(merged, 0.95)),
                        "count": int(max(merged.values(), default=0))}
        return out

    def _node(self, answer):
        address = answer["address"]
        old_id, old_role = self.known.get(address, (address.shown, address.role))
        node = answer.get("node", {})
        row = {"id": str(node.get("id", old_id)), "role": str(node.get("role", old_role)), "address": address.shown,
               "zone": str(node.get("zone", "")), "version": str(node.get("version", "")),
               "state": str(node.get("state", "?")), "why": str(node.get("why", "")), "uptime_s": node.get("uptime"),
               "load": node.get("load"), "log_level": node.get("log_level"), "peers": peers_of(node), "numbers": {},
               "silent": answer.get("silent", "")}
        if "error" in answer:
            row.update(state="refused" if answer["what"] == "refused" else "unreachable" if not node else "broken",
                       why=answer["error"])
        if answer.get("date") and email.utils.parsedate(answer["date"]):
            row["clock_s"] = round(calendar.timegm(email.utils.parsedate(answer["date"])) - answer["asked"])
        if "metrics" in answer:
            row["numbers"] = self._numbers(row["role"], address, answer)
            left_out = answer.get("more", {}).get("left_out")
            row["left_out"] = left_out if isinstance(left_out, int) else 0  # of a node's list, which is bounded
            row["clock_stepped_s"] = round(total(answer["metrics"], "freshet_clock_offset_seconds"))
            row["age_behind_s"] = round(total(answer["metrics"], "originD_age_clock_behind_seconds"))
            row["webhooks_dropped"] = int(total(answer["metrics"], "originD_webhook_dropped_total"))
        return row

    def _numbers(self, role, address, answer):
        m, h = answer["metrics"], self.histories[address]
        if role == "ingestd":
            return {"publishers": int(total(m, "ingestd_publishers")), "standby": int(total(m, "ingestd_standby")),
                    "bytes_s": rounded(h.rate("ingestd_bytes_total"), 0),
                    "failovers": int(total(m, "ingestd_failovers_total")),
                    "swaps": int(total(m, "ingestd_swaps_total")),
                    "replay_bytes": int(total(m, "ingestd_replay_bytes")),
                    "refused": int(total(m, "ingestd_closed_total", reason=("denied", "bad_name", "codec", "publishers")))}
        if role == "transcoderd":
            cpus, cpu = total(m, "transcoderd_cpus"), h.rate("transcoderd_cpu_seconds_total")
            room = [1 - cpu / cpus] if cpus and cpu is not None else []
            room += [s["headroom"] for s in objects(answer, "sessions") if isinstance(s.get("headroom"), (int, float))]
            return {"sessions": int(total(m, "transcoderd_sessions")), "shadows": int(total(m, "transcoderd_shadows")),
                    "behind_s": round(total(m, "transcoderd_behind_seconds"), 2),
                    "cpus": int(cpus), "headroom": round(max(0.0, min(room)), 3) if room else None,
                    "shed_s": rounded(h.rate("transcoderd_frames_total", stage="shed"), 1),
                    "queue_bytes": int(total(m, "transcoderd_queue_bytes")),
                    "dropped_chunks": int(total(m, "transcoderd_dropped_chunks_total")),
                    "out_of_step": int(total(m, "transcoderd_owners", state=("out_of_step", "joining")))}
        if role == "originD":
            disk = answer.get("more", {}).get("disk", {})
            full_in_s = disk.get("full_in_seconds") if isinstance(disk, dict) else None
            return {"live": int(total(m, "originD_sessions", status="live")),
                    "recordings": int(total(m, "originD_sessions", status="ended")),
                    "free_bytes": int(total(m, "originD_free_bytes")), "stored_bytes": int(total(m, "originD_stored_bytes")),
                    "bytes_s": rounded(h.rate("originD_bytes_total"), 0), "full_in_s": int(full_in_s) if isinstance(full_in_s, (int, float)) else None,
                    "behind": int(total(m, "originD_behind_sessions")),
                    "webhooks_waiting": int(total(m, "originD_webhook_waiting"))}
        if role == "edged":
            served = h.grown("edged_requests_total", result=("hit", "joined", "miss", "stale"))
            cached = h.grown("edged_requests_total", result=("hit", "joined"))
            reports, starved = h.grown("edged_player_reports_total", version=("1", "2")), h.grown("edged_player_starved_total")
            return {"viewers": round(sum(sum(sites.values()) for sites in viewers_of([answer]).values())),
                    "connections": int(total(m, "edged_clients")), "unsure": total(m, "edged_names_current") == 0 and "edged_names_current" in m,
                    "starved_ratio": round(starved / reports, 4) if reports and reports >= REPORTS_FEW else None,
                    "requests_s": rounded(h.rate("edged_requests_total"), 1),
                    "hit_ratio": round(cached / served, 4) if served else None,
                    "joined_s": rounded(h.rate("edged_requests_total", result="joined"), 1),
                    "errors_s": rounded(h.rate("edged_requests_total", status="503"), 2),
                    "fetches_s": rounded(h.rate("edged_upstream_fetches_total"), 1),
                    "upstream_p95_s": rounded(total(m, "edged_upstream_p95_seconds", kind="there"), 4),
                    "held": int(total(m, "edged_held_requests")), "cache_bytes": int(total(m, "edged_cache_bytes"))}
        return {}


def rounded(value, digits=3):
    return None if value is None else round(value, digits) if digits else int(value)


def natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def peers_of(node):
    return [{"id": str(p.get("id", "")), "role": str(p.get("role", "")), "address": str(p.get("address", "")),
             "state": str(p.get("state", "")), "zone": str(p.get("zone", "")),
             "rtt_ms": round(p["rtt_us"] / 1000, 2) if isinstance(p.get("rtt_us"), (int, float)) else None,
             "far": p.get("far") is True}
            for p in node.get("peers", []) if isinstance(p, dict)]


def objects(answer, name):
    return [x for x in answer.get("more", {}).get(name, []) if isinstance(x, dict)]


def viewers_of(answers):
    """{stream: {zone: viewers}}: of pictures and of sounds the greater sum of all edges, which may share each viewer's segments."""
    sums = collections.defaultdict(collections.Counter)
    for answer in answers:
        for have, value in answer.get("metrics", {}).get("edged_viewers", ()):
            sums[have.get("stream", ""), have.get("zone", "")][have.get("of")] += value
    out = collections.defaultdict(dict)
    for (stream, zone), of in sums.items():
        out[stream][zone] = max(of.values())
    return out


def streams_of(answers, watched):
    """What is live, each stream once: the newest session that any origin has of it, and how late it is at each hop."""
    found, publishers, late = {}, {}, {}
    for answer in answers:
        role = answer.get("node", {}).get("role")
        for p in objects(answer, "publishers") if role == "ingestd" else []:
            publishers.setdefault(str(p.get("stream", "")), []).append(
                {"ingest": answer["node"]["id"], "address": str(p.get("address", "")), "encoder": str(p.get("encoder") or ""),
                 "state": str(p.get("state", "")), "kbps": p.get("kbps"), "fps": p.get("fps")})
        for s in objects(answer, {"transcoderd": "sessions", "edged": "streams"}.get(role, "")):
            if isinstance(s.get("lag_ms"), int) and s.get("role") != "shadow":
                hop = late.setdefault(str(s.get("stream", "")), {})
                name = "encoded" if role == "transcoderd" else "edge"
                hop[name] = max(hop.get(name, 0), s["lag_ms"])
        for s in objects(answer, "sessions") if role == "originD" else []:
            name, session, generation = str(s.get("stream", "")), str(s.get("session", "")), s.get("generation") or 0
            entry = found.get(name)
            if entry is None or (session, generation) > (entry["session"], entry["generation"]):
                entry = {"stream": name, "session": session, "title": str(s.get("title", "")), "state": str(s.get("state", "")),
                         "started": started_of(session), "generation": generation, "transcoder": str(s.get("writer", "")),
                         "tracks": len(s.get("tracks", [])), "bytes": s.get("bytes"),
                         "origins": entry["origins"] if entry and entry["session"] == session else [], "lag_ms": {}}
                found[name] = entry
            if entry["session"] == session:
                entry["origins"].append(answer["node"]["id"])
                if s.get("state") == "live":  # an origin that is out of step hears nothing, and calls that slate
                    entry["state"] = "live"
                if isinstance(s.get("lag_ms"), int):
                    entry["lag_ms"]["stored"] = min(entry["lag_ms"].get("stored", s["lag_ms"]), s["lag_ms"])
    for name, entry in found.items():
        entry["publishers"] = publishers.get(name, [])
        entry["lag_ms"].update(late.get(name, {}))
        entry["viewers"] = round(sum(watched.get(name, {}).values()))
        entry["sites"] = {zone: round(n) for zone, n in sorted(watched.get(name, {}).items())}
    return [found[name] for name in sorted(found, key=natural)]


def started_of(session):
    """A session's id begins with the time of its first picture: 20261121T100000Z-1a2b3c4d."""
    match = re.match(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-", session)
    return "{}-{}-{}T{}:{}:{}Z".format(*match.groups()) if match else ""


def totals_of(rows, streams, watched):
    def of(role, key):
        values = [n["numbers"].get(key) for n in rows if n["role"] == role]
        return sum(v for v in values if v is not None)
    requests = of("edged", "requests_s")
    ratios = [(n["numbers"]["hit_ratio"], n["numbers"].get("requests_s") or 0) for n in rows
              if n["role"] == "edged" and n["numbers"].get("hit_ratio") is not None]
    weight = sum(w for _, w in ratios)
    headrooms = [n["numbers"]["headroom"] for n in rows if n["numbers"].get("headroom") is not None]
    sites = collections.Counter()
    for zones in watched.values():
        sites.update(zones)
    fills = [n["numbers"]["full_in_s"] for n in rows if n["numbers"].get("full_in_s") is not None]
    return {"nodes": len(rows), "ready": sum(n["state"] == "ready" for n in rows), "streams": len(streams),
            "viewers": round(sum(sites.values())), "sites": {zone: round(n) for zone, n in sorted(sites.items())},
            "connections": of("edged", "connections"), "requests_s": round(requests, 1),
            "hit_ratio": round(sum(r * w for r, w in ratios) / weight, 4) if weight else None,
            "joined_s": round(of("edged", "joined_s"), 1), "errors_s": round(of("edged", "errors_s"), 2),
            "bytes_in_s": of("ingestd", "bytes_s"), "failovers": of("ingestd", "failovers") + of("ingestd", "swaps"),
            "headroom": min(headrooms, default=None), "free_bytes": min((n["numbers"]["free_bytes"] for n in rows
                                                                        if "free_bytes" in n["numbers"]), default=None),
            "full_in_s": min(fills, default=None)}


# ---- what is wrong ----------------------------------------------------------------------------------------------------

def problems_of(picture, trouble):
    """What the tool sees by itself, without Prometheus; the worst first. `alert` is the runbook's name for it."""
    out = [{"severity": "critical", "alert": "FreshetNodeDown", "node": "", "text": text} for text in trouble]

    def say(severity, alert, node, text):
        out.append({"severity": severity, "alert": alert, "node": node, "text": text})

    rows = picture["nodes"]
    for role in net.ROLES:
        mine = [n for n in rows if n["role"] == role]
        if mine and not any(n["state"] == "ready" for n in mine):
            say("critical", "FreshetNoneReady", "", f"no {role} is ready")
        elif not mine and not any(n["state"] in ("unreachable", "refused") for n in rows):
            say("critical", "FreshetNoneReady", "", f"no {role} is among the addresses asked")
    for n in rows:
        numbers = n["numbers"]
        if n["state"] == "unreachable":
            say("critical", "FreshetNodeDown", n["id"], f"cannot be reached: {n['why']}")
        elif n["state"] in ("refused", "broken"):
            say("critical", "FreshetNodeDown", n["id"], n["why"])
        elif n["state"] not in ("ready", "draining"):
            say("warning", "FreshetNodeNotReady", n["id"], f"is not ready: {n['why'] or n['state']}")
        elif n["state"] == "draining":
            say("info", "FreshetNodeNotReady", n["id"], "is draining: it stops when it has handed over what it has")
        if n.get("silent"):
            say("warning", "FreshetNodeNotReady", n["id"], n["silent"])
        if numbers.get("behind_s", 0) > BEHIND_S:
            say("critical", "FreshetTranscoderBehind", n["id"], f"encoding is {numbers['behind_s']:.1f} s behind real time")
        if numbers.get("out_of_step"):
            say("warning", "FreshetOriginOutOfStep", n["id"],
                f"{numbers['out_of_step']} of its sessions' origins are not in step")
        if numbers.get("behind"):
            say("warning", "FreshetOriginBehind", n["id"], f"lacks something of {numbers['behind']} sessions that a peer has")
        if numbers.get("full_in_s") is not None and numbers["full_in_s"] < FILL_SOON_S:
            say("warning", "FreshetDiskFills", n["id"], f"its disk is full in {duration(numbers['full_in_s'])} if nothing is removed")
        if abs(n.get("clock_stepped_s", 0)) > CLOCK_STEPPED_S:
            say("warning", "FreshetClockStepped", n["id"], f"its machine's clock was set by {duration(abs(n['clock_stepped_s']))} while it ran")
        if n.get("age_behind_s", 0) > AGE_BEHIND_S:
            say("warning", "FreshetClockStepped", n["id"],
                f"its machine's clock is {duration(n['age_behind_s'])} beyond the time by which recordings grow old: they stay for longer")
        if n.get("webhooks_dropped"):
            say("warning", "FreshetWebhooksDropped", n["id"], f"{n['webhooks_dropped']} events were not delivered since it started")
        if numbers.get("errors_s"):
            say("critical", "FreshetEdgeErrors", n["id"], f"answers {numbers['errors_s']:.1f} requests a second with 503")
        if (numbers.get("starved_ratio") or 0) > STARVED_RATIO:
            say("warning", "FreshetPlayersStarve", n["id"], f"in {numbers['starved_ratio']:.0%} of its players' reports their buffers had run out")
        if numbers.get("unsure") and (n["uptime_s"] or 0) > UNSURE_UP_S:
            say("warning", "FreshetEdgeUnsure", n["id"], "does not know what there is: whatever viewers ask for is asked for above, within misses_per_s")
        if numbers.get("hit_ratio") is not None and numbers["hit_ratio"] < HIT_RATIO_LOW and (numbers["requests_s"] or 0) > 20 * REQUESTS_FEW:
            say("warning", "FreshetEdgeHitRatioLow", n["id"], f"only {numbers['hit_ratio']:.0%} of its requests need no fetch")
        for p in n["peers"]:
            if p["far"]:
                say("warning", "FreshetPeerFar", n["id"], f"{p['id'] or p['address']} is {p['rtt_ms'] or 0:.0f} ms away: more than broadcasts are "
                    "on time over")
        wrong = [p for p in n["peers"] if p["state"] in ("wrong role",)]
        if wrong:
            say("warning", "FreshetNodeNotReady", n["id"], f"{wrong[0]['address']} is not the {wrong[0]['role']} it is configured as")
    for (role, name), count in collections.Counter((n["role"], n["id"]) for n in rows if n["state"] not in ("unreachable", "refused")).items():
        if count > 1:
            say("critical", "FreshetNodeNotReady", name, f"{count} nodes of {role} have this id: give each its own")
    clocks = [(n["clock_s"], n["id"]) for n in rows if n.get("clock_s") is not None]
    if clocks and max(clocks)[0] - min(clocks)[0] >= CLOCKS_APART_S:
        say("warning", "FreshetClocksDisagree", max(clocks)[1],
            f"its clock is {max(clocks)[0] - min(clocks)[0]} s ahead of {min(clocks)[1]}'s")
    for s in picture["streams"]:
        if s["state"] == "slate":
            say("warning", "FreshetSlate", s["stream"], "shows slate: nothing comes from its broadcaster")
    return sorted(out, key=lambda p: SEVERITY[p["severity"]])


def duration(seconds):
    """The two greatest units of it."""
    seconds = int(seconds)
    for unit, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= unit:
            rest = seconds % unit // below
            return f"{seconds // unit} {name}" + (f" {rest} {below_name}" if rest and seconds < 10 * unit else "")
    return f"{seconds} s"
