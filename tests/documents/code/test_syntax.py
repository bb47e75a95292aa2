"""Syntax checks: parse errors, undefined names, brackets, conflicts; hostile text ends."""

import pytest

from groundup.documents import Record
from groundup.documents.code.syntax import (
    SyntaxCheck,
    SyntaxCheckConfig,
    _merge_conflicts,
    _unbalanced_share,
    _undefined_names,
)


def rule(path: str, text: str, **settings):
    return SyntaxCheck(SyntaxCheckConfig(**settings))(Record("1", "s", path, "code", text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("print(x)", ["x"]), ("x = 1\nprint(x)", []),
        ("def f(a, *b, c=1, **d):\n    return a, b, c, d, e", ["e"]),
        ("from m import *\nprint(x)", []), ("import a.b as c, d.e\nprint(c, d)", []),
        ("def f():\n    global g\n    g = 1\ndef h():\n    return g", []),
        ("class A:\n    b = 1\n    c = b\n    def d(self):\n        return __class__, b", ["b"]),
        ("[i for i in range(3)]; print(i)", ["i"]),
        ("try:\n    unicode\nexcept NameError:\n    unicode = str", []),
        ("try:\n    basestring\nexcept NameError:\n    pass", []),
        ("with open('f') as f, g() as h:\n    f, h", ["g"]), ("for k, (v, w) in x: k, v, w", ["x"]),
        ("if (n := 1): n\ndel n", []), ("def f(): return later\nlater = 1", []),
        ("match v:\n    case {'a': b, **c}: b, c", ["v"]),
        ("__file__, __name__, print, WindowsError", []),
    ],
)  # fmt: skip
def test_undefined_names(text, names):
    assert _undefined_names(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a: Any) -> Path:\n    x: int = a\n    return x", ["Any", "Path"]),
        ("from typing import Any\nclass Path: ...\ndef f(a: Any) -> 'Any | Path': ...", []),
    ],
)
def test_annotations_that_are_never_evaluated_are_read_too(text, names):
    assert _undefined_names(f"from __future__ import annotations\n{text}") == names


def test_real_modules_have_none():
    import argparse
    import dataclasses
    import json.decoder
    import pathlib
    import typing

    for module in (argparse, dataclasses, json.decoder, pathlib, typing):
        with open(module.__file__, encoding="utf-8") as file:
            assert _undefined_names(file.read()) == []


@pytest.mark.parametrize(
    ("path", "text", "parses"),
    [
        ("a.py", "x = (1,", False), ("a.py", "x = 1", True), ("a.py", "x = '\0'", False),
        ("a.py", "print 'a'", False), ("a.py", "x = '\ud800'", False),
        ("a.py", "(" * 10_000, False), ("a.py", "-" * 100_000 + "1", False),
        ("a.json", '{"a": [1]}', True), ("a.json", "{", False), ("a.json", "[" * 200_000, False),
        ("a.json", '{"a": NaN}', False), ("a.json", "[-Infinity]", False),
        ("a.json", '{"a": "NaN"}', True),
        ("a.toml", "a = 1", True), ("a.toml", "a = ", False),
        ("a.xml", "<a><b/></a>", True), ("a.xml", "<a>", False),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>', False),
    ],
)  # fmt: skip
def test_parsers(path, text, parses):
    assert rule(path, text).metadata["parses"] is parses
    assert rule(path, text).reason == ""
    dropped = rule(path, text, drop_unparsed=True)
    assert dropped.reason == ("" if parses else "code: does not parse")


def test_python_2_is_reported():
    assert rule("a.py", "print 'a'\n").metadata["parse_error"].startswith("Python 2: ")


@pytest.mark.parametrize(
    "text",
    [
        "type Row = list[int]", "type Box[T] = list[T]", "def f[T](x: T) -> T: ...",
        "class A[T: (int, str), **P](B):\n    pass", "async def f[T](): ...",
        """x = f"{d["a"]} b\"""", "x = f'{d['a']}'", 'y = f"{chr(10).join(a)} {\'\\n\'.join(a)}"',
        'x = f"{\n1}"', 'x = t"{a}"', "x = rt'b'",
        "try:\n    f()\nexcept ValueError, os.Error:\n    g()", "lazy import json",
    ],
)  # fmt: skip
def test_newer_syntax_is_not_reported_as_broken(text):
    ruling = rule("a.py", "a = 1\n" + text + "\n", drop_unparsed=True)
    assert ruling.reason == "" and ruling.metadata.get("parses", True)
    assert "parses" in ruling.metadata or "(Python 3." in ruling.metadata["newer_syntax"]


@pytest.mark.parametrize(
    "text",
    ["def f(x:\n    pass", "type = [1", "x = f'{a' +", "t = 'a", "class A[: pass]x(",
     "try:\n    f()\nexcept ValueError, e:\n    g()", "print f", "lazy = import json"],
)  # fmt: skip
def test_invalid_syntax_is_broken(text):
    ruling = rule("a.py", "a = 1\n" + text + "\n", drop_unparsed=True)
    assert ruling.reason == "code: does not parse" or text.startswith(("x = f", "class A["))


def test_conflicts_are_three_marks_in_order():
    text = "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n"
    assert _merge_conflicts(text * 3) == 3
    assert _merge_conflicts(text.replace("\n", "\r\n") * 3) == 3
    assert _merge_conflicts(text.replace("\n", "\r") * 2) == 2
    assert _merge_conflicts("<<<<<<< a\r\n\r\n======== \r\n>>>>>>> b\r\n") == 0
    assert _merge_conflicts("Title\n=======\ntext\n") == 0
    assert _merge_conflicts("'<<<<<<< HEAD' '>>>>>>>'\n=======\n") == 0
    assert rule("a.c", text).metadata["merge_conflicts"] == 1
    assert rule("a.c", text, drop_conflicts=True).reason == "code: merge conflict"


def test_brackets():
    assert _unbalanced_share("f(a[0]);", "c") == 0
    assert _unbalanced_share("f(a[0]) { /* ( */", "c") == 0.2
    assert _unbalanced_share("f(')', \"]\") // }", "c") == 0
    assert _unbalanced_share("f(]", "c") == 1
    assert _unbalanced_share("no brackets", "c") == 0
    assert _unbalanced_share("(", "markdown") is None
    assert rule("a.js", "f((", max_unbalanced=0.01).reason == "code: unbalanced brackets"
    assert rule("a.py", "x + y", max_undefined=1).reason == "code: undefined names"


@pytest.mark.parametrize("unit", ["(", "<", "a", "=======\n", "<<<<<<< a\n", "lambda:", "'", "[]"])
def test_much_of_anything_ends(unit):
    for path in ("a.py", "a.js", "a.xml", "a.toml", "a.json"):
        rule(path, unit * (60_000 // len(unit)))
