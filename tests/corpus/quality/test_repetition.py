"""Counts by hashes are those of plain loops over strings, as datatrove writes them."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.quality.repetition import (
    WordSpans,
    count_repeated,
    duplicate_ngram_characters,
    top_ngram_characters,
)

WORDS = st.lists(st.sampled_from(["a", "ab", "b", "ba", "é", "👍"]), min_size=1, max_size=40)


def plain_repeated(words: list[str], n: int) -> int:
    unique, repeated, at = set(), 0, 0
    while at < len(words) - n + 1:
        joined = "".join(words[at : at + n])
        if joined in unique:
            repeated += len(joined)
            at += n
        else:
            unique.add(joined)
            at += 1
    return repeated


def plain_top(words: list[str], n: int) -> int:
    grams = [" ".join(words[k : k + n]) for k in range(len(words) - n + 1)]
    top = Counter(grams).most_common(1)
    return len(top[0][0]) * top[0][1] if top else 0


@given(WORDS, st.integers(1, 6))
def test_counts_are_those_of_plain_loops(words, n):
    spans = WordSpans(words)
    assert duplicate_ngram_characters(spans, n, -1) == plain_repeated(words, n)
    assert top_ngram_characters(spans, n, -1) == plain_top(words, n)


@given(WORDS, st.integers(1, 6), st.floats(0, 60))
def test_a_bound_never_says_less_than_the_count(words, n, enough):
    spans = WordSpans(words)
    for count, plain in (
        (duplicate_ngram_characters, plain_repeated),
        (top_ngram_characters, plain_top),
    ):
        told = count(spans, n, enough)
        assert (told > enough) == (plain(words, n) > enough)


@given(st.lists(st.text(max_size=3), max_size=20))
def test_duplicates_are_all_but_the_first(items):
    again = count_repeated(items)
    assert again.count == len(items) - len(set(items))
    assert again.characters == sum(map(len, items)) - sum(map(len, set(items)))
