"""What a summary copies is found as the paper defines it, and edges are reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text.summary import (
    CopiedFragment,
    copied_fragments,
    measure_extractiveness,
    novel_ngrams,
)

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
