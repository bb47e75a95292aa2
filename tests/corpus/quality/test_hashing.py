"""Words by numpy are the words of a plain regular expression, in any script."""

import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.quality.hashing import UNSPACED_SCRIPTS, character_ngrams, hash_words, mix_bits

UNSPACED_CLASS = "".join(f"{chr(a)}-{chr(b)}" for a, b in UNSPACED_SCRIPTS)
PLAIN = regex.compile(
    rf"[[\p{{L}}\p{{N}}\p{{M}}_]&&[\u0000-\uffff]--[[{UNSPACED_CLASS}]--\p{{Nd}}]]+|[^\s\p{{Cc}}\p{{Cf}}\p{{Cs}}]",
    regex.V1,
)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x5000, categories=("L", "Nd", "P", "Zs", "S", "M"))))
def test_words_are_those_of_the_pattern(text):
    plain = PLAIN.findall(text.lower())
    assert hash_words(text).lengths.tolist() == [len(word) for word in plain]


def test_case_and_digits_are_folded_and_order_is_kept():
    found = hash_words("Year 2024: THE year 1999").hashes.tolist()
    assert found[0] == found[4] and found[1] == found[5] and len(set(found)) == 4
    assert hash_words("ab").hashes[0] != hash_words("ba").hashes[0]
    assert hash_words("中文").lengths.tolist() == [1, 1]


def test_what_has_no_words():
    for text in ("", " \n\t", "\0\0", "\ud800", "\u200b"):
        assert len(hash_words(text).hashes) == 0


def test_words_have_hashes_of_their_own():
    text = " ".join(f"{chr(97 + a)}{chr(97 + b)}{chr(97 + c)}" for a in range(26)
                    for b in range(26) for c in range(26))  # fmt: skip
    assert len(set(hash_words(text).hashes.tolist())) == 26**3


def test_runs_of_characters_are_equal_where_the_characters_are():
    (runs,) = character_ngrams("abcab", (2,), 100)
    assert len(runs) == 4 and runs[0] == runs[3] and len(set(runs.tolist())) == 3
    assert character_ngrams("ab", (3,), 100) == []
    assert len(mix_bits(runs)) == 4


def test_five_megabytes_on_a_line():
    assert len(hash_words("a" * 5_000_000).hashes) == 1
    assert len(hash_words("<" * 1_000_000).hashes) == 1_000_000
