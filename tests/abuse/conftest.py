import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(TESTS, "fault"), os.path.join(TESTS, "system")]

import abuse  # noqa: E402  (the path is set above)
import media  # noqa: E402
from broadcast import FPS, TONE_HZ  # noqa: E402
from faults import FaultCluster  # noqa: E402
from harness import TINY_LADDER, TOP  # noqa: E402

# A machine that is busy with other things is no fault.
PATIENT = ["transcoderd.slate_after_ms=3000", "transcoderd.shed_after_ms=600000"]
SOURCE_S, LONG_SOURCE_S = 240, 900
TABLE = os.path.join(TOP, "build", "abuse.txt")
ROW = "abuse row"


def pytest_addoption(parser):
    parser.addoption("--abuse-long", action="store_true", help="attacks as large as they may come, not those of a few seconds")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with --abuse-long")
    config.abuse_rows = []


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--abuse-long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="only with --abuse-long"))


# ---- the table

class Table:
    def __init__(self, properties):
        self._properties = properties

    def row(self, trial, bound, seen):
        self._properties.append((ROW, [str(trial), str(bound), str(seen)]))


@pytest.fixture
def table(request):
    """row(trial, bound, seen): a line of what is printed at the end of the run, and written to build/abuse.txt."""
    return Table(request.node.user_properties)


class Rows:
    """Of all tests, wherever they ran: reports bring them here."""

    def __init__(self, config):
        self.config = config

    def pytest_runtest_logreport(self, report):
        if report.when == "teardown":
            self.config.abuse_rows += [row for name, row in report.user_properties if name == ROW]

    def pytest_terminal_summary(self, terminalreporter):
        if not self.config.abuse_rows:
            return
        rows = [["trial", "bound", "seen"], *self.config.abuse_rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        text = "".join(" | ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n" for row in rows)
        os.makedirs(os.path.dirname(TABLE), exist_ok=True)
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write(text)
        terminalreporter.write("\n" + text)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):  # with pytest-xdist: where reports come together
        session.config.pluginmanager.register(Rows(session.config))


# ---- the cluster, and the stream on it

@pytest.fixture(scope="session")
def load(request):
    """load(short, long): what the run asks for."""
    return lambda short, long: long if request.config.getoption("--abuse-long") else short


@pytest.fixture(scope="session")
def source(tmp_path_factory, load):
    path = os.path.join(str(tmp_path_factory.mktemp("source")), "stamped.flv")
    media.make_stamped(path, str(FPS), load(SOURCE_S, LONG_SOURCE_S), size="320x180",
                       sound=f"sine=frequency={TONE_HZ}:sample_rate=48000,volume=4,aformat=channel_layouts=stereo")
    return path


@pytest.fixture(scope="module")
def cluster(request, tmp_path_factory):
    """One of each daemon, for all attacks of a file, which may say SETS, LADDER, FLAGS (of deploy/local) and TIERS (dict(edges=2))."""
    said = request.module
    tiers = {**dict(ingests=1, transcoders=1, origins=1, edges=1), **getattr(said, "TIERS", {})}
    with FaultCluster(tmp_path_factory.mktemp("abuse"), ladder=getattr(said, "LADDER", TINY_LADDER),
                      sets=[*PATIENT, *getattr(said, "SETS", [])], flags=getattr(said, "FLAGS", ()), **tiers) as made:
        made.wait_whole()
        yield made


@pytest.fixture(scope="module")
def _healthy(cluster, source):
    made = abuse.Healthy(cluster, source)
    yield made
    made.end()


@pytest.fixture
def healthy(_healthy, table, request):
    return abuse.Watching(_healthy, table, request.node.name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the nodes said meanwhile."""
    outcome = yield
    report = outcome.get_result()
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.when == "call" and report.failed and isinstance(cluster, FaultCluster):
        said = [line[:260] for name in cluster.nodes() for line in cluster.log(name).splitlines() if line.startswith("ts=")]
        report.sections.append((f"logs in {cluster.dir}", "\n".join(sorted(said)[-60:])))
