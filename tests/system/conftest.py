import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import media  # noqa: E402  (the path is set above)
import rtmp  # noqa: E402
from harness import LATE_IS_FINE, TINY_LADDER, Cluster  # noqa: E402


# Where several files are run at a time these come first, so that none of them is alone at the end.
LONGEST = {f"test_{name}.py" for name in ("freshet_command", "frames", "operations", "owners", "private", "retention")}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with the ends of the logs of the clusters it used."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for cluster in _clusters(item):
            for name in sorted(os.listdir(cluster.dir)):
                path = os.path.join(cluster.dir, name)
                if name.endswith((".log", ".txt")):
                    with open(path, encoding="utf-8", errors="replace") as f:
                        lines = f.readlines()[-(25 if name.endswith(".log") else 6):]
                        report.sections.append((path, "\n".join(line.rstrip()[:300] for line in lines)))


def _clusters(item):
    for value in getattr(item, "funcargs", {}).values():
        if isinstance(value, Cluster):
            yield value
        elif hasattr(value, "made"):
            yield from value.made


@pytest.fixture(autouse=True)
def publishers_end_with_their_test(request):
    """What a test publishes takes no cores from the next one; what a fixture publishes for a module goes on."""
    before = {id(c): len(c.publishers) for c in _clusters(request.node)}
    yield
    for cluster in _clusters(request.node):
        for publisher in cluster.publishers[before.get(id(cluster), 0):]:
            if publisher.running():
                publisher.stop()


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    """Sound and pictures of two minutes, as FLV's tags: longer than any test needs them."""
    path = tmp_path_factory.mktemp("source") / "s.flv"
    media.make_stamped(path, "30", 120, size="320x180")
    return [t for t in rtmp.flv_tags(path) if t[0] in (rtmp.AUDIO, rtmp.VIDEO)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One of each daemon, for all tests of a module; each test uses a stream name of its own."""
    with Cluster(tmp_path_factory.mktemp("cluster"), sets=LATE_IS_FINE) as made:
        yield made


@pytest.fixture
def make_cluster(tmp_path):
    """make_cluster(sets=[...], transcoders=2, ...): a cluster for this test alone."""
    with contextlib.ExitStack() as clusters:
        def make(**options):
            make.made.append(clusters.enter_context(Cluster(tmp_path / f"cluster-{len(make.made)}", **options)))
            return make.made[-1]
        make.made = []
        yield make


@pytest.fixture(scope="module")
def cluster_tiny(tmp_path_factory):
    """The same with one small rung, where the picture does not matter."""
    with Cluster(tmp_path_factory.mktemp("tiny"), ladder=TINY_LADDER) as made:
        yield made
