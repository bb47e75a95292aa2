"""Token F1, ROUGE and extractiveness at their edges; equality with peers: test_agreement.py."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, Reason
from groundup.measure.text import edit
from groundup.measure.text.overlap import (
    CopiedFragment,
    Rouge,
    _subsequence_indices,
    copied_fragments,
    measure_extractiveness,
    novel_ngrams,
    precision_recall_f1,
    token_f1_score,
)
from groundup.measure.text.units import get_normaliser

short = st.text(max_size=12)


@given(short, short, st.sampled_from(["none", "plain", "squad"]))
def test_overlap_is_symmetric(a, b, normalisation):
    assert token_f1_score(a, b, normalisation) == token_f1_score(b, a, normalisation)
    assert 0 <= token_f1_score(a, b, normalisation) <= 1
    assert token_f1_score(a, a, normalisation) == 1


def test_overlap_counts_words_as_often_as_both_have_them():
    assert token_f1_score("a a a", "a") == 0.5
    assert token_f1_score("a b", "c d") == 0
    assert token_f1_score("…", "!") == 1 and token_f1_score("…", "a") == 0


def test_normalisations_differ_where_they_say():
    plain, squad, none = map(get_normaliser, ("plain", "squad", "none"))
    assert plain("The U.S.") != plain("us") and squad("The U.S.") == squad("us")
    assert plain("x [0]") == plain("x  [0]") and none("x [0]") != none("x  [0]")
    assert token_f1_score("A cat", "the cat", "squad") == 1
    assert token_f1_score("A cat", "the cat", "plain") == 0.5
    assert token_f1_score("Cat", "cat", "none") == 0


def test_nothing_shared_is_zero_and_never_divides_by_it():
    assert precision_recall_f1(0, 0, 0) == (0, 0, 0)
    assert precision_recall_f1(1, 2, 4) == (0.5, 0.25, pytest.approx(1 / 3))


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


words = st.lists(st.sampled_from("abc"), max_size=12)


def fragments_of_the_paper(summary: list, source: list) -> list[int]:
    """Lengths by the paper's own loops (Grusky et al. 2018, figure 3)."""
    found, i = [], 0
    while i < len(summary):
        longest = 0
        for j in range(len(source)):
            k = 0
            while i + k < len(summary) and j + k < len(source) and summary[i + k] == source[j + k]:
                k += 1
            longest = max(longest, k)
        found += [longest] if longest else []
        i += max(longest, 1)
    return found


@given(words, words)
def test_fragments_are_the_paper_s(summary, source):
    found = copied_fragments(summary, source)
    assert [fragment.length for fragment in found] == fragments_of_the_paper(summary, source)
    for start, place, length in found:
        assert summary[start : start + length] == source[place : place + length]


def test_copying_and_inventing_are_the_ends_of_the_scale():
    source = "The cat sat on the mat. It was a new mat."
    assert measure_extractiveness("The cat sat on the mat.", source) == (
        1,
        6,
        pytest.approx(11 / 6),
    )
    assert measure_extractiveness("Dogs bark", source) == (0, 0, 5.5)
    assert (
        novel_ngrams("The cat sat on the mat.", source) == 0
        and novel_ngrams("Dogs bark", source) == 1
    )
    assert copied_fragments(["x"], ["y"]) == [] and CopiedFragment(0, 0, 1).length == 1


def test_edges_are_reasons():
    assert measure_extractiveness("…", "a").code == "empty_candidate"
    assert measure_extractiveness("a", "").code == "empty_source"
    assert novel_ngrams("one", "one two").code == "short_candidate"
    assert novel_ngrams("one", "", 1) == 1


def test_a_long_source_is_no_trouble():
    assert measure_extractiveness("the " * 300, "the cat " * 5000).coverage == 1
