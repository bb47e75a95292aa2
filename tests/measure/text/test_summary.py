"""What a summary copies is found as the paper defines it, and edges are reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text.summary import Fragment, extraction, fragments, novelty

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
    found = fragments(summary, source)
    assert [fragment.length for fragment in found] == fragments_of_the_paper(summary, source)
    for start, place, length in found:
        assert summary[start : start + length] == source[place : place + length]


def test_copying_and_inventing_are_the_ends_of_the_scale():
    source = "The cat sat on the mat. It was a new mat."
    assert extraction("The cat sat on the mat.", source) == (1, 6, pytest.approx(11 / 6))
    assert extraction("Dogs bark", source) == (0, 0, 5.5)
    assert novelty("The cat sat on the mat.", source) == 0 and novelty("Dogs bark", source) == 1
    assert fragments(["x"], ["y"]) == [] and Fragment(0, 0, 1).length == 1


def test_edges_are_reasons():
    assert extraction("…", "a").code == "empty_candidate"
    assert extraction("a", "").code == "empty_source"
    assert novelty("one", "one two").code == "short_candidate"
    assert novelty("one", "", 1) == 1


def test_a_long_source_is_no_trouble():
    assert extraction("the " * 300, "the cat " * 5000).coverage == 1
