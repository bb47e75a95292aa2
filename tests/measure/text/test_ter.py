"""TER needs no more edits than words differ; how it agrees with sacrebleu: test_agreement.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Reason
from groundup.measure.text.edit import levenshtein
from groundup.measure.text.ter import (
    AlignmentPath,
    Ter,
    _apply_shift,
    _count_edits_with_shifts,
)

words = st.lists(st.sampled_from("abcd"), max_size=9)
anything = st.text(st.characters(), max_size=20) | words.map(" ".join)


@given(words, words)
def test_shifting_never_costs(answer, reference):
    assert _count_edits_with_shifts(answer, reference) <= levenshtein(answer, reference)


@given(anything, st.lists(anything, min_size=1, max_size=2), st.booleans(), st.booleans())
def test_a_score_is_a_number_or_a_reason(answer, references, normalised, punctuation):
    found = Ter(normalised=normalised, punctuation=punctuation).sentence(answer, references)
    assert isinstance(found, Reason) or (found >= 0 and math.isfinite(found))


@given(words, st.integers(0, 8), st.integers(1, 4), st.integers(0, 9))
def test_a_shift_keeps_all_words(answer, start, length, target):
    length = min(length, len(answer) - start)
    if length > 0:
        assert sorted(_apply_shift(answer, start, length, min(target, len(answer)))) == sorted(
            answer
        )


@pytest.mark.parametrize(
    ("answer", "reference", "partner", "uncovered"),
    [
        ("a c", "a b c", [0, 0, 1], [False, True, False]),
        ("a b c", "a c", [0, 2], [False, False]),
        ("a", "b a c", [-1, 0, 0], [True, False, True]),
    ],
)
def test_a_missing_word_takes_no_word_of_the_answer(answer, reference, partner, uncovered):
    path = AlignmentPath(answer.split(), reference.split())
    assert (path.partner, path.uncovered) == (partner, uncovered)
    assert path.wrong_word == [word not in reference for word in answer.split()]


def test_one_move_is_one_edit():
    assert Ter().counts("b c d a", ["a b c d"]) == (1, 4.0)
    assert Ter().sentence("d e f a b c", ["a b c d e f"]) == pytest.approx(100 / 6)


def test_settings_count_what_they_say():
    assert Ter().sentence("Hello", ["hello"]) == 0
    assert Ter(case_sensitive=True).sentence("Hello", ["hello"]) == 100
    assert Ter(punctuation=False).sentence("hello!", ["hello"]) == 0
    assert Ter(normalised=True).sentence("it's 5-6.", ["it 's 5 - 6 ."]) == 0
    assert len({Ter().signature, Ter(normalised=True).signature}) == 2


def test_edges():
    assert Ter().sentence("", ["a b"]) == 100
    assert Ter().sentence("a", [""]).code == "empty_reference"
    assert Ter().sentence("a", []).code == "no_reference"
    assert Ter().counts("a b", ["a", "a b c"]) == (1, 2.0)


def test_long_texts_end_in_time():
    answer = [f"w{i % 97}" for i in range(300)]
    assert 1 <= _count_edits_with_shifts(answer, answer[8:] + answer[:8]) <= 16
    assert Ter().sentence("a " * 20_000, ["b " * 20_000]).code == "too_long"
