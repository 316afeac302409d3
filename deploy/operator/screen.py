"""The picture of view.py as text: as wide as the terminal, in colour if there is one."""
import calendar
import os
import shutil
import sys
import textwrap
import time
import unicodedata

import nodes as net
from view import SEVERITY, duration, natural

PLAIN_WIDTH = 1000  # without a terminal nothing is cut, unless COLUMNS says so
GAP = 2


class Style:
    """ANSI colours, or nothing."""

    CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "head": "1;36"}

    def __init__(self, colour):
        self.colour = colour

    def __call__(self, name, text):
        return f"\033[{self.CODES[name]}m{text}\033[0m" if self.colour and name else text


def clean(text):
    """What a node says is not ours: nothing in it moves the cursor."""
    return "".join(c if c.isprintable() else "·" for c in str(text))


def width_of(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text, width, right=False):
    """Cut with … or filled to exactly width."""
    if width_of(text) > width:
        out, used = "", 0
        for c in text:
            if used + width_of(c) > width - 1:
                break
            out, used = out + c, used + width_of(c)
        text = out + "…" if width > 0 else ""
    fill = " " * (width - width_of(text))
    return fill + text if right else text + fill


class Column:
    """least: the width below which it is rather left out; keep: the higher, the longer it stays."""

    def __init__(self, title, cells, keep=5, least=4, right=False, colours=None):
        self.title, self.cells, self.keep, self.right = title, [clean(c) for c in cells], keep, right
        self.colours = colours or [None] * len(self.cells)
        self.wanted = max([width_of(title)] + [width_of(c) for c in self.cells])
        self.least = min(self.wanted, max(least, width_of(title)))
        self.empty = not any(self.cells)


def table(columns, width, style):
    """Columns that fit: those of low `keep` go first, then the widest are cut."""
    shown = [c for c in columns if not c.empty]
    while len(shown) > 1 and sum(c.least + GAP for c in shown) - GAP > width:
        shown.remove(min(shown, key=lambda c: c.keep))
    widths = {id(c): c.wanted for c in shown}
    while sum(widths.values()) + GAP * (len(shown) - 1) > width:
        widest = max((c for c in shown if widths[id(c)] > c.least), key=lambda c: widths[id(c)], default=None)
        if widest is None:
            break
        widths[id(widest)] -= 1
    lines = [style("dim", "  ".join(fit(c.title, widths[id(c)], c.right) for c in shown).rstrip())]
    for i in range(len(shown[0].cells) if shown else 0):
        cells = [style(c.colours[i], fit(c.cells[i], widths[id(c)], c.right)) for c in shown]
        lines.append("  ".join(cells).rstrip())
    return lines


# ---- words for numbers ------------------------------------------------------------------------------------------------

def count(n, one, many=None):
    return f"{n} {one if n == 1 else many or one + 's'}"


def bits(bytes_s):
    if bytes_s is None:
        return "–"
    value = bytes_s * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if value < 1000 or unit == "Gbit/s":
            return f"{value:.0f} {unit}" if value >= 100 or unit == "bit/s" else f"{value:.1f} {unit}"
        value /= 1000


def size(n):
    if n is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            return f"{n:.0f} {unit}" if n >= 100 or unit == "B" else f"{n:.1f} {unit}"
        n /= 1000


def percent(ratio, digits=0):
    return "–" if ratio is None else f"{ratio:.{digits}%}".replace("%", " %")


def seconds(s):
    return "–" if s is None else f"{s * 1000:.0f} ms"


def doing(node):
    n = node["numbers"]
    if not n:
        return ""
    if node["role"] == "ingestd":
        return f"{count(n['publishers'], 'publisher')}, {bits(n['bytes_s'])} in" + (f", {n['standby']} standing by" if n["standby"] else "")
    if node["role"] == "transcoderd":
        return (count(n["sessions"], "session") + (f" ({n['shadows']} beside another)" if n["shadows"] else "") +
                f", CPU {percent(None if n['headroom'] is None else 1 - n['headroom'])}, {n['behind_s']:.1f} s behind")
    if node["role"] == "originD":
        full = f", full in {duration(n['full_in_s'])}" if n["full_in_s"] is not None else ""
        return f"{n['live']} live, {count(n['recordings'], 'recording')}, {size(n['free_bytes'])} free{full}"
    return (f"{count(n['viewers'], 'viewer')}, {n['requests_s'] if n['requests_s'] is not None else '–'}/s, "
            f"hits {percent(n['hit_ratio'])}" + (f", {n['errors_s']}/s failed" if n["errors_s"] else ""))


