"""The Debian packages, as far as it shows without making them (`make deb` does, and has lintian look at them)."""
import glob
import os
import re
import shlex

import pytest
from test_install import TOP, files, make

DEBIAN = os.path.join(TOP, "deploy", "debian")


def text(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the rules of the package install, less what they remove again."""
    root = str(tmp_path_factory.mktemp("debian"))
    command = re.search(r"\$\(MAKE\) install (.*?)\n\trm (.*?)\n", text(DEBIAN, "rules"), re.S)
    arguments = shlex.split(command.group(1).replace("\\\n", " ").replace("$(CURDIR)/debian/tmp", root))
    make("install", *arguments)
    for path in command.group(2).split():
        os.remove(path.replace("debian/tmp", root))
    return root


def claims():
    """package -> paths that its .install file names, without those of the source tree itself"""
    out = {}
    for path in glob.glob(os.path.join(DEBIAN, "*.install")):
        lines = [line.split() for line in text(path).splitlines()]
        out[os.path.basename(path)[:-len(".install")]] = [line[0] for line in lines if len(line) == 1]
        for source in (line[0] for line in lines if len(line) == 2):
            assert os.path.exists(os.path.join(TOP, source)), f"{path}: {source}"
    return out


def test_every_installed_file_is_in_one_package(installed):
    for name in files(installed):
        owners = [package for package, paths in claims().items() for path in paths
                  if name == path or name.startswith(path + "/")]
        assert len(owners) == 1, f"{name}: {owners}"


def test_every_path_of_a_package_is_installed(installed):
    for package, paths in claims().items():
        for path in paths:
            assert os.path.exists(os.path.join(installed, path)), f"{package}: {path}"


def test_packages_are_those_of_control():
    packages = re.findall(r"^Package: (.*)$", text(DEBIAN, "control"), re.M)
    assert sorted(packages) == sorted([*claims(), "freshet"])


def test_the_package_builds_of_what_install_deps_lists():
    listed = re.search(r"^build='(.*?)'", text("deploy", "install-deps"), re.S | re.M).group(1).split()
    wanted = text(DEBIAN, "control").split("Rules-Requires-Root")[0]
    for package in listed:
        if package.endswith("-dev") and package != "libc6-dev":
            assert f" {package},\n" in wanted, package
