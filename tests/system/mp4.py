"""Just enough of ISO BMFF to say which samples a segment holds and when."""
import struct
from collections import namedtuple

Sample = namedtuple("Sample", "dts cts duration size sync")  # times in the track's timescale; presentation is dts + cts


def boxes(data, start=0, end=None):
    """(type, first byte of the contents, end) of each box."""
    end = len(data) if end is None else end
    at = start
    while at < end:
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            size, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        assert size >= header and at + size <= end, f"box {kind} of {size} bytes at {at} does not fit"
        yield kind.decode("latin-1"), at + header, at + size
        at += size


def find(data, path, start=0, end=None):
    kind, _, rest = path.partition("/")
    for name, first, last in boxes(data, start, end):
        if name == kind:
            return find(data, rest, first, last) if rest else (first, last)
    raise AssertionError(f"no {path}")


def timescale(init):
    first, _ = find(init, "moov/trak/mdia/mdhd")
    return struct.unpack_from(">I", init, first + (20 if init[first] == 1 else 12))[0]


def has_edit_list(init):
    return b"elst" in init


def _defaults(init):
    first, _ = find(init, "moov/mvex/trex")
    return struct.unpack_from(">III", init, first + 12)  # duration, size, flags


def _full(data, at):
    return data[at], int.from_bytes(data[at + 1:at + 4], "big")


def _fragment(data, first, last, trex):
    duration, size, flags = trex
    tfhd, _ = find(data, "tfhd", first, last)
    _, present = _full(data, tfhd)
    at = tfhd + 8
    at += 8 * bool(present & 0x1) + 4 * bool(present & 0x2)
    if present & 0x8:
        duration, at = struct.unpack_from(">I", data, at)[0], at + 4
    if present & 0x10:
        size, at = struct.unpack_from(">I", data, at)[0], at + 4
    if present & 0x20:
        flags = struct.unpack_from(">I", data, at)[0]
    tfdt, _ = find(data, "tfdt", first, last)
    dts = struct.unpack_from(">Q" if data[tfdt] == 1 else ">I", data, tfdt + 4)[0]
    samples = []
    for kind, at, _ in boxes(data, first, last):
        if kind != "trun":
            continue
        version, present = _full(data, at)
        count, at = struct.unpack_from(">I", data, at + 4)[0], at + 8
        at += 4 * bool(present & 0x1)
        first_flags = None
        if present & 0x4:
            first_flags, at = struct.unpack_from(">I", data, at)[0], at + 4
        for i in range(count):
            d, s, f, c = duration, size, flags, 0
            if i == 0 and first_flags is not None:
                f = first_flags
            if present & 0x100:
                d, at = struct.unpack_from(">I", data, at)[0], at + 4
            if present & 0x200:
                s, at = struct.unpack_from(">I", data, at)[0], at + 4
            if present & 0x400:
                f, at = struct.unpack_from(">I", data, at)[0], at + 4
            if present & 0x800:
                c, at = struct.unpack_from(">i" if version else ">I", data, at)[0], at + 4
            samples.append(Sample(dts, c, d, s, not f & 0x10000))
            dts += d
    return samples


def fragments(init, segment):
    """A list of samples for each moof of the segment."""
    trex = _defaults(init)
    out = []
    for kind, first, last in boxes(segment):
        if kind == "moof":
            traf, end = find(segment, "traf", first, last)
            out.append(_fragment(segment, traf, end, trex))
    return out


def samples(init, segment):
    return [s for fragment in fragments(init, segment) for s in fragment]
