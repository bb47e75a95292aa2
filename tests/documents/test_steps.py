"""Steps are made of a configuration alone; in their pattern files every pattern compiles, once."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import groundup.documents
from groundup.core import Config
from groundup.documents import REMOVED, STEPS
from groundup.documents.books.rights.licences import LICENCES
from groundup.documents.steps import expand, read_patterns

ROOT = Path(groundup.documents.__file__).parent
FILES = sorted((*ROOT.glob("books/**/*.toml"), *ROOT.glob("conversations/*.toml")))
BUILT = {"ANY_ELEMENT", "LONG_ELEMENT", "CC_ARABIC", "WORK_NOUNS"}
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


def test_fragments_are_replaced_and_repetitions_stay():
    assert expand(["{NICK}{1,3}", "{HOST}"], {"NICK": "b"}) == ["b{1,3}", "{HOST}"]


def test_the_licences_have_no_fragment_left():
    assert not [pattern for pattern, _ in LICENCES if re.search(r"\{[A-Z]", pattern)]


def test_names_are_a_room_and_a_verb():
    assert all(name.count(".") == 1 and name == name.lower() for name in STEPS)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_step_is_made_from_its_configuration(name):
    module, _, cls = STEPS[name].partition(":")
    config = get_type_hints(getattr(import_module(module), cls).__init__)["config"]
    assert issubclass(config, Config)
    undocumented = [key for key, field in config.model_fields.items() if not field.description]
    assert not undocumented, f"{name}: fields without a docstring: {undocumented}"


def test_a_removed_step_is_no_step_and_names_a_replacement():
    assert not set(REMOVED) & set(STEPS)
    assert all(text.endswith(".") for text in REMOVED.values())
