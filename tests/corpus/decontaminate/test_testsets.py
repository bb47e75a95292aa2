"""What repeats a sample is found whatever its spelling, and what only resembles it stays."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from groundup.core import DataError, Message, Sample
from groundup.corpus.decontaminate.lineage import TrainingText, _compare_samples
from groundup.corpus.decontaminate.testsets import (
    BOUNDED_LENGTH,
    TestSets,
    TestSetsConfig,
    _build_testset_index,
    build_ngram_index,
    match_tokens,
    sample_texts,
)
from groundup.corpus.dedup import sketch
from groundup.documents import NamedStep, Step, run_steps
from groundup.measure import TestSetCard, make_testset
from tests.corpus.dedup.shards import record, words

QUESTION = "In which year did the first ship of the line leave the harbour of Bremen?"


@pytest.fixture
def samples(tmp_path):
    rows = [
        {"id": "long", "question": words(1, 60), "answer": "Bremen"},
        {"id": "year", "question": QUESTION, "answer": "In 1847."},
        {"id": "whole", "question": "What is the tallest of the nine northern towers?"},
        {"id": "line", "question": "Who wrote the manual?"},
        {"id": "short", "question": "Why so?", "answer": "No."},
    ]
    path = tmp_path / "exam.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def step(samples, tmp_path, **settings) -> TestSets:
    return TestSets(TestSetsConfig(testsets=(str(samples),), index=str(tmp_path / "i"), **settings))


@pytest.mark.parametrize(
    ("text", "sample"),
    [
        (f"Quiz. {QUESTION.upper().replace(' ', '  ')} Answer: 1847", "year"),
        (" ".join(words(1, 60).split()[20:33]), "long"),
        ("so: what is the tallest, of the nine northern towers", "whole"),
        ("before\n  Who wrote the MANUAL?\nafter", "line"),
        ("Q: Who wrote the manual?\nA: Ada", "line"),
        ("some text 1. Who wrote the manual", "line"),
        ("Who wrote the manual? Ada Lovelace", "line"),
        ("| Who wrote the manual? | Ada |", "line"),
        ('{"question": "Who wrote the manual?"}', "line"),
        ("{'q': 'Who wrote the manual?', 'a': 1}", "line"),
        ("<li>Who wrote the manual?</li>", "line"),
        ("Er fragte: „Who wrote the manual?“ und ging", "line"),
        ("Quiz — **Who wrote the manual** next", "line"),
        ("Who wr\u00adote the man\u200bual?", "line"),
        ("x " + QUESTION.replace("eme", "e\u00adme").replace("hi", "h\u200b\ufeffi"), "year"),
    ],
)
def test_a_repeated_sample_is_found(samples, tmp_path, text, sample):
    one = step(samples, tmp_path)
    assert isinstance(one, Step)
    ruling = one(record("a", text))
    assert ruling.reason == "test set exam" and ruling.details == f"1 samples: {sample}"


@pytest.mark.parametrize(
    "text",
    [
        "", "\0", "a" * 1_000_000, "\n" * 100_000, "no " * 50_000, "Why so? No.",
        " ".join(words(1, 60).split()[20:32]), "He asked who wrote the manual? Nobody.",
        "Well, who wrote the manual?", "- who wrote the manual's end",
        "Who wrote the manual of it?", "who-wrote-the-manual-2", "?" * 100_000, "é—" * 100_000,
        "What is the tallest of the nine southern towers?", "In 1847 in Bremen.",
    ],
)  # fmt: skip
def test_what_only_resembles_stays(samples, tmp_path, text):
    assert not step(samples, tmp_path)(record("a", text)).reason


def test_a_share_of_8_grams_must_be_there(samples, tmp_path):
    half = " ".join(words(1, 60).split()[:30])
    most = " ".join(words(1, 60).split()[:50])
    one = step(samples, tmp_path, gram=8, share=0.7)
    assert not one(record("a", half)).reason and one(record("a", most)).reason
    assert step(samples, tmp_path, gram=8)(record("a", half)).reason


def test_a_place_is_cut_with_its_margin(samples, tmp_path):
    text = f"é {words(5, 80)} {QUESTION} {words(6, 80)} {QUESTION} {words(7, 80)}"
    judged = run_steps(
        [NamedStep("01 x", step(samples, tmp_path, action="span", margin=9))], [record("a", text)]
    )
    left = judged.kept[0]
    assert QUESTION not in left.text and len(left.text) == len(text) - 2 * (len(QUESTION) + 17)
    assert left.metadata["testset_samples"] == {"exam": ["year"]}
    assert [one.what for one in judged.removed] == ["removed", "removed"]
    assert {one.reason for one in judged.removed} == {"test set exam"}
    assert "year" in judged.removed[0].details and "ship of the line" in judged.removed[0].text
    many = f" {words(8, 300)} ".join([QUESTION] * 12)
    assert step(samples, tmp_path, action="span")(record("a", many)).reason
    assert step(samples, tmp_path, action="span")(record("a", QUESTION)).reason


def test_a_sealed_test_set_is_read(tmp_path):
    asked = (Message("user", QUESTION),)
    make_testset(
        TestSetCard(name="t"), [Sample("1", asked, ("in 1847 " * 7,))], {}, tmp_path / "sealed"
    )
    one = step(tmp_path / "sealed", tmp_path)
    assert one(record("a", f"x {QUESTION}")).reason == "test set sealed"
    assert one(record("a", "in 1847 " * 7)).reason


def test_workers_that_start_together_agree_on_one_index(samples, tmp_path):
    config = TestSetsConfig(testsets=(str(samples),), index=str(tmp_path / "i"))
    with ThreadPoolExecutor(8) as each:
        folders = set(each.map(_build_testset_index, [config] * 8))
    assert len(folders) == 1 and [one.name for one in (tmp_path / "i").iterdir()] == [
        folders.pop().name
    ]
    assert step(samples, tmp_path)(record("a", QUESTION)).reason == "test set exam"


def test_the_index_is_made_once_for_a_content(samples, tmp_path):
    config = step(samples, tmp_path).config
    folder = _build_testset_index(config)
    made = (folder / "keys.npy").stat().st_mtime_ns
    assert (
        _build_testset_index(config) == folder and (folder / "keys.npy").stat().st_mtime_ns == made
    )
    about = json.loads((folder / "items.json").read_text())
    assert about["too_short"] == {"exam": 1}
    samples.write_text(samples.read_text() + json.dumps({"question": words(9, 20)}) + "\n")
    assert _build_testset_index(config) != folder


def test_bad_test_sets_say_so(tmp_path):
    for name, text in (("a.jsonl", "{"), ("b.jsonl", '{"q": "x"}\n'), ("c.jsonl", "3\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="line 1"):
            step(tmp_path / name, tmp_path)
    with pytest.raises(DataError, match="not a test set"):
        step(tmp_path / "none", tmp_path)


def test_random_records_are_not_hit(samples, tmp_path):
    one, chance = step(samples, tmp_path), random.Random(0)
    for _ in range(200):
        assert not one(record("a", words(chance.randrange(10**6, 10**7), 300))).reason


@pytest.mark.parametrize(("between", "pieces"), [(16, 1), (17, 1), (18, 2)])
def test_places_whose_margins_touch_are_one(samples, tmp_path, between, pieces):
    # The question mark is no part of a place.
    text = f"{words(5, 80)} {QUESTION}{'-' * between}{QUESTION} {words(6, 80)}"
    ruling = step(samples, tmp_path, action="span", margin=9)(record("a", text))
    assert len(ruling.edits) == pieces


def test_other_settings_of_the_reading_make_another_index(samples, tmp_path):
    known = _build_testset_index(step(samples, tmp_path).config)
    for other in ({"fields": ("question",)}, {"gram": 8}):
        assert _build_testset_index(step(samples, tmp_path, **other).config) != known
    assert _build_testset_index(step(samples, tmp_path, margin=3, share=0.5).config) == known


LONG, WHOLE, SHORT = words(1, 40), words(2, 9), "Who wrote the manual?"


def found(samples, text: str, **settings) -> list[str]:
    index = build_ngram_index([("", name, texts) for name, texts in samples])
    return [one.item.sample for one in index.find_matches(text, match_tokens(text), **settings)]


def test_a_length_decides_what_must_stand_there():
    samples = [("long", [LONG]), ("whole", [WHOLE]), ("short", [SHORT]), ("none", ["Who?"])]
    index = build_ngram_index([("set", name, texts) for name, texts in samples])
    assert (index.lengths, index.too_short) == ([9, 13, BOUNDED_LENGTH], {"set": 1})
    part = " ".join(LONG.split()[5:18])
    assert found(samples, f"x {part} y") == ["long"]
    assert found(samples, " ".join(LONG.split()[5:17])) == []
    assert found(samples, f"x {WHOLE} y") == ["whole"]
    assert found(samples, " ".join(WHOLE.split()[:8])) == []
    assert found(samples, f"Q: {SHORT} Ada") == ["short"] and found(samples, f"x {SHORT}") == []


def test_short_answers_are_words_and_say_nothing():
    assert found([("1", ["Who?", "the great old bridge"])], "the great old bridge") == []


def test_a_share_counts_the_grams_of_a_text():
    half = " ".join(LONG.split()[:26])  # 14 of its 28
    assert found([("long", [LONG])], half, share=0.5) == ["long"] * 14
    assert found([("long", [LONG])], half, share=0.51) == []


def test_what_all_samples_share_is_no_samples_own():
    turns = [Message("system", LONG), Message("user", WHOLE), Message("assistant", "a")]
    assert sample_texts(Sample("1", tuple(turns), ("b",))) == ["a", WHOLE, "b"]


def test_a_filter_refuses_nothing_that_is_there(monkeypatch):
    texts = [words(n, 20) for n in range(300)]
    index = build_ngram_index([("", f"{n}", [text]) for n, text in enumerate(texts)])
    assert (np.diff(index.keys.astype(object)) >= 0).all()
    monkeypatch.setattr(
        sketch, sketch._sketch_library.__name__, lambda: None
    )  # by numpy what C++ has hashed
    for number, text in enumerate(texts):
        places = index.find_matches(text, match_tokens(text))
        assert {one.item.sample for one in places} == {f"{number}"} and len(places) == 8


@pytest.mark.parametrize("text", [f"a {LONG}", WHOLE.upper(), f"1. {SHORT}", "Who?", words(7, 99)])
def test_lineage_tells_what_the_step_drops(tmp_path, text):
    samples = [
        Sample(name, (Message("user", asked),))
        for name, asked in (("long", LONG), ("whole", WHOLE), ("short", SHORT), ("none", "Who?"))
    ]
    made = make_testset(TestSetCard(name="t"), samples, {}, tmp_path / "sealed")
    step = TestSets(TestSetsConfig(testsets=(made.path,), index=str(tmp_path / "index")))
    said = _compare_samples(samples, [TrainingText("text", text)])
    copied = sorted(one.sample for one in said.overlaps if one.kind == "copied")
    assert step(record("a", text)).details == (f"1 samples: {copied[0]}" if copied else "")
    assert said.too_short == 1
