"""Tokenisers take any text, lose only white space, and keep the oddities they are known for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text.tokenisers import TOKENISERS

anything = st.text(st.characters(), max_size=40) | st.text("ab1.,-'&\n 中“é\ud800", max_size=40)


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
