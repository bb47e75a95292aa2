"""One rule says what stands in a text, whoever asks: by its length, its words and its bounds."""

import numpy as np
import pytest

from groundup.core import Message, Sample
from groundup.corpus.decontaminate.lineage import TrainingText, _compare_samples
from groundup.corpus.decontaminate.matching import (
    BOUNDED_LENGTH,
    build_ngram_index,
    match_tokens,
    sample_texts,
)
from groundup.corpus.decontaminate.testsets import TestSets, TestSetsConfig
from groundup.corpus.dedup import sketch
from groundup.measure import TestSetCard, make_testset
from tests.corpus.dedup.shards import record, words

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
