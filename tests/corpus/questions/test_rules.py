"""Each rule asks what the planted pages say, and nothing of what they do not."""

import pytest

from groundup.corpus.questions.definitions import document_entries
from groundup.corpus.questions.rules import (
    FINDERS,
    PHRASINGS,
    RULES,
    _is_nominal,
    _is_topic,
    entry_names,
)
from groundup.documents import read_bytes

from .pages import DIRECTIVES, MODULE, SETTINGS, SPHINX

PAGES = {"copy.html": SPHINX, "settings.md": SETTINGS, "heap.rst": DIRECTIVES, "dates.py": MODULE}


def said(rule):
    """Name and answer of everything that a rule finds in the pages."""
    (find,) = (one.find for one in RULES if one.name == rule)
    return [
        (entry.owner or entry.name, found.answer.text)
        for path, text in PAGES.items()
        for entry in document_entries(read_bytes(text.encode(), path))
        for found in find(entry)
    ]


EXPECTED = {
    "purpose": [
        ("copy.copy_tree", "Copy a folder with everything in it"),
        ("heap.push", "Push the value item onto the heap"),
        ("heap.Heap.pop", "Pop the smallest item"),
        ("dates.parse_date", "Parse a date"),
        ("dates.Reader.read_all", "Read every date of a file"),
    ],
    "option": [
        ("log_level", "Sets how much is logged"),
        ("--dry-run", "Print what would be done and stop"),
        ("retry_limit", "Limits how often a request is repeated"),
    ],
    "definition": [
        ("cache_size", "The size of the cache, in megabytes"),
        ("", "a binary tree whose parents are never larger than their children"),
        ("heap.Heap", "A heap that sorts by heap.key"),
        ("dates.Reader", "A reader of dates"),
    ],
    "default": [
        ("copy.copy_tree", "True"), ("cache_size", "64"), ("heap.push", "len"),
        ("dates.parse_date", "1"),
    ],
    "returns": [
        ("copy.copy_tree", "the number of files that were written"),
        ("dates.parse_date", "a date without a time"),
    ],
    "raises": [
        ("copy.copy_tree", "NotADirectoryError"), ("heap.Heap.pop", "IndexError"),
        ("dates.Reader.read_all", "ValueError"),
    ],
    "raises_when": [
        ("copy.copy_tree", "If src is no folder"), ("heap.Heap.pop", "If the heap is empty"),
        ("dates.Reader.read_all", "If a line holds no date"),
    ],
    "added": [("copy.copy_tree", "3.4"), ("heap.push", "2.1")],
    "changed": [("copy.copy_tree", "Added the follow_links argument")],
    "replacement": [],
    "values": [("log_level", "quiet, normal and loud")],
    "limit": [("cache_size", "16 megabytes")],
    "parameter": [
        ("dates.parse_date", "The date to be parsed, day first"),
        ("dates.parse_date", "Number of the week's first day"),
        ("dates.Reader.read_all", "The file to be read"),
    ],
    "condition": [("copy.copy_tree", "its files are replaced")],
    "how": [("", "use tool cache clear")],
}  # fmt: skip


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_rule_finds_what_the_pages_say(rule):
    assert said(rule) == EXPECTED[rule]


def test_the_section_is_asked_where_its_title_says_something():
    assert ("copy.copy_tree", "Whole trees") in said("section")


def test_deprecated_names_are_replaced():
    page = b"<title>m</title><p>m.old(a)</p><p>Do it.</p><p>Deprecated since version 3.1: Use " \
        b"m.new() instead.</p><p>m.other(a)</p><p>Do another.</p>"  # fmt: skip
    found = [
        one.answer.text
        for entry in document_entries(read_bytes(page, "m.html"))
        for rule in RULES
        if rule.name == "replacement"
        for one in rule.find(entry)
    ]
    assert found == ["m.new()"]


def test_every_rule_has_phrasings_and_the_reverse():
    assert set(FINDERS) == set(PHRASINGS)
    assert all(rule.phrasings and rule.about for rule in RULES)


def test_phrasings_find_all_their_parts():
    parts = {
        "condition": "",
        "Condition": "",
        "exception": "",
        "version": "",
        "bound": "",
        "what": "",
    }
    for path, text in PAGES.items():
        for entry in document_entries(read_bytes(text.encode(), path)):
            for rule in RULES:
                for phrasing in rule.phrasings:
                    assert "{" not in phrasing.format_map(entry_names(entry) | parts)


def test_noun_phrases_and_topics():
    assert _is_nominal("The directory where files are kept") and not _is_nominal("A file was lost")
    assert _is_topic("The cache", "How the cache works") and _is_topic("io.Reader", "")
    assert not _is_topic("This option", "This option") and not _is_topic("The result", "Cache")


def test_what_an_outside_reader_found_wrong_is_not_asked():
    """Sentences of SQLAlchemy's manual that the rules once took for answers."""
    page = (
        "sqlalchemy.engine\n-----------------\n\n"
        "The alias from one_sequence to another_sequence has been removed.\n\n"
        "When the function is invoked, the method is available from it.\n\n"
        "If the options were built up in a branched style, the same ones would be kept.\n\n"
        "When a key of a table is replaced, such as by extending it, the flag is reset.\n\n"
        "To enable the feature, set the flag of the engine to true.\n\n"
        "This can be achieved by wrapping pool.acquire():\n\n    import driver\n"
    )
    read = list(document_entries(read_bytes(page.encode(), "changes.rst")))
    assert sum(len(entry.body) for entry in read) >= 5
    assert not [(rule.name, one.answer.text) for entry in read for rule in RULES
                for one in rule.find(entry)]  # fmt: skip
    assert not _is_nominal("The alias from one to another has been removed")
    assert not _is_nominal("The size that no longer counts")
