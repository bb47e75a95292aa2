"""Lines: strong rules hold anywhere, weak ones need a neighbour, code is no remains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.web.lines import LineFilter, LineFilterConfig

STEP = LineFilter(LineFilterConfig())
PROSE = [f"Sentence number {n} says what there is to say about kettles." for n in range(12)]


def cleaned(*lines: str, step: LineFilter = STEP) -> str:
    text = "\n".join(lines)
    one = Record("1", "s", "p", "html", text, SourceMap.identity(text))
    return apply_result(one, step(one)).text


def test_strong_rules_hold_anywhere():
    text = cleaned(*PROSE[:6], "Skip to main content", "Page 3 of 12", *PROSE[6:])
    assert text.split("\n") == PROSE


def test_a_menu_word_is_kept_alone_and_removed_in_a_menu():
    assert "Search" in cleaned(*PROSE[:6], "Search", *PROSE[6:]).split("\n")
    assert "Search" not in cleaned("Home", "Search", *PROSE)
    assert "Login" not in cleaned(*PROSE[:6], "Home", "Login", *PROSE[6:])


def test_remains_are_removed_and_code_is_kept():
    assert "display" not in cleaned(*PROSE, ".ad{display:none}", *PROSE)
    code = [".a { color: red }", ".b { color: blue }", "}", "<b>", "</b>"]
    assert cleaned(*PROSE[:3], *code, *PROSE[3:]).split("\n") == [*PROSE[:3], *code, *PROSE[3:]]


LIKELY = ["Powered by steam", "Yes / no", "Link to the library", "First | next"]


@pytest.mark.parametrize("line", LIKELY)
def test_a_likely_line_needs_a_removed_neighbour(line):
    assert line in cleaned(*PROSE[:6], line, *PROSE[6:])
    assert line in cleaned(line, *PROSE)
    assert line not in cleaned(*PROSE[:6], "Back to top", line, *PROSE[6:])
    assert line not in cleaned(*PROSE, line)


def test_likely_lines_do_not_support_each_other():
    text = [*PROSE[:6], *LIKELY, *PROSE[6:]]
    assert cleaned(*text).split("\n") == text


def test_lines_of_code_are_skipped_by_every_rule():
    code = ["Back to top", "});", "const sys = require('node:sys');", "a&nbsp;b ¶"]
    text = "\n".join([*PROSE[:6], *code, *PROSE[6:]])
    start, end = text.index(code[0]), text.index(PROSE[6])
    record = Record("1", "s", "p", "html", text, SourceMap.identity(text))
    assert len(apply_result(record, STEP(record)).text) < len(text)
    told = Record("1", "s", "p", "html", text, record.map, (TextSpan("code", start, end),))
    assert apply_result(told, STEP(told)).text == text


def test_remains_next_to_unmarked_code_are_kept():
    code = ["let x = f();", "});"]
    assert cleaned(*PROSE, *code, *PROSE).split("\n") == [*PROSE, *code, *PROSE]


def test_marks_inside_lines():
    assert cleaned("History[edit]", "Chapter one¶", "a&nbsp;b", *PROSE[:1]) == "\n".join(
        ["History", "Chapter one", "a b", PROSE[0]]
    )


def test_rules_can_be_off():
    step = LineFilter(LineFilterConfig(disabled_rules=("skip link",)))
    assert "Back to top" in cleaned(*PROSE, "Back to top", *PROSE, step=step)


def test_a_page_that_is_all_menu_keeps_its_weak_lines():
    assert cleaned("Home", "Search", "Help") == "Home\nSearch\nHelp"


@given(st.lists(st.sampled_from(["Home", "Back to top", "[edit]", "¶", "", " ", "}", PROSE[0]])))
def test_edits_can_always_be_applied(lines):
    assert len(cleaned(*lines)) <= len("\n".join(lines))


def test_hostile_texts():
    for text in (
        "a" * 5_000_000,
        "\n".join(["<a " * 100] * 2000),
        "¶" * 100_000,
        "[" * 100_000,
        " " * 200_000,
    ):
        assert len(cleaned(text)) <= len(text)