def talks_to(node):
    out = []
    for role in net.ROLES:
        mine = [p for p in node["peers"] if p["role"] == role]
        if mine:
            up = [p for p in mine if p["state"] in ("live", "draining")]
            rtts = sorted(p["rtt_ms"] for p in up if p["rtt_ms"] is not None)
            out.append(f"{role} {len(up)}/{len(mine)}" + (f" {rtts[len(rtts) // 2]:.1f} ms" if rtts else ""))
    return ", ".join(out)


def since(iso):
    try:
        return duration(max(0, time.time() - calendar.timegm(time.strptime(iso[:19], "%Y-%m-%dT%H:%M:%S"))))
    except ValueError:
        return ""


STATE_COLOURS = {"ready": "green", "live": "green", "slate": "yellow", "draining": "yellow", "waiting": "yellow",
                 "starting": "yellow"}
PROBLEM_COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}


# ---- the parts --------------------------------------------------------------------------------------------------------

def headline(picture, style):
    t = picture["totals"]
    text = (f"{t['ready']} of {count(t['nodes'], 'node')} ready · {count(t['streams'], 'stream')} live · "
            f"{count(t['viewers'], 'viewer')}" + (f" ({', '.join(f'{zone or chr(8211)} {n}' for zone, n in t['sites'].items())})" if len(t["sites"]) > 1 else ""))
    return style("bold", "Freshet") + "  " + style("red" if t["ready"] < t["nodes"] else "green", text) + style("dim", f"  {picture['time'][11:19]} UTC")


def problem_lines(picture, width, style, most=None):
    """The same sentence about several nodes is said once."""
    if not picture["problems"]:
        return [style("green", "Nothing is wrong that can be seen from here.")]
    said = {}
    for p in picture["problems"]:
        said.setdefault((p["severity"], p["text"]), []).append(p["node"])
    lines = []
    for (severity, text), names in said.items():
        text = clean(f"{severity:8}  {', '.join(n for n in names if n)}{'  ' if any(names) else ''}{text}")
        lines += [style(PROBLEM_COLOURS[severity], line) for line in textwrap.wrap(text, width, subsequent_indent=" " * 10)]
    if most is not None and len(lines) > most:
        lines = lines[:most - 1] + [style("dim", f"and {len(lines) - most + 1} more lines")]
    return lines


def stream_table(streams, width, style):
    return table([
        Column("stream", [s["stream"] for s in streams], 9, 16),
        Column("state", [s["state"] for s in streams], 8, colours=[STATE_COLOURS.get(s["state"], "red") for s in streams]),
        Column("since", [since(s["started"]) for s in streams], 6, 12, right=True),
        Column("late", [late(s) for s in streams], 7, 8, right=True),
        Column("viewers", [str(s["viewers"]) for s in streams], 6, right=True),
        Column("from", [", ".join(f"{p['address']} ({p['encoder']})" if p["encoder"] else p["address"] for p in s["publishers"])
                        for s in streams], 1.5, 22),
        Column("transcoder", [s["transcoder"] for s in streams], 5, 16),
        Column("writer", [str(s["generation"]) for s in streams], 3, right=True),
        Column("origins", [" ".join(sorted(s["origins"], key=natural)) for s in streams], 4, 17),
        Column("tracks", [str(s["tracks"]) for s in streams], 2, right=True),
        Column("title", [s["title"] for s in streams], 1, 8),
        Column("session", [s["session"] for s in streams], 0, 25),
    ], width, style)


