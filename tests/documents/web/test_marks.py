"""Marks are only where they were added."""

import re

from groundup.documents.web.marks import (
    ANY_MARK,
    CHROME_START,
    KIND_BY_MARK,
    LINK_END,
    LINK_START,
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
