"""The loops in C++ give the numbers that numpy defines, for any text."""

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.dedup import sketch
from groundup.corpus.dedup.sketch import (
    SetIndex,
    fold_table,
    pack_arrow,
    pack_strings,
    shingle_sets,
    split_sets,
    unpack_strings,
)
from tests.corpus.dedup.shards import family

LETTERS = st.text(
    alphabet=st.sampled_from("ab Zß.é\u0301\u0300漢ไคー0٣๑_-\0😀한नि\U00020001\U0003fff0")
)
TEXTS = st.lists(LETTERS | st.text(), max_size=6)
FOLDED, DIGITS, PLAIN = (True, True), (True, False), (False, False)
"""What tables fold: letters, digits."""


def words(text: str, folds=FOLDED) -> list[str]:
    found = sketch.hash_tokens(pack_strings([text]), fold_table(*folds))
    data = text.encode()
    return [data[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)]


@given(TEXTS, st.sampled_from([FOLDED, DIGITS, PLAIN]), st.integers(1, 4))
@settings(max_examples=300)
def test_both_ways_agree(texts, folds, length):
    laid, table = pack_strings(texts), fold_table(*folds)
    if sketch._sketch_library() is None:
        pytest.skip("no C++ compiler")
    made = []
    for way in (sketch._sketch_library, lambda: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sketch, sketch._sketch_library.__name__, way)
            made.append(
                [
                    *sketch.hash_tokens(laid, table),
                    *sketch.shingle_sets(laid, table, length),
                    *sketch.minhash_signatures(laid, table, length, 21),
                ]
            )
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


def test_tokens_are_words_and_characters_of_scripts_without_spaces():
    assert words("Héllo, wörld_1! 漢字かな text ไทย 한국어") == [
        "Héllo", "wörld_1", "漢", "字", "か", "な", "text", "ไ", "ท", "ย", "한국어",
    ]  # fmt: skip
    assert words("e\u0301te\u0301 x\0y") == ["e\u0301te\u0301", "x", "y"]


def test_folding_decides_what_is_equal():
    def same(a: str, b: str, table: np.ndarray) -> bool:
        first, second = (sketch.hash_tokens(pack_strings([text]), table).hashes for text in (a, b))
        return first.tolist() == second.tolist()

    folded, digits, plain = (fold_table(*folds) for folds in (FOLDED, DIGITS, PLAIN))
    assert same("ÉTÉ 1999", "e\u0301te 2024", folded) and not same("a 1", "a 2", digits)
    assert same("a, b", "a b", plain) and not same("A", "a", plain) and not same("ab", "ba", folded)
    assert not same("漢", "字", folded) and not same("a b", "ab", folded)


def test_texts_of_arrow_lie_where_they_are():
    column = pyarrow.array(["one", None, "zwei", ""])
    assert unpack_strings(pack_arrow(column)) == ["one", "", "zwei", ""]
    assert unpack_strings(pack_arrow(column.slice(2, 2))) == ["zwei", ""]
    assert unpack_strings(pack_arrow(column.slice(4))) == []
    assert unpack_strings(pack_strings(["a\ud800b"])) == ["a?b"]


def test_the_numbers_are_pinned():
    """Signatures lie in indexes on disk: other numbers would be other indexes."""
    made = sketch.minhash_signatures(
        pack_strings(["one two three four five six"]), fold_table(), 5, 4
    )
    assert made.shingles.tolist() == [2]
    assert made.minima.tolist() == PINNED


PINNED = [[349966517, 1646642633, 1745846688, 755196171]]


def test_what_sets_share_is_counted_exactly():
    texts = [one.text for one in family(8)] + ["", "too short"]
    made = shingle_sets(pack_strings(texts), fold_table(True, False), 5)
    index = SetIndex(made)
    plain = [set(zip(*(text.split()[n:] for n in range(5)), strict=False)) for text in texts]
    for row, own in zip(split_sets(made), plain, strict=True):
        common = [len(own & other) for other in plain]
        assert index.intersection_sizes(row).tolist() == common
        union = [len(own | other) for other in plain]
        expected = [a / max(b, 1) for a, b in zip(common, union, strict=True)]
        assert index.jaccards(row).tolist() == expected