def node_table(rows, width, style):
    return table([
        Column("node", [n["id"] for n in rows], 9, 24),
        Column("role", [n["role"] if n["role"] else "?" for n in rows], 2, 8),
        Column("zone", [n["zone"] for n in rows], 1),
        Column("state", [n["state"] for n in rows], 8, colours=[STATE_COLOURS.get(n["state"], "red") for n in rows]),
        Column("up", [duration(n["uptime_s"]) if n["uptime_s"] is not None else "" for n in rows], 3, right=True),
        Column("does", [n["why"] or doing(n) for n in rows], 7, 44),
        Column("talks to", [talks_to(n) for n in rows], 0.5, 20),
        Column("version", [n["version"] for n in rows], 0),
    ], width, style)


def late(stream):
    """How old the newest is at the farthest hop that says so."""
    ms = next((stream["lag_ms"][hop] for hop in ("edge", "stored", "encoded") if hop in stream["lag_ms"]), None)
    return "" if ms is None else f"{ms / 1000:.1f} s"


def no_stream(picture):
    if any(n["role"] == "originD" and n["numbers"] and not n["silent"] for n in picture["nodes"]):
        return "No stream is live."
    return "Whether a stream is live cannot be told: no origin answers."


def latency_line(picture):
    parts = []
    for hop in ("encoded", "stored", "edge"):
        q = picture["latency"][hop]
        word = "at the edge" if hop == "edge" else hop
        parts.append(f"{word} {seconds(q['p50'])}" + (f" ({seconds(q['p95'])})" if q["p95"] is not None else ""))
    return "From the capture, median (95 %): " + " → ".join(parts)


def hurts(picture):
    """The same picture, what hurts first."""
    worst = {}
    for p in picture["problems"]:
        worst[p["node"]] = min(worst.get(p["node"], 9), SEVERITY[p["severity"]])

    def node_key(n):
        used = 1 - n["numbers"]["headroom"] if n["numbers"].get("headroom") is not None else n["load"] or 0
        return worst.get(n["id"], 9), -used, natural(n["id"])
    return {**picture, "nodes": sorted(picture["nodes"], key=node_key),
            "streams": sorted(picture["streams"], key=lambda s: (worst.get(s["stream"], 9), -int(s["generation"]), natural(s["stream"])))}


def render(picture, width, height=None, style=None):
    """Lines of one screen. height None: as many as there are."""
    style = style or Style(False)
    room = 10000 if height is None else height - 8
    problems = problem_lines(picture, width, style, None if height is None else max(3, room // 4))
    room -= len(problems)
    lines = [headline(picture, style), "", *problems, ""]
    streams, rows = picture["streams"], picture["nodes"]
    keep_rows = max(3, min(len(rows), room - min(len(streams), max(2, room // 3))))
    keep_streams = max(1, room - keep_rows)
    if streams:
        lines += stream_table(streams[:keep_streams], width, style)
        if len(streams) > keep_streams:
            lines.append(style("dim", f"and {len(streams) - keep_streams} more streams"))
    else:
        lines.append(no_stream(picture))
    lines += ["", *textwrap.wrap(latency_line(picture), width, subsequent_indent="  "), ""]
    lines += node_table(rows[:keep_rows], width, style) if rows else ["No node answers."]
    if len(rows) > keep_rows:
        lines.append(style("dim", f"and {len(rows) - keep_rows} more nodes"))
    return lines


class Screen:
    """A terminal that is drawn again and again, and left as it was."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.style = Style("NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb")

    def __enter__(self):
        self.out.write("\033[?1049h\033[?25l")
        return self

    def __exit__(self, *_):
        self.out.write("\033[?25h\033[?1049l")
        self.out.flush()

    def draw(self, picture):
        size_now = os.get_terminal_size(self.out.fileno())
        lines = render(picture, size_now.columns, size_now.lines, self.style)[:size_now.lines]
        self.out.write("\033[H" + "".join(line + "\033[K\n" for line in lines[:-1]) + lines[-1] + "\033[K\033[J")
        self.out.flush()


def plain_width():
    return shutil.get_terminal_size((PLAIN_WIDTH, 0)).columns
