"""The C++ loops do what bpe.py says, on every pattern, code point, piece and thread count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.tokenizer import PATTERNS, FastTokenizer, ReferenceBPE, compiled, train_bpe
from groundup.tokenizer.bpe import _count_pieces

pytestmark = pytest.mark.skipif(compiled.load_bpe_library() is None, reason="no C++ compiler")

ODD = (
    "aabcdeeorst  \n\r\t'''SsTtLlRrEeVvMmDd.,;!-(){}0123½²٣éß中文字ñ"
    "\u3000\u2028\xa0😀👍\u0301\u200b\0"
)
TEXTS = st.lists(st.text(st.sampled_from(ODD + "\ud800"), max_size=60), min_size=1, max_size=4)


def counted(texts: list[str], pattern: str, threads: int = 2) -> dict[bytes, int]:
    with compiled.PieceCounter(pattern, threads) as counter:
        counter.add(texts)
        return counter.pieces()


@pytest.mark.parametrize("pattern", PATTERNS)
@given(TEXTS, st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_pieces_merges_and_ids_are_the_definition(pattern, texts, threads):
    assert counted(texts, pattern, threads) == _count_pieces(texts, pattern)
    merges = train_bpe(texts, 300, pattern)
    assert compiled.learn_merges(texts, 300, pattern, threads) == merges
    pairs = ReferenceBPE(merges, pattern)
    found = compiled.CompiledEncoder(pairs, pattern).encode(texts, threads)
    assert [ids.tolist() for ids in found] == [pairs.encode(text) for text in texts]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_code_point_is_cut_as_the_expression_cuts_it(pattern):
    # Beyond the second plane are ideographs, tags and private use alone.
    points = [*range(0xD800), *range(0xE000, 0x20000), *range(0x20000, 0xE0000, 16)]
    points += [*range(0xE0000, 0xE0200), *range(0xF0000, 0x110000, 64)]
    text = "".join(chr(point) + "a" for point in points)
    assert counted([text], pattern) == _count_pieces([text], pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_contractions_in_either_case_are_cut_as_the_expression_cuts_them(pattern):
    for word in ("s", "t", "re", "ve", "m", "ll", "d"):
        for each in (word, word.upper(), word.title()):
            text = f"it'{each}x"
            assert counted([text], pattern) == _count_pieces([text], pattern)


def test_long_pieces_merge_from_the_left():
    pairs = ReferenceBPE([(b"a", b"a"), (b"aa", b"aa"), (b"a", b"b"), (b" ", b" ")])
    encoder = compiled.CompiledEncoder(pairs, "qwen2")
    for text in ("a" * 63 + "b", "a" * 64, "a" * 65 + "b", "a" * 1001, " " * 200 + "x"):
        assert encoder.encode([text])[0].tolist() == pairs.encode(text)


def test_a_megabyte_without_a_break_is_no_square():
    encoder = compiled.CompiledEncoder(
        ReferenceBPE([(b"a", b"a"), (b"aa", b"aa"), (b" ", b" ")]), "qwen2"
    )
    assert len(encoder.encode(["a" * 2**20])[0]) == 2**18
    assert len(encoder.encode([" " * 2**20])[0]) == 2**19


def test_merges_of_others_that_spell_one_token_twice():
    merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
    pairs = ReferenceBPE(merges)
    texts = ["abc", "bcabc", "aabcc"]
    found = compiled.CompiledEncoder(pairs, "qwen2").encode(texts)
    assert [ids.tolist() for ids in found] == [pairs.encode(text) for text in texts]


def test_the_tokenizer_encodes_long_and_many_texts_natively():
    tokenizer = FastTokenizer(train_bpe(["the whole of the text, and the rest"], 280))
    long = "the whole text " * 50
    expected = tokenizer.reference.encode(long)
    assert tokenizer.encode(long) == expected
    rows = tokenizer.encode_arrays([long, "", "the"])
    assert [row.tolist() for row in rows] == [expected, [], tokenizer.reference.encode("the")]
    assert all(row.dtype == np.int32 for row in rows)
