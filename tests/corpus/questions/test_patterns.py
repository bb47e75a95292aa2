"""The words of documentation, each with what they give and what they must not."""

from pathlib import Path

import pytest

from groundup.corpus.questions import rules
from groundup.corpus.questions.blocks import (
    ALTERNATIVES,
    PATTERNS,
    TABLES,
    WORDS,
    is_action,
    is_verb,
)
from groundup.corpus.questions.rules import LIMITS


def value(wanted, text, name="value"):
    found = next((m for one in wanted if (m := one.search(text))), None)
    return found[name] if found else None


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The default is 0.5.", "0.5"),
        ("The default is the value of core.pager, if set.", "the value of core.pager"),
        ("Its default value is on", "on"),
        ("Number of workers (default: 4).", "4"),
        ("Show long names (Default: off).", "off"),
        ("Defaults to None", "None"),
        ("By default nothing is shown.", None),
    ],
)
def test_defaults(text, expected):
    assert value(ALTERNATIVES["default"], text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Possible values are on, off, and auto.", "on, off, and auto"),
        ("Valid values for this are: a or b.", "a or b"),
        ("It must be one of 'x', 'y' (the default) or 'z'.", "'x', 'y' (the default) or 'z'"),
        ("Set to one of `on` or `off`.", "`on` or `off`"),
        ("Values are stored on disk and in memory.", None),
    ],
)
def test_values(text, expected):
    assert value(ALTERNATIVES["values"], text) == expected


@pytest.mark.parametrize(
    "bound, text, expected",
    [
        ("smallest value allowed for", "It must be at least 128 kilobytes.", "128 kilobytes"),
        ("minimum of", "The minimum is 4 and the default 7.", "4"),
        ("maximum of", "The maximum size is 1 GB (2 on Mars).", "1 GB (2 on Mars)"),
        ("largest value allowed for", "A name may not exceed 63 bytes.", "63 bytes"),
        ("range of values allowed for", "It must be between 1 and 100.", "1 and 100"),
    ],
)
def test_limits(bound, text, expected):
    assert value([LIMITS[bound]], text) == expected


def test_conditions_need_a_subject_and_a_clause():
    assert value([PATTERNS["happens"]], "If dst exists, it is replaced.") == "it is replaced"
    for text in ("If omitted, all are shown.", "If set, x is y.", "If x is y, see the manual.",
                 "When used with x, y is z."):  # fmt: skip
        assert value([PATTERNS["happens"]], text) is None
    assert (
        value([PATTERNS["happens"]], "When the queue is full, the call waits.") == "the call waits"
    )


@pytest.mark.parametrize(
    "condition",
    ["if the database supports it", "when Django was first released",
     "when a tool was originally written", "if the second pattern matches"],
)  # fmt: skip
def test_conditions_that_lean_on_other_text_or_tell_history_are_unsure(condition):
    assert PATTERNS["unsure"].search(condition)


def test_conditions_without_a_noun_or_a_verb_are_none():
    assert (
        value([PATTERNS["happens"]], "If False (the default), the missing ones are removed.")
        is None
    )
    for text in ("if array_like", "if an integer or array", "if a list of strings"):
        assert not PATTERNS["clause"].match(text)
    for text in ("if bulk=False", "when the queue is full", "if the sequence ends with a 0"):
        assert PATTERNS["clause"].match(text) and not PATTERNS["unsure"].search(text)


def test_what_to_do_for_something_outside_leans():
    for text in (
        "tell the tool which one to use",
        "prevent the exception and keep the old behavior",
    ):
        assert PATTERNS["leans"].search(text)
    assert not PATTERNS["leans"].search("use one of the files of the tool")


@pytest.mark.parametrize(
    "text, version",
    [
        ("New in Django 4.1.", "4.1"),
        ("Added in version 3.4.", "3.4"),
        ("New in version 2.0:", "2.0"),
    ],
)
def test_versions_are_named_by_the_word_or_the_product(text, version):
    assert value([PATTERNS["added"]], text, "version") == version and PATTERNS["note"].match(text)
    assert PATTERNS["changed"].match("Changed in Django 4.1: The setting was added.")
    assert not PATTERNS["note"].match("New in the list of the tools 4")


def test_every_fragment_of_the_file_is_used_and_every_pattern():
    written = (Path(rules.__file__).parent / "patterns.toml").read_text(encoding="utf-8")
    assert all(f"{{{name}}}" in written for name in TABLES["fragments"])
    code = "".join(path.read_text() for path in Path(rules.__file__).parent.glob("*.py"))
    for name in (*PATTERNS, *ALTERNATIVES, *WORDS):
        assert f'["{name}"]' in code, name


def test_verbs_are_known_in_both_forms():
    assert all(is_verb(word) for word in ("copy", "Copies", "passes", "Sets", "tries"))
    assert not any(is_verb(word) for word in ("Maximum", "the", "similar", "", "Class"))


def test_the_list_holds_words_alone_in_order():
    assert all(word.isalpha() and word.islower() for word in WORDS["verbs"])


def test_a_noun_that_looks_like_a_verb_is_no_deed():
    assert not is_action("Lookup registration can also be done by a decorator.")
    assert is_action("Check whether it is done.") and is_action("Checks if it can be done.")
