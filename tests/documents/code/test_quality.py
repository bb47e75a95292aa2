"""Limits of lines and letters."""

import pytest

from groundup.documents import Record, SourceMap
from groundup.documents.code.quality import CodeQuality, CodeQualityConfig


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
