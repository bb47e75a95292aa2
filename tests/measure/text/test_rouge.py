"""ROUGE behaves at its edges; that it equals rouge-score is shown in test_agreement.py."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, Reason
from groundup.measure.text import edit
from groundup.measure.text.rouge import Rouge, _subsequence_indices

text = st.lists(st.sampled_from(["the", "cats", "sat", "on", "mats", "\n"]), max_size=12).map(
    " ".join
)
anything = text | st.text(st.characters(), max_size=20)
SETTINGS = [
    Rouge(kind=kind, stemmer=stemmer, tokeniser=tokeniser, sentences=split)
    for kind in ("1", "2", "L", "Lsum")
    for stemmer, tokeniser, split in ((False, "ascii", "lines"), (True, "words", "rules"))
]


@given(anything, st.lists(anything, min_size=1, max_size=3), st.sampled_from(SETTINGS))
def test_all_three_lie_between_0_and_1_or_there_is_a_reason(answer, references, rouge):
    found = rouge.sentence(answer, references)
    if isinstance(found, Reason):
        assert found.code in ("empty_reference", "short_reference")
    else:
        assert all(0 <= value <= 1 and math.isfinite(value) for value in found)


@given(text, st.sampled_from(SETTINGS))
def test_an_equal_text_scores_1(value, rouge):
    found = rouge.sentence(value, [value])
    assert isinstance(found, Reason) or found == (1, 1, 1)


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_places_are_a_common_subsequence_of_the_right_length(a, b):
    from groundup.measure.text.edit import subsequence_length

    places = list(_subsequence_indices(a, b))[::-1]
    assert places == sorted(set(places)) and len(places) == subsequence_length(a, b)
    rest = iter(b)
    assert all(a[place] in rest for place in places)


def test_l_and_lsum_differ_on_summaries_of_several_sentences():
    answer, reference = "the dog ran\nthe cat sat", ["the cat sat\nthe dog ran"]
    assert Rouge(kind="L").sentence(answer, reference).f1 == 0.5
    assert Rouge(kind="Lsum").sentence(answer, reference).f1 == 1
    one_line, reference = "The cat sat. The dog ran.", ["the dog ran the cat sat"]
    assert Rouge(kind="Lsum").sentence(one_line, reference).f1 == 0.5
    assert Rouge(kind="Lsum", sentences="rules").sentence(one_line, reference).f1 == 1


def test_other_scripts_are_a_reason_not_a_silent_zero():
    found = Rouge(kind="1").sentence("кошка сидит", ["кошка сидит"])
    assert isinstance(found, Reason) and "tokeniser `words`" in found.message
    assert Rouge(kind="1", tokeniser="words").sentence("кошка сидит", ["кошка сидит"]).f1 == 1


def test_too_short_a_reference_is_a_reason():
    assert Rouge(kind="2").sentence("yes no", ["yes"]).code == "short_reference"
    assert Rouge(kind="2").sentence("yes", ["yes no"]) == (0, 0, 0)
    assert Rouge().sentence("", ["yes"]) == (0, 0, 0)
    assert Rouge().sentence("yes", []).code == "no_reference"


def test_what_does_not_fit_memory_is_a_reason(monkeypatch):
    monkeypatch.setattr(edit, "MAX_CELLS", 10)
    assert Rouge(kind="Lsum").sentence("a b c d", ["a b c d"]).code == "too_long"
    assert Rouge(kind="L").sentence("a b c d", ["a b c d"]).f1 == 1  # keeps no table


def test_stems_meet():
    assert Rouge(kind="1").sentence("cats running", ["cat runs"]).f1 == 0
    assert Rouge(kind="1", stemmer=True).sentence("jumping", ["jumps"]).f1 == 1


def test_signatures_tell_settings_apart():
    assert len({rouge.signature for rouge in SETTINGS}) == len(SETTINGS)
    with pytest.raises(ConfigError):
        Rouge(kind="0")


def test_an_empty_reference_is_no_matter_of_scripts_for_words():
    advice = "other scripts"
    assert advice in Rouge().sentence("a", ["是"]).message
    assert advice not in Rouge(tokeniser="words").sentence("a", ["..."]).message


def test_a_whole_book_without_line_breaks_has_an_lsum_in_bounded_memory():
    """One sentence on each side: Lsum is then L, and the walk back finds as many words."""
    random = np.random.default_rng(6)
    reference = [f"w{word}" for word in random.integers(3000, size=20_000)]
    answer = [word if random.random() > 0.1 else "x" for word in reference]
    texts = " ".join(answer), [" ".join(reference)]
    tracemalloc.start()
    found = Rouge(kind="Lsum").sentence(*texts)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == Rouge(kind="L").sentence(*texts)
    assert peak < 100 * 2**20
