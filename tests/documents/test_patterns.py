"""Pattern files: fragments are replaced, every pattern compiles, no list names one twice."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import groundup.corpus
import groundup.documents
from groundup.documents.licences.statements import LICENCES
from groundup.documents.patterns import expand, join_lines, read_patterns

ROOT = Path(groundup.documents.__file__).parent
ROOMS = ("books", "code", "conversations", "licences")
FILES = sorted(path for room in ROOMS for path in ROOT.glob(f"{room}/*.toml"))
FILES.append(ROOT / "articles/parts.toml")
FILES.remove(ROOT / "code/definitions.toml")  # queries of another kind
BUILT = {"ANY_ELEMENT", "LONG_ELEMENT", "CC_ARABIC"}
"""Fragments that the code builds."""


def lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for item in value.values() if isinstance(value, dict) else ():
        yield from lists(item)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        yield from strings(item)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_string_is_a_pattern_and_stands_once_in_its_list(path):
    tables = read_patterns(path)
    for text in strings(tables):
        names = set(re.findall(r"\{([A-Z][A-Z_]+)\}", text))
        assert names <= BUILT, f"no such fragment: {names - BUILT}"
        re.compile(text)
    for values in lists(tables):
        assert values and len(values) == len({str(value) for value in values})


@pytest.mark.parametrize(
    "name", ["safety/personal.toml", "safety/secrets.toml", "questions/patterns.toml"]
)
def test_the_files_of_corpus_have_no_fragment_left(name):
    tables = read_patterns(Path(groundup.corpus.__file__).parent / name)
    assert not [text for text in strings(tables) if re.search(r"\{[A-Z][A-Z_]+\}", text)]


def test_fragments_may_use_others_and_line_breaks_are_layout(tmp_path):
    path = tmp_path / "tables.toml"
    fragments = "[fragments]\nDIGIT = '[0-9]'\nYEAR = '{DIGIT}{4}'\n"
    path.write_text(fragments + "[patterns]\nx = '''(?<!x){YEAR}\n|{DIGIT}'''\n")
    assert join_lines(read_patterns(path)["patterns"]["x"]) == "(?<!x)[0-9]{4}|[0-9]"


def test_fragments_are_replaced_and_repetitions_stay():
    assert expand(["{NICK}{1,3}", "{HOST}"], {"NICK": "b"}) == ["b{1,3}", "{HOST}"]


def test_the_licences_have_no_fragment_left():
    assert not [pattern for pattern, _ in LICENCES if re.search(r"\{[A-Z]", pattern)]
