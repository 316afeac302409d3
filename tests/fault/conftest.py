import itertools
import json
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]

from broadcast import make_source  # noqa: E402  (the path is set above)
from faults import PATIENT, FaultCluster  # noqa: E402
from network import NetworkCluster, require  # noqa: E402

SOURCE_S = 150  # more than any of these tests takes, on a busy machine too
REDUNDANCY = [{"match": "hot*", "transcoders": 2}]
LONG_SOURCE_S = 400


def pytest_configure(config):
    config.addinivalue_line("markers", "bounded: belongs to the subset that `make check` runs")


def pytest_collection_modifyitems(items):
    """What takes longest comes first: where several files are run at a time it is not alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_store_faults.py")


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source"), SOURCE_S)


@pytest.fixture(scope="session")
def long_source(tmp_path_factory):
    """For tests that take their time."""
    return make_source(tmp_path_factory.mktemp("long-source"), LONG_SOURCE_S)


@pytest.fixture(scope="session")
def _two(tmp_path_factory):
    with FaultCluster(tmp_path_factory.mktemp("two"), sets=[f"ingestd.redundancy={json.dumps(REDUNDANCY)}", *PATIENT]) as made:
        yield made
        made.revive()


@pytest.fixture
def two(_two):
    """Two of everything; one cluster for all faults, whole again before each."""
    _two.revive()
    return _two


@pytest.fixture(scope="session")
def _net(tmp_path_factory):
    require()
    with NetworkCluster(tmp_path_factory.mktemp("net"), seed=1, sets=PATIENT) as made:
        yield made


@pytest.fixture
def net(_net):
    """Two of everything, each in a network namespace of its own."""
    _net.switch.heal_all()
    _net.revive()
    return _net


_streams = itertools.count(1)


@pytest.fixture
def stream(request):
    """A stream name for this test alone, with this parameter, this time: one that another had is listed for a while, ended."""
    return "".join(c if c.isalnum() else "_" for c in request.node.name)[5:40].strip("_") + f"_{next(_streams)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the nodes said meanwhile."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for cluster in (v for v in getattr(item, "funcargs", {}).values() if isinstance(v, FaultCluster)):
            lines = []
            for name in cluster.nodes():
                lines += [line[:260] for line in cluster.log(name).splitlines() if line.startswith("ts=")]
            report.sections.append((f"logs in {cluster.dir}", "\n".join(sorted(lines)[-90:])))
