"""Rights: evidence with its place; unknown is excluded."""

import pytest

from groundup.documents import Record, SourceMap, Span
from groundup.documents.books.rights import Rights, RightsConfig


def plain(text: str, *spans: Span) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("SPDX-License-Identifier: MIT", "MIT"),
        ("Licensed under CC BY-SA 4.0.", "CC-BY-SA-4.0"),
        ("See https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("a Creative Commons Attribution-ShareAlike 3.0 License", "CC-BY-SA-3.0"),
        ("under the GNU Free Documentation License, Version 1.3", "GFDL-1.3"),
        ("the GNU General Public\nLicense, version 3", "GPL-3.0"),
        ("GNU Lesser General Public License", "LGPL"),
        ("This work is in the public domain.", "LicenseRef-public-domain"),
        ("almost no restrictions whatsoever. You may copy it under the terms of the Project "
         "Gutenberg License", "LicenseRef-Gutenberg"),
        ("Permission is granted to make and distribute verbatim copies", "Latex2e"),
    ],
)  # fmt: skip
def test_statements_are_named_and_quoted(text, licence):
    ruling = Rights(RightsConfig(allow=(licence,)))(plain(f"A Book\n\n{text}\n"))
    assert not ruling.reason and licence in ruling.metadata["licences"]
    name, quote, start, end = ruling.metadata["rights_evidence"][0]
    assert quote == " ".join(f"A Book\n\n{text}\n"[start:end].split())


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
