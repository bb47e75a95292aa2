"""Texts are cut as the names say, in any script, and cutting loses nothing it should keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError
from groundup.measure.text.units import (
    TOKENISERS,
    extract_words,
    get_normaliser,
    missing_reference,
    ngrams,
    normalise_squad,
    normalise_text,
    rule_sentences,
    split_graphemes,
    units_of_text,
)
from tests.checking import unchecked

# Lone surrogates too: models that emit bytes can leave them in a text.
anything = st.text(st.characters(), max_size=30) | st.text(
    "ab1 .,!?-'&\n\ud800é中“\u0301👩\u200d", max_size=30
)


@given(st.text())
def test_normalise_twice_is_once_on_spaces_and_case(value):
    once = normalise_text(value)
    assert once == once.strip() and "  " not in once


def test_normalise_keeps_what_carries_meaning():
    assert normalise_text("Straße\t A") == normalise_text("STRASSE a")
    assert normalise_text("x[0]") != normalise_text("x(0)")


def test_squad_forgets_punctuation_and_articles():
    assert normalise_squad("The answer: an  Apple.") == "answer apple"
    assert normalise_squad("theatre") == "theatre"
    assert normalise_squad("¿Qué?") == "¿qué"  # only ASCII marks go


@given(anything)
def test_graphemes_put_together_are_the_text(text):
    assert "".join(split_graphemes(text)) == text


@given(anything)
def test_every_unit_cuts_any_text(text):
    assert "".join(units_of_text(text, "spaced")) == "".join(text.split())
    assert len(units_of_text(text, "graphemes")) <= len(units_of_text(text, "characters"))
    assert extract_words(text) == units_of_text(text, "words")


def test_one_visible_character_is_one_grapheme():
    for visible in ("👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "e\u0301", "각", "नि"):
        assert split_graphemes(visible) == [visible]


def test_ngrams_are_runs():
    assert ngrams("abcd", 2) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert ngrams(["a"], 2) == [] and ngrams([], 1) == []


@given(anything)
def test_sentences_hold_all_that_is_not_white_space(text):
    found = rule_sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One", 1),
        ("One. Two.", 2),
        ('He said "No!" Then he left.', 2),
        ("It costs 3.50 here. See sec. 4.", 2),
        ("J. R. R. Tolkien wrote it.", 1),
        ("version 1.2.3 of pkg.module works", 1),
        ("a line\nanother line", 2),
        ("今天很好。我们去公园！好吗？", 3),
        ("बिल्ली बैठी है। कुत्ता सो रहा है।", 2),
        ("هل هو هنا؟ نعم.", 2),
        ("Wait... what? yes, e.g. this.", 1),
    ],
)
def test_sentences_end_where_the_rules_say(text, count):
    assert len(rule_sentences(text)) == count


def test_one_text_is_no_list_of_references():
    assert missing_reference("BLEU", ["a"]) is None
    assert missing_reference("BLEU", []).code == "no_reference"
    with pytest.raises(DataError, match=r"list of references"):
        missing_reference("BLEU", "a reference")


def test_unknown_units_and_normalisations_are_refused():
    with unchecked():
        with pytest.raises(ConfigError, match="unit='nope' is unknown"):
            units_of_text("a b", "nope")
        with pytest.raises(ConfigError, match="did you mean `plain`"):
            get_normaliser("plane")


@given(anything)
def test_tokens_hold_no_white_space(text):
    for name, cut in TOKENISERS.items():
        assert all(token and not token.isspace() for token in cut(text)), name


@given(anything)
def test_only_white_space_is_lost(text):
    for name in ("intl", "zh", "char", "none"):
        assert "".join("".join(TOKENISERS[name](text)).split()) == "".join(text.split()), name


@given(anything)
def test_cutting_at_white_space_changes_no_token_s_letters(text):
    plain = text.replace("&", "").replace("-\n", "").replace("<skipped>", "")
    assert "".join(TOKENISERS["13a"](plain)) == "".join(plain.split())


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("13a", "Hello, world.", ["Hello", ",", "world", "."]),
        ("13a", "1,000.5 a-b 5-6 it's", ["1,000.5", "a-b", "5", "-", "6", "it's"]),
        ("13a", "end 5.", ["end", "5", "."]),
        ("13a", "wrap-\nped <skipped>&lt;", ["wrapped", "<"]),
        ("13a", "“quoted”", ["“quoted”"]),
        ("intl", "“quoted” $5", ["“", "quoted", "”", "$", "5"]),
        ("intl", "in 2020.", ["in", "2020."]),
        ("zh", "中文，Python 3.5", ["中", "文", "，", "Python", "3.5"]),
        ("zh", "a–b “c”", ["a", "–", "b", "“", "c", "”"]),
        ("char", "a b", ["a", "b"]),
        ("none", " a, b ", ["a,", "b"]),
        ("ascii", "It's Größe", ["it", "s", "gr", "e"]),
        ("words", "It's Größe", ["it", "s", "größe"]),
    ],
)
def test_tokens_are_the_reference_tools(name, text, tokens):
    assert TOKENISERS[name](text) == tokens
