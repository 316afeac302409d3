"""Every log line, metric, label value, configuration key, file, function and struct that the documents name exists in the
sources. What a person looks for at night has to be there, and so has what somebody wants to change."""
import fnmatch
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAEMONS = ["ingestd", "transcoderd", "originD", "edged"]
DOCUMENTS = ["README.md", "SECURITY.md", "CHANGELOG.md", "ARCHITECTURE.md", "docs/operations.md", "docs/performance.md", "proto/README.md",
             "tests/model/README.md", "deploy/k8s/README.md", "deploy/prometheus/rules.yml"]
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
def paths():
    """Of every file and folder that is part of the source, each with a / in front, so that the end of one can be looked for."""
    out = set()
    for where, folders, names in os.walk(TOP):
        folders[:] = [f for f in folders if f not in MADE and not (f.startswith(".") and f != ".env.example")]
        out |= {"/" + os.path.relpath(os.path.join(where, name), TOP) for name in names + folders}
    return out


@pytest.fixture(scope="module")
def words(code, paths):
    """Of the code and the models, and what files are called."""
    text = code + read("tests/model/store.pml") + read("tests/model/volumes.pml") + read("tests/model/claims.pml")
    return set(re.findall(r"\w+", text)) | {os.path.splitext(os.path.basename(path))[0] for path in paths}


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


MADE = {"build", "bin", "run", "node_modules", "__pycache__"}
FILE = re.compile(r"[\w.*{},/-]+\.(?:[ch]|py|pml|mjs|md|yml|cfg)")
# What the documents show of files that are made, or are somebody else's.
NOT_OURS = {"pan.c"}


def alternatives(path):
    """a/{b,c}.h -> a/b.h, a/c.h"""
    inside = re.search(r"\{([^}]*)\}", path)
    if not inside:
        return [path]
    return [path[:inside.start()] + part + path[inside.end():] for part in inside[1].split(",")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files(document, paths):
    """What is written as code and ends as a source does, or lies in a folder of ours; the folders before it may be left out."""
    top = {p.split("/")[1] for p in paths if p.count("/") > 1}
    for quoted in re.findall(r"`([^`\n]+)`", read(document)):
        for word in quoted.split():
            ours = FILE.fullmatch(word) or (word.split("/")[0] in top and re.fullmatch(r"[\w.*{},/-]+/[\w.*{},/-]*", word))
            if not ours or "freshet.service" in word:
                continue
            for path in alternatives(word.rstrip("/")):
                if path in NOT_OURS or path.split("/")[0] in MADE:
                    continue
                assert any(fnmatch.fnmatchcase(p, "*/" + path) for p in paths), f"{document} names {path}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_functions_and_structs(document, words):
    for quoted in re.findall(r"`([^`\n]+)`", read(document)):
        for name in re.findall(r"\b([a-z]\w+)\(\)", quoted) + re.findall(r"\bstruct (\w+)", quoted):
            assert name in words, f"{document} names {name}"


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "proto/README.md", "tests/model/README.md"])
def test_fields_and_constants(document, words):
    """Those who change the code are shown fields, keys and constants by their names."""
    text = read(document)
    named = {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"(?<![\w./-])[a-z]+(?:_[a-z0-9]+)+\b(?![./])", quoted)}
    named |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b(?!/)", text)) - {"DATA_DIR"}
    assert named
    for word in sorted(named):
        assert word in words, f"{document} names {word}"


def message_types():
    """By name, counted as the compiler does."""
    out, number = {}, 0
    for name, given in re.findall(r"\bMSG_(\w+)(?: = (\d+))?,", read("proto/message.h")):
        number = int(given) if given else number + 1
        out[name] = number
    return out


def test_the_table_of_messages_has_their_types():
    types = message_types()
    table = read("proto/README.md").split("| type | message ")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (\d+)(?:, (\d+))? \| (\w+) ", table, re.M)
    told = {}
    for asked, answered, name in rows:
        told[name] = int(asked)
        if answered:
            told[f"{name}_REPLY"] = int(answered)
    assert told == types


def test_the_table_of_sockets_has_their_ports():
    rows = re.findall(r"^\| (\w+) \| ((?:\d{4} \w+(?:, )?)+) \|", read("proto/README.md"), re.M)
    assert len(rows) > 5
    for daemon, listens in rows:
        said = subprocess.run([os.path.join(TOP, "bin", daemon), "--help"], capture_output=True, text=True, timeout=120, check=True).stdout
        for port in re.findall(r"\d{4}", listens):
            assert re.search(rf"^\w*port(?: [*+])* = {port}\b", said, re.M), f"{daemon} {port}"


def test_what_something_that_dies_is_met_with_stands_in_the_file_that_the_table_names():
    table = read("ARCHITECTURE.md").split("## When something dies")[1].split("\n\n")[2]
    rows = [row.split("|")[1:-1] for row in table.splitlines()[2:]]
    assert len(rows) > 10
    for fails, _, files, functions in rows:
        folder, texts = "", []
        for path in re.findall(r"`([^`]+)`", files):
            folder = os.path.dirname(path) or folder
            texts.append(read(os.path.join(folder, os.path.basename(path))))
        for name in re.findall(r"`(\w+)\(\)`", functions):
            assert any(re.search(rf"^\w[^;\n]*\b{name}\([^;]*$", text, re.M) for text in texts), f"{fails}: {name}() is not in {files}"


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
