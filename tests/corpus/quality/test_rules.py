"""Gopher, C4 and FineWeb rules decide as datatrove 0.10.1 did; fixture by tests/oracles.

Its texts are pages of manuals under BSD, MIT, Apache-2.0, PSF and PostgreSQL licences, or made up.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.quality.rules import (
    C4,
    C4Config,
    FineWeb,
    FineWebConfig,
    Gopher,
    GopherConfig,
    GopherRepetition,
    GopherRepetitionConfig,
)
from groundup.documents import Record, SourceMap, StepResult, apply_result

FIXTURE = Path(__file__).parents[2] / "fixtures/datatrove_filters.jsonl.gz"
ROWS = [json.loads(line) for line in gzip.open(FIXTURE, "rt", encoding="utf-8")]
STEPS = {
    "gopher_repetition": GopherRepetition(GopherRepetitionConfig()),
    "gopher": Gopher(GopherConfig()),
    "c4": C4(C4Config()),
    "c4_lines": C4(C4Config(terminal_punctuation=False, curly_bracket=False)),
    "fineweb": FineWeb(FineWebConfig()),
}
HOSTILE = ["", "\0", "\ud800 a", " \n\t", "a" * 1_000_000, "<" * 100_000, "( " * 50_000, "\n" * 9]


def record(text: str) -> Record:
    return Record(
        "1", "s", "p", "text", text, SourceMap.identity(text) if text else SourceMap("", ())
    )


@pytest.mark.parametrize("name", STEPS)
def test_decisions_are_datatroves(name):
    wrong = []
    for number, row in enumerate(ROWS):
        theirs = row["decisions"][name]
        reason = STEPS[name](record(row["text"])).reason.partition(": ")[2]
        ours = f"gopher_{reason}" if name == "gopher" and reason else reason
        if ours != theirs and theirs != "empty":
            wrong.append((number, ours, theirs))
    assert not wrong
    assert len({row["decisions"][name] for row in ROWS}) >= 3, "the fixture shows several reasons"


def test_what_c4_leaves_of_a_page_is_what_datatrove_leaves():
    kept = [row for row in ROWS if "c4_text" in row["decisions"]]
    assert len(kept) > 50
    for row in kept:
        one = record(row["text"])
        after = apply_result(one, STEPS["c4_lines"](one)).text
        assert after.strip() == row["decisions"]["c4_text"]


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_judged(name, text):
    one = Record("1", "s", "p", "text", text, SourceMap(text, ()))
    assert STEPS[name](one).reason or name == "gopher_repetition"


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_c4_edits_can_always_be_carried_out(text):
    step = C4(C4Config(min_sentences=-1, min_words_per_line=-1, terminal_punctuation=False))
    one = record(text)
    ruling = step(one)
    if not ruling.reason:
        assert len(apply_result(one, ruling).text) <= len(text)


@pytest.mark.parametrize("name", ["gopher", "c4"])
def test_other_languages_pass_with_a_note(name):
    kinds = {"gopher": (Gopher, GopherConfig), "c4": (C4, C4Config)}
    step, config = kinds[name]
    german = {"language": "de", "language_score": 0.98}

    def ruled(metadata, **settings):
        one = replace(record("zu wenige Wörter"), metadata=metadata)
        return step(config(**settings))(one)

    assert ruled(german) == StepResult(metadata={"rules_not_asked": [name]})
    noted = ruled(german | {"rules_not_asked": ["other"]})
    assert noted.metadata == {"rules_not_asked": ["other", name]}
    for metadata in (
        {},
        {"language": "de"},
        german | {"language": "und"},
        german | {"language": "en"},
    ):
        assert ruled(metadata).reason
    assert ruled(german, languages="all").reason and ruled(german, languages=["en", "de"]).reason


def test_the_value_that_decided_is_told():
    ruling = STEPS["gopher"](record("too few words"))
    assert (ruling.reason, ruling.value) == ("gopher: short_doc", 3)
