# ruff: noqa: E501 — samples stand as they are read
"""Lines of links: removed at the ends, kept inside the text."""

import re

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import Edit, Span
from groundup.documents.web.links import SIGNS, link_lines, linked_share
from groundup.documents.web.marks import (
    ANY,
    CLOSE,
    CODE,
    CODE_END,
    END,
    LINK,
    OPEN,
    PRE,
    PRE_END,
    START,
    marked_tags,
)

TEXT = "Words of the page that are not links and go on for a while."


def cut(*lines: str) -> str:
    text, edits, _ = link_lines("\n".join(lines), 0.7)
    pieces, at = [], 0
    for edit in edits:
        pieces.append(text[at : edit.start])
        at = edit.end
    return "".join([*pieces, text[at:]]).strip()


def link(text: str) -> str:
    return START + text + END


def test_lines_of_links_are_removed_at_the_ends():
    assert cut(link("Home"), f"{link('A')} | {link('B')}", TEXT, link("Next chapter")) == TEXT


def test_a_list_inside_is_kept_but_a_pager_is_removed():
    inside = cut(TEXT, link("See also this"), link("And that"), TEXT)
    assert "See also this" in inside and START not in inside
    assert "Next" not in cut(TEXT, f"{link('Previous')} | {link('Next')}", TEXT)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                START,
                END,
                CODE,
                CODE_END,
                PRE,
                PRE_END,
                "\n",
                "word ",
                "|",
                "• ",
                CLOSE,
                *OPEN.values(),
            ]
        ),
        max_size=60,
    )
)
def test_no_mark_remains_and_edits_ascend(pieces):
    text, edits, _ = link_lines("".join(pieces), 0.7)
    assert not ANY.search(text)
    end = 0
    for edit in edits:
        assert isinstance(edit, Edit) and end <= edit.start < edit.end <= len(text)
        end = edit.end


def test_chrome_is_removed_with_its_kind_and_lines_of_marks_are_skipped():
    marked = f"{OPEN['navigation']}\n• Home\n• Up\n{CLOSE}\n{TEXT} {OPEN['heading link']}¶{CLOSE}\nEnd of it."
    text, edits, _ = link_lines(marked, 0.7)
    assert text == f"• Home\n• Up\n{TEXT} ¶\nEnd of it."
    assert [(edit.reason, text[edit.start : edit.end]) for edit in edits] == [
        ("navigation", "• Home\n• Up\n"), ("heading link", " ¶"),
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["a", "_", START, END, " ", "word ", "é", "·"]), max_size=30))
def test_the_share_of_links_is_that_of_letters_and_digits(pieces):
    raw = "".join(pieces)
    clean = raw.replace(START, "").replace(END, "")
    linked = sum(len(SIGNS.sub("", text)) for text in LINK.findall(raw))
    signs = len(SIGNS.sub("", clean))
    assert linked_share(raw, clean) == (linked / signs if signs else 1.0)


def test_code_becomes_spans_and_its_marks_are_not_text():
    page = "<p>Say <code>a</code> or<pre>\nb <code>c</code>\nd</pre><p>e"
    marked = re.sub(
        "<[^>]*>", "", marked_tags(page.replace("<p", "\n<p").replace("<pre", "\n<pre"))
    )
    text, _, code = link_lines(marked, 0.7)
    assert not ANY.search(text)
    assert [text[start:end].strip() for _, start, end, _ in code] == ["a", "b c\nd"]


def test_a_code_that_never_ends_is_none_and_a_pre_is():
    assert link_lines(f"a {CODE}b\nc", 0.7).code == ()
    assert link_lines(f"a\n{PRE}b {CODE}c{CODE_END}\nd", 0.7).code == (Span("code", 2, 7),)
