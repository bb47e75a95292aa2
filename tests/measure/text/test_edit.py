"""The fast distance is the textbook's; alignments are shortest and can be replayed."""

import tracemalloc

import numpy as np
import pytest
import rapidfuzz
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import CapacityError, ConfigError, DataError, Reason
from groundup.measure.stats.sums import corpus_score
from groundup.measure.text import edit
from groundup.measure.text.edit import (
    ErrorCounts,
    ErrorRate,
    _bitwise_levenshtein,
    _reference_osa,
    align_edits,
    edit_similarity,
    indel,
    indel_similarity,
    levenshtein,
    osa,
    subsequence_length,
)

letters = st.text("abc", max_size=14)
unicode = st.text(st.characters(), max_size=14) | st.text(
    "ae\u0301👩\u200d🚒\ud800\udfff", max_size=14
)
short = letters | unicode
several = st.lists(st.text(max_size=3), max_size=8)


def common_by_table(a, b) -> int:
    """Longest common subsequence by the textbook's table."""
    above = [0] * (len(b) + 1)
    for left in a:
        row = [0]
        for j, right in enumerate(b):
            row.append(above[j] + 1 if left == right else max(above[j + 1], row[j]))
        above = row
    return above[-1]


def levenshtein_by_table(a, b):
    """Levenshtein distance by the textbook recurrence.

    distance[i][j] = min(distance[i-1][j] + 1,                     delete a[i]
                         distance[i][j-1] + 1,                     insert b[j]
                         distance[i-1][j-1] + (a[i] != b[j]))      keep or replace

    One row at a time, so len(a) * len(b) steps and len(b) cells.
    Source: Wagner and Fischer 1974, doi:10.1145/321796.321811.
    """
    above = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
        above = row
    return above[-1]


@given(short, short)
def test_fast_equals_reference(a, b):
    expected = levenshtein_by_table(a, b)
    assert levenshtein(a, b) == _bitwise_levenshtein(a, b) == expected


@given(several, several)
def test_fast_equals_reference_on_words(a, b):
    expected = levenshtein_by_table(a, b)
    assert levenshtein(a, b) == _bitwise_levenshtein(a, b) == expected
    assert osa(a, b) == _reference_osa(a, b) <= expected
    assert subsequence_length(a, b) == common_by_table(a, b)


@given(short, short)
def test_swapped_neighbours_cost_one(a, b):
    assert osa(a, b) == _reference_osa(a, b) <= levenshtein_by_table(a, b)
    assert osa(a + "xy" + b, a + "yx" + b) == 1


@given(short, short)
def test_common_subsequence_is_the_tables(a, b):
    assert subsequence_length(a, b) == common_by_table(a, b)
    assert indel(a, b) == len(a) + len(b) - 2 * common_by_table(a, b)


@given(short, short, short)
def test_distance_is_a_metric(a, b, c):
    there = levenshtein_by_table(a, b)
    assert there == levenshtein_by_table(b, a)
    assert (there == 0) == (a == b)
    assert there <= levenshtein_by_table(a, c) + levenshtein_by_table(c, b)


def test_without_rapidfuzz_own_code_serves(monkeypatch):
    monkeypatch.setattr(edit, "rapidfuzz", None)
    monkeypatch.setattr(edit, "rapidfuzz_osa", None)
    assert levenshtein("intention", "execution") == 5
    assert osa("form", "from") == 1


def test_long_texts_need_no_table():
    a, b = "ab" * 20_000, "ba" * 20_000
    assert _bitwise_levenshtein(a[:6000], b[:6000]) == 2
    assert levenshtein(a, b) == 2


@given(short, short)
def test_similarity_lies_between_zero_and_one(a, b):
    for unit in ("characters", "graphemes", "words", "spaced"):
        for similarity in (edit_similarity, indel_similarity):
            found = similarity(a, b, unit)
            assert 0 <= found <= 1 and found == similarity(b, a, unit)
            assert similarity(a, a, unit) == 1


def test_units_count_what_they_say():
    assert edit_similarity("e\u0301a", "xa", "characters") == pytest.approx(1 / 3)
    assert edit_similarity("e\u0301a", "xa", "graphemes") == 1 / 2
    assert edit_similarity("one two three", "one 2 three", "words") == pytest.approx(2 / 3)
    assert edit_similarity("", "abc") == 0


texts = st.text("abc", max_size=12) | st.text("aé\u0301👩\u200d\ud800", max_size=12)


@given(texts, texts)
def test_an_alignment_replays_into_the_target_in_fewest_edits(a, b):
    steps = align_edits(a, b)
    built = "".join(b[s.target] if s.kind in ("replace", "insert") else a[s.source]
                    for s in steps if s.kind != "delete")  # fmt: skip
    assert built == b
    assert sum(step.kind != "keep" for step in steps) == levenshtein_by_table(a, b)
    assert [s.source for s in steps if s.kind != "insert"] == list(range(len(a)))
    assert [s.target for s in steps if s.kind != "delete"] == list(range(len(b)))
    assert all(a[s.source] == b[s.target] for s in steps if s.kind == "keep")


