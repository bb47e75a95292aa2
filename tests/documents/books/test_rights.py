"""Rights: evidence with its place; unknown is excluded."""

import pytest

from groundup.documents import Record, SourceMap, TextSpan
from groundup.documents.books.rights import Rights, RightsConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


def test_a_licence_that_a_person_allows_passes():
    text = "This manual is licensed under the GNU Free Documentation License, Version 1.3.\n"
    assert Rights(RightsConfig())(plain(text)).reason
    assert not Rights(RightsConfig(allow=("GFDL-*",)))(plain(text)).reason


def test_metadata_do_not_overrule_what_the_work_says():
    text = "© 2020 A. B. All rights reserved.\n"
    told = Record("1", "s", "p", "text", text, SourceMap.identity(text), (), {"licence": "MIT"})
    assert Rights(RightsConfig())(told).reason == "rights: reserved"


def test_a_slice_full_of_names_takes_linear_time():
    for piece in ("©", "Creative Commons - ", "all ", "this book under ", "- \n"):
        text = piece * (1_000_000 // len(piece))
        assert Rights(RightsConfig())(plain(text)).metadata["rights_evidence"] is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Once upon a time.", "rights: unknown"),
        ("© 2019 Jane Doe. All rights reserved.", "rights: reserved"),
        ("Licensed CC BY-NC-ND 4.0", "rights: licence not on the allow list"),
        ("", "rights: unknown"),
    ],
)
def test_what_is_not_allowed_is_excluded(text, reason):
    assert Rights(RightsConfig())(plain(text)).reason == reason


def test_years_publishers_and_the_readers_word():
    text = "Copyright (c) 1999, 2001-2004 A. B.\nPublished by Some Press\n"
    ruling = Rights(RightsConfig())(plain(text))
    assert ruling.metadata["copyright_years"] == [1999, 2001, 2004]
    assert ruling.metadata["publishers"] == ["Some Press"]
    told = Record("1", "s", "p", "text", text, SourceMap.identity(text), (), {"licence": "MIT"})
    assert not Rights(RightsConfig())(told).reason


def test_old_books_pass_only_if_a_person_says_how_old():
    old = plain("Copyright 1899 by A. Author\n")
    assert Rights(RightsConfig())(old).reason
    assert not Rights(RightsConfig(public_domain_before=1930))(old).reason


def test_a_statement_in_the_middle_of_a_long_book_is_not_its_own():
    text = "word " * 10_000 + "SPDX-License-Identifier: MIT" + " word" * 10_000
    assert Rights(RightsConfig())(plain(text)).reason == "rights: unknown"


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        ("CC0", ""),
        ("Public domain in the USA.", ""),
        ("https://creativecommons.org/licenses/by-sa/4.0/", ""),
        (["Copyright 2020 A. B.", "CC BY 4.0"], ""),
        ("All rights reserved.", "rights: reserved"),
        ("CC BY-NC-ND 4.0", "rights: licence not on the allow list"),
        ("Not in the public domain", "rights: unknown"),
        ("Copyright 2011 by A. B.", "rights: unknown"),
    ],
)
def test_the_rights_in_a_books_metadata_count(rights, reason):
    text = "Once upon a time.\n"
    book = Record("1", "s", "p", "epub", text, SourceMap.identity(text), (), {"rights": rights})
    ruling = Rights(RightsConfig())(book)
    assert ruling.reason == reason
    assert bool(ruling.metadata["licences"]) == (reason != "rights: unknown")


def test_years_of_the_metadata_count_and_every_licence_of_a_list():
    def record(metadata):
        text = "Copyright 1899 by A. Author\n"
        return Record("1", "s", "p", "text", text, SourceMap.identity(text), (), metadata)

    step = Rights(RightsConfig(public_domain_before=1930))
    assert not step(record({})).reason
    assert step(record({"rights": "Copyright 1999 B. Editor"})).reason == "rights: unknown"
    assert step(record({"licence": ["MIT", "CC-BY-NC-4.0"]})).reason == "rights: mixed"


def test_the_older_word_for_unknown_is_read():
    assert RightsConfig(unknown="exclude") == RightsConfig(unknown="drop") == RightsConfig()
