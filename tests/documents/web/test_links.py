# ruff: noqa: E501
"""Lines of links, and marks, which are only where they were added."""

import re

from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import TextEdit, TextSpan
from groundup.documents.web.links import (
    ANY_MARK,
    CHROME_END,
    CHROME_START,
    CODE_END,
    CODE_START,
    KIND_BY_MARK,
    LINK_END,
    LINK_START,
    LINK_TEXT,
    NON_ALPHANUMERIC,
    PRE_END,
    PRE_START,
    _linked_share,
    clean_marked_text,
    mark_tags,
)


def test_marks_are_put_around_links_alone():
    marked = mark_tags('<a name="x">anchor</a><a href="y">link</a>')
    assert f'<a href="y">{LINK_START}link' in marked and f"{LINK_START}anchor" not in marked


def test_a_page_cannot_forge_a_mark():
    assert mark_tags("\ufdd0a\ufddcb\ufdefc") == "abc"


def test_each_kind_has_a_mark_of_its_own_that_is_no_character():
    assert len(KIND_BY_MARK) == len(CHROME_START) and {LINK_START, LINK_END}.isdisjoint(
        KIND_BY_MARK
    )
    assert all(re.fullmatch(ANY_MARK, mark) for mark in KIND_BY_MARK)


def test_a_page_of_open_links_is_read_once():
    page = mark_tags("<a href=" * 100_000)
    assert len(page) == 800_000


TEXT = "Words of the page that are not links and go on for a while."


def cut(*lines: str) -> str:
    text, edits, _ = clean_marked_text("\n".join(lines), 0.7)
    pieces, at = [], 0
    for edit in edits:
        pieces.append(text[at : edit.start])
        at = edit.end
    return "".join([*pieces, text[at:]]).strip()


def link(text: str) -> str:
    return LINK_START + text + LINK_END


def test_lines_of_links_are_removed_at_the_ends():
    assert cut(link("Home"), f"{link('A')} | {link('B')}", TEXT, link("Next chapter")) == TEXT


def test_a_list_inside_is_kept_but_a_pager_is_removed():
    inside = cut(TEXT, link("See also this"), link("And that"), TEXT)
    assert "See also this" in inside and LINK_START not in inside
    assert "Next" not in cut(TEXT, f"{link('Previous')} | {link('Next')}", TEXT)


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                LINK_START,
                LINK_END,
                CODE_START,
                CODE_END,
                PRE_START,
                PRE_END,
                "\n",
                "word ",
                "|",
                "• ",
                CHROME_END,
                *CHROME_START.values(),
            ]
        ),
        max_size=60,
    )
)
def test_no_mark_remains_and_edits_ascend(pieces):
    text, edits, _ = clean_marked_text("".join(pieces), 0.7)
    assert not ANY_MARK.search(text)
    end = 0
    for edit in edits:
        assert isinstance(edit, TextEdit) and end <= edit.start < edit.end <= len(text)
        end = edit.end


def test_chrome_is_removed_with_its_kind_and_lines_of_marks_are_skipped():
    marked = f"{CHROME_START['navigation']}\n• Home\n• Up\n{CHROME_END}\n{TEXT} {CHROME_START['heading link']}¶{CHROME_END}\nEnd of it."
    text, edits, _ = clean_marked_text(marked, 0.7)
    assert text == f"• Home\n• Up\n{TEXT} ¶\nEnd of it."
    assert [(edit.reason, text[edit.start : edit.end]) for edit in edits] == [
        ("navigation", "• Home\n• Up\n"), ("heading link", " ¶"),
    ]  # fmt: skip


@given(
    st.lists(st.sampled_from(["a", "_", LINK_START, LINK_END, " ", "word ", "é", "·"]), max_size=30)
)
def test_the_share_of_links_is_that_of_letters_and_digits(pieces):
    raw = "".join(pieces)
    clean = raw.replace(LINK_START, "").replace(LINK_END, "")
    linked = sum(len(NON_ALPHANUMERIC.sub("", text)) for text in LINK_TEXT.findall(raw))
    signs = len(NON_ALPHANUMERIC.sub("", clean))
    assert _linked_share(raw, clean) == (linked / signs if signs else 1.0)


def test_code_becomes_spans_and_its_marks_are_not_text():
    page = "<p>Say <code>a</code> or<pre>\nb <code>c</code>\nd</pre><p>e"
    marked = re.sub("<[^>]*>", "", mark_tags(page.replace("<p", "\n<p").replace("<pre", "\n<pre")))
    text, _, code = clean_marked_text(marked, 0.7)
    assert not ANY_MARK.search(text)
    assert [text[start:end].strip() for _, start, end, _ in code] == ["a", "b c\nd"]


def test_a_code_that_never_ends_is_none_and_a_pre_is():
    assert clean_marked_text(f"a {CODE_START}b\nc", 0.7).code_spans == ()
    assert clean_marked_text(f"a\n{PRE_START}b {CODE_START}c{CODE_END}\nd", 0.7).code_spans == (
        TextSpan("code", 2, 7),
    )
