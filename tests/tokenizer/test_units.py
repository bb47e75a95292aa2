"""Words and characters are tokenizers like any other: nothing is lost, unknowns are counted."""

import pytest

from groundup.core import ConfigError, DataError
from groundup.tokenizer import FastTokenizer, UnitTokenizer, measure_segmentation, train_units
from tests.core.contracts.tokenizer import TokenizerContract

TEXT = "The cat sat on the mat; the naïve cat sat 12 times.\n\n語 ✓\n"


MADE = {
    "words": train_units([TEXT], "words", size=270),
    "characters": train_units([TEXT], "characters", size=280),
    "bytes": UnitTokenizer("characters", []),
}


class TestUnits(TokenizerContract):
    @pytest.fixture(params=MADE)
    def tokenizer(self, request):
        return MADE[request.param]


def test_known_words_are_one_token_and_unknown_ones_are_spelt():
    tokenizer = train_units([TEXT * 2], "words", size=10_000)
    assert len(tokenizer.encode(TEXT)) == measure_segmentation(tokenizer, [TEXT]).units
    assert tokenizer.count_unknown(TEXT) == 0 and tokenizer.count_unknown(" cat xylophone") == 1
    assert [tokenizer.decode([i]) for i in tokenizer.encode(" cats")] == [" ", "c", "a", "t", "s"]


def test_the_most_frequent_units_are_kept():
    tokenizer = train_units(["a b b c c c"], "words", size=256 + 3 + 1)
    assert list(tokenizer.ids) == [" c"]


def test_units_seen_once_are_unknown_so_that_spelling_is_learned():
    assert train_units(["a b b c c c"], "words", 1000).count_unknown("a b c") == 1


def test_bytes_characters_words_carry_more_and_more_text():
    units = [
        UnitTokenizer("characters", []),
        train_units([TEXT * 2], "characters", 10_000),
        FastTokenizer([(b"t", b"h"), (b"th", b"e"), (b"a", b"t")]),
        train_units([TEXT * 2], "words", 10_000),
    ]
    carried = [measure_segmentation(unit, [TEXT]).bytes_per_token for unit in units]
    assert carried == sorted(carried) and carried[0] == 1.0


def test_a_surrogate_is_a_replacement_character():
    tokenizer = train_units(["a\ud800b"] * 2, "characters", 10_000)
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.count_unknown("\ud800") == 0


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ConfigError, match="distinct"):
        UnitTokenizer("words", ["a", "a"])
    with pytest.raises(ConfigError, match="at least 259"):
        train_units(["a"], "words", 100)
    with pytest.raises(DataError, match="empty"):
        measure_segmentation(UnitTokenizer("words", []), [""])
    with pytest.raises(DataError, match="id 259"):
        UnitTokenizer("words", []).decode([259])