@given(texts, texts)
def test_alignment_is_rapidfuzz_s_choice(a, b):
    from rapidfuzz.distance import Levenshtein

    ours = [(s.kind, s.source, s.target) for s in align_edits(a, b) if s.kind != "keep"]
    assert ours == [(e.tag, e.src_pos, e.dest_pos) for e in Levenshtein.editops(a, b)]


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.lists(st.sampled_from("abcd"), max_size=8))
def test_counts_add_up(reference, answer):
    counts = ErrorRate().counts(" ".join(answer), [" ".join(reference)])
    assert counts.reference_units == len(reference)
    assert len(reference) - counts.deletions + counts.insertions == len(answer)
    assert sum(counts[:3]) == levenshtein_by_table(reference, answer)


def test_a_rate_can_exceed_one():
    assert ErrorRate().sentence("a b c d", ["x"]) == 4


def test_an_empty_reference_has_no_rate_but_counts_in_a_corpus():
    rate = ErrorRate()
    assert rate.counts("a b", [""]) == ErrorCounts(0, 0, 2, 0)
    found = rate.sentence("a b", [""])
    assert isinstance(found, Reason) and found.code == "empty_reference"
    assert rate.sentence("", [" "]).code == "empty_reference"
    assert corpus_score(rate, ["a b", "c d"], [[""], ["c d"]]) == 1


def test_the_corpus_rate_is_no_mean_of_rates():
    rate = ErrorRate()
    answers, references = ["a", "a b c d e f g h i j"], [["b"], ["a b c d e f g h i j"]]
    each = [rate.sentence(a, r) for a, r in zip(answers, references, strict=True)]
    assert corpus_score(rate, answers, references) == pytest.approx(1 / 11)
    assert sum(each) / 2 == 0.5


def test_the_best_reference_counts_and_none_is_a_reason():
    assert ErrorRate().sentence("the cat", ["a dog ran", "the cat"]) == 0
    assert ErrorRate().sentence("x", []).code == "no_reference"
    assert ErrorRate().counts("a", ["", "b"]) == ErrorCounts(1, 0, 0, 1)
    with pytest.raises(DataError):
        ErrorRate().counts("x", "x")


def test_unit_and_normalisation_move_the_number_and_are_told():
    assert ErrorRate().sentence("Hello, World", ["hello world"]) == 0.5
    assert ErrorRate(unit="words").sentence("Hello, World", ["hello world"]) == 0
    assert ErrorRate(normalise="none").sentence("Hello world", ["hello world"]) == 0.5
    assert ErrorRate(unit="graphemes").sentence("👩‍👩‍👧!", ["👩‍👩‍👧"]) == 1
    assert ErrorRate(unit="characters").sentence("👩‍👩‍👧!", ["👩‍👩‍👧"]) == 1 / 5
    rates = [ErrorRate(unit=u, normalise=n) for u in ("words", "spaced") for n in ("none", "plain")]
    assert len({rate.signature for rate in rates}) == 4
    with pytest.raises(ConfigError, match="unit"):
        ErrorRate(unit="bytes")


def test_what_does_not_fit_memory_is_a_reason(monkeypatch):
    monkeypatch.setattr(edit, "MAX_CELLS", 10)
    with pytest.raises(CapacityError):
        align_edits("abcdef", "uvwxyz")
    assert ErrorRate(unit="characters").sentence("abcdef", ["uvwxyz"]).code == "too_long"
    assert align_edits("abcdef", "abcdxf")[4].kind == "replace"  # equal ends take no table


def test_a_table_of_which_few_columns_are_kept_gives_the_same_alignment():
    """Memory for 2√n columns: every alignment equals the one over the whole table."""
    random = np.random.default_rng(4)
    for _ in range(60):
        a, b = ("".join(random.choice(list("abc"), random.integers(0, 60))) for _ in range(2))
        found = align_edits(a, b)
        assert [edit.kind for edit in found if edit.kind != "keep"] == [
            edit.tag for edit in rapidfuzz.distance.Levenshtein.editops(a, b)
        ]


def test_a_whole_book_is_aligned_in_bounded_memory():
    """10,000 words with as many kept 50 MiB of columns before; 50,000 were refused."""
    random = np.random.default_rng(5)
    reference = [str(word) for word in random.integers(3000, size=10_000)]
    answer = [word if random.random() > 0.1 else "x" for word in reference]
    tracemalloc.start()
    counts = ErrorRate().counts(" ".join(answer), [" ".join(reference)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(counts[:3]) == rapidfuzz.distance.Levenshtein.distance(reference, answer)
    assert peak < 40 * 2**20
