"""Every log line, metric, label value and configuration key that the documents name exists in the sources. What a person looks
for at night has to be there."""
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAEMONS = ["ingestd", "transcoderd", "originD", "edged"]
DOCUMENTS = ["README.md", "SECURITY.md", "docs/operations.md", "deploy/k8s/README.md", "deploy/prometheus/rules.yml"]
METRIC = re.compile(r"\b((?:freshet|ingestd|transcoderd|originD|edged)_[a-z][a-z0-9_]*[a-z0-9])(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)="([a-z_0-9A-Z]+)"')


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def sources():
    files = [os.path.join(where, name) for part in ("common", "proto", *DAEMONS) for where, _, names in os.walk(os.path.join(TOP, part))
             for name in names if name.endswith((".c", ".h"))]
    text = "\n".join(read(path) for path in sorted(files))
    text = re.sub(r'"\s*\\?\n\s*"', "", text)  # a text that goes on on the next line
    return text.replace('\\"', '"')


@pytest.fixture(scope="module")
def code():
    return sources()


@pytest.fixture(scope="module")
def keys():
    """Of all daemons."""
    out = set()
    for daemon in DAEMONS:
        said = subprocess.run([os.path.join(TOP, "bin", daemon), "--help"], capture_output=True, text=True, timeout=120, check=True).stdout
        out |= set(re.findall(r"^([a-z]\w*)(?: [*+])* = ", said, re.M))
    assert len(out) > 60
    return out


def formats(code):
    """Of lines that are made with printf, and have words of their own."""
    for line in re.findall(r'msg="([^"]*%[^"]*)"', code):
        parts = re.split(r"%\w+", line)
        if len("".join(parts)) > 12:
            yield re.compile(".+".join(re.escape(part) for part in parts))


def recorded(rules):
    return set(re.findall(r"^\s*- record: (\S+)", rules, re.M))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_log_lines(document, code):
    """`msg="begins so…"` stands for every line that begins so; what a line says of its own (`given …`) is not looked for."""
    shown = "\n".join(re.findall(r"`([^`\n]+)`", read(document)))
    for quoted in re.findall(r'\b(?:msg|why|result)="([^"\n]+)"', shown):
        fixed = re.split(r"\s*(?:…|\(…\))", quoted)[0]
        if fixed and not fixed.endswith(("given", "these:")):
            assert fixed in code or any(line.fullmatch(fixed) for line in formats(code)), f'{document} names "{quoted}"'


@pytest.mark.parametrize("document", DOCUMENTS)
def test_metrics(document, code):
    text = read(document)
    own = recorded(read("deploy/prometheus/rules.yml"))
    found = METRIC.findall(text)
    for name, labels in found:
        plain = re.sub(r"_(?:bucket|sum|count)$", "", name)
        assert name in own or f'"{name}"' in code or f'"{plain}"' in code or name in IMAGES, f"{document} names {name}"
        for label, value in LABEL.findall(labels):
            assert f'"{value}"' in code or f'="{value}"' in code or label == "status", f'{document} names {name}{{{label}="{value}"}}'


# Names of containers and volumes that only look like metrics.
IMAGES = {"freshet_edge", "freshet_origin"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_configuration_keys(document, code, keys):
    """Where they are given a value (daemon.key=…, FRESHET_KEY=…), and words in `` that end as keys do: those may be a word of
    the code's that is no key, a reason or a member of an answer."""
    text = read(document)
    given = set(re.findall(r"\b(?:ingestd|transcoderd|originD|edged)\.([a-z]\w*)=", text))
    given |= {k.lower() for k in re.findall(r"\bFRESHET_([A-Z]\w*)", text)} - {"key", "bin", "publish"}  # any key; not the daemons'
    for key in sorted(given):
        assert key in keys or re.sub(r"_file$", "", key) in keys, f"{document} sets {key}"
    for word in re.findall(r"`([a-z]+(?:_[a-z]+)*_(?:ms|s|bytes|max|port|keys|jwks|webhook|certs|bind|token))(?:=[^`]*)?`", text):
        assert word in keys or f'"{word}"' in code or f"{word}=" in code, f"{document} names {word}"
