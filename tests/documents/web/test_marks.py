"""Marks are only where they were added."""

import re

from groundup.documents.web.marks import ANY, END, KIND, OPEN, START, marked_tags


def test_marks_are_put_around_links_alone():
    marked = marked_tags('<a name="x">anchor</a><a href="y">link</a>')
    assert f'<a href="y">{START}link' in marked and f"{START}anchor" not in marked


def test_a_page_cannot_forge_a_mark():
    assert marked_tags("\ufdd0a\ufddcb\ufdefc") == "abc"


def test_each_kind_has_a_mark_of_its_own_that_is_no_character():
    assert len(KIND) == len(OPEN) and {START, END}.isdisjoint(KIND)
    assert all(re.fullmatch(ANY, mark) for mark in KIND)


def test_a_page_of_open_links_is_read_once():
    page = marked_tags("<a href=" * 100_000)
    assert len(page) == 800_000
