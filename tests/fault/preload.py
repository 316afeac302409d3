"""Libraries that stand between a daemon and the system (LD_PRELOAD), each of one C file, whose comment says what it does and by which
environment variables it is told."""
import contextlib
import mmap
import os
import struct

from harness import TOP, run

HERE = os.path.join(TOP, "tests", "fault")


def build(name, folder, where=HERE):
    """Of NAME.c; returns the path of the library, in folder. In a sanitizer's run the test that wants it is skipped."""
    if os.environ.get("FRESHET_BIN"):
        import pytest  # benchmarks have none
        pytest.skip("a sanitizer's runtime wants to be the first library")
    library = os.path.join(str(folder), name + ".so")
    run("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, os.path.join(where, name + ".c"))
    return library


@contextlib.contextmanager
def preloaded(library, **environment):
    """What is started meanwhile has the library, and these variables."""
    environment = {"LD_PRELOAD": library, **{name: str(value) for name, value in environment.items()}}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


class Clock:
    """The system's clock, as daemons see it that have step_clock and STEP_CLOCK=path."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(8))
        with open(path, "r+b") as f:
            self._map = mmap.mmap(f.fileno(), 8)
        self.off_s = 0

    def set(self, off_s):
        self._map[:] = struct.pack("=q", off_s * 1000000)
        self.off_s = off_s
