"""Patterns of single lines: what they take, what they leave, and that none is slow."""

import re

import pytest

from groundup.documents.conversations import mail_lines


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("QUOTE_PREFIX", "SM> old"),
        ("ELLIPSIS", "<snip>"),
        ("ELLIPSIS", "[...]"),
        ("DELIMITER", "- --"),
        ("SHORT_RULE", "___"),
        ("SIGNATURE_NAME", "Ann Lee, Tea Ltd."),
        ("PHONE", "+44 113 496 0000"),
        ("FOOTER", "Tea mailing list"),
        ("REPLY_PREFIX", "AW: [tea] cups"),
    ],
)
def test_lines_that_match(name, line):
    assert getattr(mail_lines, name).search(line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("QUOTE_PREFIX", "x > 3"),
        ("ELLIPSIS", "snipping is fun"),
        ("DELIMITER", "-- x"),
        ("SIGNATURE_NAME", "Thanks Ann"),
        ("SIGNATURE_NAME", "Ann said so"),
        ("PHONE", "in 2002 and 2003"),
        ("REPLY_PREFIX", "Reports: none"),
    ],
)
def test_lines_that_do_not(name, line):
    assert not getattr(mail_lines, name).match(line)


SEARCHED = ("CONFIDENTIAL", "FOOTER", "PHONE", "CONTACT", "LOWERCASE_SENTENCE")
"""The others are only asked about a line's beginning."""


@pytest.mark.parametrize("piece", ["a", "A ", "1 ", "-", ">", "@", "a.", "wrote "])
def test_no_pattern_is_slow_on_the_longest_line(piece):
    line = (piece * 400)[:400]
    for name, pattern in vars(mail_lines).items():
        if isinstance(pattern, re.Pattern):
            ask = pattern.search if name in SEARCHED else pattern.match
            for _ in range(100):
                ask(line)
