"""A judge of HLS playlists: what RFC 8216bis asks of them, and what Apple's player refuses. Pure; finds, does not raise."""
import datetime
import re

SPARE_S = 0.000002  # numbers are written in microseconds


def attributes(text):
    """A=1,B="x,y" as a dict, without the quotes."""
    return {k: v.strip('"') for k, v in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', text)}


def part_place(name):
    """(segment, part, chunks of a part) that a part's name says."""
    n, part, several = re.fullmatch(r"(\d+)\.(\d)(?:x(\d))?\.m4s", name).groups()
    return int(n), int(part), int(several or 1)


class Segment:
    def __init__(self, n):
        self.n, self.uri, self.duration, self.parts, self.date, self.gap = n, None, None, [], None, False


class Playlist:
    """A media playlist, taken apart. segments: the whole ones; the last may have parts alone (uri None)."""

    def __init__(self, text):
        self.text, self.tags, self.segments, self.reports, self.hint, self.skipped = text, {}, [], {}, None, 0
        lines = text.split("\n")
        self.begins_well = lines[0] == "#EXTM3U" and lines[-1] == ""
        n, now = None, None
        for line in lines[1:-1]:
            tag, _, value = line.partition(":")
            if tag == "#EXT-X-SKIP":
                self.skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
                n += self.skipped
            elif tag in ("#EXT-X-PART", "#EXT-X-PROGRAM-DATE-TIME", "#EXT-X-GAP", "#EXTINF") or not line.startswith("#"):
                if now is None:
                    now = Segment(n)
                    n += 1
                if tag == "#EXT-X-PART":
                    now.parts.append(attributes(value))
                elif tag == "#EXT-X-PROGRAM-DATE-TIME":
                    now.date = datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
                elif tag == "#EXT-X-GAP":
                    now.gap = True
                elif tag == "#EXTINF":
                    now.duration = float(value.partition(",")[0])
                else:
                    now.uri = line
                    self.segments.append(now)
                    now = None
            elif tag == "#EXT-X-RENDITION-REPORT":
                self.reports[attributes(value)["URI"]] = attributes(value)
            elif tag == "#EXT-X-PRELOAD-HINT":
                self.hint = attributes(value)
            else:
                self.tags[tag] = value
                if tag == "#EXT-X-MEDIA-SEQUENCE":
                    n = int(value)
        if now:
            self.segments.append(now)

    first = property(lambda self: int(self.tags["#EXT-X-MEDIA-SEQUENCE"]))
    control = property(lambda self: attributes(self.tags["#EXT-X-SERVER-CONTROL"]))
    part_target = property(lambda self: float(attributes(self.tags["#EXT-X-PART-INF"])["PART-TARGET"]) if "#EXT-X-PART-INF" in self.tags else None)
    ended = property(lambda self: "#EXT-X-ENDLIST" in self.tags)

    def newest(self):
        """(segment, part), the part -1 where it is all of a segment without parts."""
        last = self.segments[-1]
        return last.n, len(last.parts) - 1

    def has(self, n, part):
        return any(s.n > n or (s.n == n and (s.uri or len(s.parts) > part)) for s in self.segments)


def judge(p, picture=True, longest_frame_s=0.1, chunks=5):
    """What is wrong with it as it stands."""
    found, target = [], int(p.tags.get("#EXT-X-TARGETDURATION", 0))
    say = found.append
    if not p.begins_well or not target or "#EXT-X-INDEPENDENT-SEGMENTS" not in p.tags:
        say("head")
    if not p.skipped and "#EXT-X-MAP" not in p.tags:
        say("no map")
    for a, b in zip(p.segments, p.segments[1:]):
        if b.date and a.date and abs(b.date - a.date - (a.duration or 0)) > 0.0015:
            say(f"dates of {a.n} and {b.n}")
    if not p.segments or p.segments[0].date is None:
        say("the first segment has no date")
    for s in p.segments:
        if s.uri and (s.duration is None or round(s.duration) > target):
            say(f"segment {s.n} is longer than the target duration")
        for k, part in enumerate(s.parts):
            length, is_last = float(part["DURATION"]), k == len(s.parts) - 1
            if length > p.part_target + SPARE_S:
                say(f"part {s.n}.{k} lasts {length}, longer than the target {p.part_target}")
            if not is_last and length < 0.85 * p.part_target:
                say(f"part {s.n}.{k} lasts {length}, less than 85 % of the target {p.part_target}")
            if part_place(part["URI"])[:2] != (s.n, k):
                say(f"part {s.n}.{k} is named {part['URI']}")
            if (k == 0 or not picture) and part.get("INDEPENDENT") != "YES":
                say(f"part {s.n}.{k} is not independent")
        if s.uri and s.parts and abs(sum(float(x["DURATION"]) for x in s.parts) - s.duration) > longest_frame_s:
            say(f"the parts of segment {s.n} are not as long as it is")
    if p.ended:
        return found + (["parts of what ended"] if p.hint else [])
    control = p.control
    if control.get("CAN-BLOCK-RELOAD") != "YES" or float(control["HOLD-BACK"]) < 3 * target or float(control["CAN-SKIP-UNTIL"]) < 6 * target:
        say("server control")
    if p.part_target:
        if float(control["PART-HOLD-BACK"]) < 3 * p.part_target:
            say("hold-back of less than three parts")
        whole = [s for s in p.segments if s.uri]
        if any(not s.parts and not s.gap for s in whole[-2:]):
            say("parts of the newest segments are not told")
        if any(s.parts for s in whole[:-2]):
            say("parts further than three target durations from the end are still told")
        last = p.segments[-1]
        all_chunks = bool(last.parts) and len(last.parts) * part_place(last.parts[0]["URI"])[2] >= chunks
        due = (last.n + 1, 0) if last.uri or all_chunks else (last.n, len(last.parts))
        if not p.hint or p.hint["TYPE"] != "PART" or part_place(p.hint["URI"])[:2] != due:
            say(f"hint {p.hint}, and {due} is due")
    return found


def judge_change(a, b):
    """What may not have changed from a to b, a later one of the same track."""
    found = []
    for tag in ("#EXT-X-TARGETDURATION", "#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF", "#EXT-X-VERSION"):
        if not b.ended and a.tags.get(tag) != b.tags.get(tag):
            found.append(f"{tag} changed")
    if b.first < a.first or b.newest() < a.newest():
        found.append("it went back")
    after = {s.n: s for s in b.segments}
    for s in a.segments:
        t = after.get(s.n)
        if t is None:
            if s.n >= b.first + b.skipped:
                found.append(f"segment {s.n} went")
            continue
        if s.uri and (s.uri, s.duration, s.gap) != (t.uri, t.duration, t.gap):
            found.append(f"segment {s.n} changed")
        if t.parts and s.parts != t.parts[:len(s.parts)]:
            found.append(f"the parts of segment {s.n} changed")
    return found
