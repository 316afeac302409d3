"""Sources with a number in each frame and a beep in each second, and what comes out of a rung when it is decoded."""
import json
import os
import subprocess
from fractions import Fraction

import numpy

import rtmp
from harness import STAMP, run

AUDIO_RATE = 48000
BEEP_S = 0.05


def make_stamped(path, fps, seconds, size="640x360", more=(), audio=True, sound=None):
    """A file of numbered frames (tests/tools/stamp.c), and a beep at each whole second, or another source of sound in ffmpeg's
    words. fps is a string, "30000/1001"."""
    frames = int(Fraction(fps) * seconds)
    picture = [STAMP, "write", "--size", size, "--fps", fps, "--frames", str(frames)]
    sound = sound or f"aevalsrc='0.7*sin(2*PI*1000*t)*lt(mod(t,1),{BEEP_S})':s={AUDIO_RATE}:c=stereo"
    encode = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y",
              "-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", size, "-framerate", fps, "-i", "-"]
    if audio:
        encode += ["-f", "lavfi", "-t", str(seconds), "-i", sound, "-c:a", "aac", "-b:a", "128k"]
    encode += ["-c:v", "libx264", "-preset", "ultrafast", "-g", str(int(Fraction(fps) * 2)), "-threads", "1",
               *more, "-f", "flv", str(path)]
    stamp = subprocess.Popen(picture, stdout=subprocess.PIPE)
    try:
        run(*encode, stdin=stamp.stdout, timeout=600)
    finally:
        stamp.stdout.close()
        stamp.wait()
    return frames


def _spoken(text):
    """The byte pairs of CEA-608 that put a text on show in the bottom row (pop-on), control codes twice as they are sent."""
    twice = lambda *codes: [(0x14, c) for c in codes for _ in range(2)]
    letters = (text + " " * (len(text) % 2)).encode()
    return twice(0x20, 0x2e, 0x70) + list(zip(letters[::2], letters[1::2])) + twice(0x2f)


def _with_parity(byte):
    return byte | (0 if bin(byte).count("1") % 2 else 0x80)


def add_captions(path, every=25):
    """To an FLV file of H.264: another text every so many pictures, in the first field of CEA-608, an empty pair where nothing is
    said, and in the second field."""
    out, pictures, due = b"FLV\x01\x05\0\0\0\x09\0\0\0\0", 0, []
    for kind, timestamp, payload in list(rtmp.flv_tags(path)):
        if kind == rtmp.VIDEO and payload[1] == 1:
            if pictures % every == 0:
                due += _spoken(f"TEXT {pictures // every}")
            pictures += 1
            pair = bytes(_with_parity(b) for b in (due.pop(0) if due else (0, 0)))
            said = b"\xb5\0\x31GA94\x03\xc2\xff\xfc" + pair + b"\xfd\x80\x80\xff"
            nal = b"\x06\x04" + bytes([len(said)]) + said + b"\x80"
            payload = payload[:5] + len(nal).to_bytes(4, "big") + nal + payload[5:]
        head = bytes([kind]) + len(payload).to_bytes(3, "big") + (timestamp & 0xffffff).to_bytes(3, "big") + bytes([timestamp >> 24])
        out += head + bytes(3) + payload + (11 + len(payload)).to_bytes(4, "big")
    with open(path, "wb") as f:
        f.write(out)


def frames_with_captions(path):
    shown = probe(path, "-select_streams", "v", "-show_frames")["frames"]
    return sum(any("Captions" in d["side_data_type"] for d in f.get("side_data_list", [])) for f in shown)


def probe(path_or_url, *what):
    return json.loads(run("ffprobe", "-v", "error", "-of", "json", *what, str(path_or_url)).stdout)


def read_numbers(path, width, height):
    """The number in each decoded frame, in order; None where it could not be read."""
    decode = subprocess.Popen(["ffmpeg", "-v", "fatal", "-i", str(path), "-map", "0:v", "-fps_mode", "passthrough",
                               "-pix_fmt", "gray", "-f", "rawvideo", "-"], stdout=subprocess.PIPE)
    read = run(STAMP, "read", "--size", f"{width}x{height}", stdin=decode.stdout)
    decode.stdout.close()
    assert decode.wait() == 0, "decoding failed"
    first = [line.split()[0] for line in read.stdout.decode().splitlines()]
    return [None if n == "-" else int(n) for n in first]


def read_sound(path):
    """Decoded samples of the first channel, -1 … 1."""
    raw = run("ffmpeg", "-v", "error", "-i", str(path), "-map", "0:a", "-ac", "1", "-ar", str(AUDIO_RATE), "-f", "s16le", "-").stdout
    return numpy.frombuffer(raw, "<i2").astype(float) / 32768


def beep_starts(sound):
    """Seconds from the first sample at which each beep begins: where a 1 ms mean passes a quarter of the peak."""
    block = AUDIO_RATE // 1000
    loud = numpy.abs(sound[:len(sound) // block * block]).reshape(-1, block).mean(axis=1)
    on = loud > loud.max() / 4
    starts = numpy.flatnonzero(on & ~numpy.concatenate(([False], on[:-1])))
    out = []
    for s in starts:
        if not out or s / 1000 - out[-1] > 0.5:
            out.append(s / 1000)
    return out


def save(directory, name, init, segments):
    path = os.path.join(str(directory), name)
    with open(path, "wb") as f:
        f.write(init)
        for segment in segments:
            f.write(segment)
    return path
