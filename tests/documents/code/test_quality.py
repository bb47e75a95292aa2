"""Measures of source files, and the licence header."""

import pytest

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.code.quality import (
    CodeQuality,
    CodeQualityConfig,
    CommentFilter,
    CommentFilterConfig,
)


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("a.py", "abc = 1\n" * 9, ""),
        ("a.py", "xyz = 1\n" * 99 + "y" * 1001, "code: line too long"),
        ("a.py", "xyz = 1\n" * 99 + "y" * 1000, ""),
        ("a.py", ("y" * 150 + "\n") * 9, "code: lines long on average"),
        ("a.py", "x\n" * 100_000, "code: too many lines"),
        ("a.py", "+-+-+-+-" * 4 + "ab", "code: few letters and digits"),
        ("a.py", "1234 5678 " * 4, "code: few letters"),
        ("a.md", "y " * 2000, ""),
        ("a.py", "", "code: too short"),
        ("a.py", " \n" * 50, "code: too short"),
        ("a.py", "\0\ud800\0\0\0\0\0\0\0\0\0", "code: few letters and digits"),
        ("a.py", "é" * 5_000_000, "code: line too long"),
    ],
)
def test_quality(path, text, reason):
    record = Record("1", "s", path, "code", text)
    assert CodeQuality(CodeQualityConfig())(record).reason == reason


def test_what_is_measured():
    text = "ab = 12\n# c\n"
    record = Record("1", "s", "a.py", "code", text, SourceMap.identity(text))
    assert CodeQuality(CodeQualityConfig())(record).metadata == {
        "lines": 3, "mean_line": 4.0, "max_line": 7, "alphanumeric_share": round(5 / 12, 4),
    }  # fmt: skip


HEADER = "# Copyright 2020 A. Person\n# SPDX-License-Identifier: MIT\n"


def run(path: str, text: str, **settings):
    record = Record("1", "s", path, "code", text, SourceMap.identity(text))
    ruling = CommentFilter(CommentFilterConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


@pytest.mark.parametrize(
    ("path", "text", "after", "header"),
    [
        ("a.py", HEADER + "\n# Adds.\nx = 1\n", "\n# Adds.\nx = 1\n", HEADER),
        ("a.py", "#!/usr/bin/python\n" + HEADER + "x = 1\n", "#!/usr/bin/python\nx = 1\n", HEADER),
        ("a.c", "/* Copyright (c) 2020\n * all */\n\n/* Adds. */\nint x;\n",
         "\n/* Adds. */\nint x;\n", "/* Copyright (c) 2020\n * all */\n"),
        ("a.c", "/* Adds. */\nint x;\n/* Copyright */\n",
         "/* Adds. */\nint x;\n/* Copyright */\n", None),
        ("a.php", "<?php\n// Copyright A\necho 1;\n", "<?php\n// Copyright A\necho 1;\n", None),
        ("a.py", '"""Licence: MIT."""\nx = 1\n', "x = 1\n", '"""Licence: MIT."""\n'),
        ("a.xyz", HEADER, HEADER, None),
        ("a.py", "", "", None),
    ],
)  # fmt: skip
def test_the_header_is_moved(path, text, after, header):
    _, left = run(path, text)
    assert left.text == after
    kept = left.metadata.get("aside", {}).get("header")
    assert kept == (None if header is None else [header.strip()])


def test_shares():
    assert run("a.py", "# words of a comment\n" * 100)[0].reason == "code: mostly comments"
    assert run("a.py", "x = f(1, 2)\n" * 100)[0].reason == "code: no comments"
    assert run("a.py", HEADER + "x = f(1, 2)\n" * 100)[0].reason == ""
    assert run("a.py", "x = f(1, 2)\n" * 100 + "# c" * 9)[0].reason == ""
    kept = run("a.py", "# words of a comment\n" * 100, drop=False)[1]
    assert kept.metadata["comment_share"] == 1.0
    assert run("a.py", HEADER + "x = 1\n", headers=False)[1].text == HEADER + "x = 1\n"


@pytest.mark.parametrize("unit", ["#", "# \n", "/*", "\n", "<!--", "# licence\n", '"""'])
def test_many_of_anything_end(unit):
    for path in ("a.py", "a.c", "a.html"):
        run(path, unit * (300_000 // len(unit)))
