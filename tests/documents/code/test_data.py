"""Data in code: encoded runs, number tables, long literals, and code that only looks so."""

import base64
import random

import pytest

from groundup.documents import Record
from groundup.documents.code.data import Data, DataConfig

NOISE = random.Random(1).randbytes(30_000)
CODE = "def f(a, b):\n    # adds\n    return a + b\n\n" * 60


def rule(path: str, text: str):
    return Data(DataConfig())(Record("1", "s", path, "code", text))


def lines(text: str, size: int) -> str:
    return "\n".join(f'    "{text[i : i + size]}"' for i in range(0, len(text), size))


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("a.py", f'{CODE}X = "{base64.b64encode(NOISE[:900]).decode()}"', "code: encoded data"),
        ("a.py", f"{CODE}X = (\n{lines(base64.b64encode(NOISE).decode(), 76)})",
         "code: encoded data"),
        ("a.c", "char x[] = {" + ", ".join(f"0x{b:02x}" for b in NOISE[:600]) + "};",
         "code: encoded data"),
        ("a.py", "X = '" + "".join(f"\\x{b:02x}" for b in NOISE[:400]) + "'", "code: encoded data"),
        ("a.js", 'x = "' + "".join(f"\\u{b:04x}" for b in NOISE[:400]) + '"', "code: encoded data"),
        ("a.py", "T = [" + ", ".join(map(str, NOISE[:800])) + "]", "code: table of numbers"),
        ("a.c", "double t[] = {\n" + "".join(f"  {b}.5e-3, {b},\n" for b in NOISE[:400]) + "};",
         "code: table of numbers"),
        ("a.py", 'X = """' + "some words in a long text. " * 200 + '"""', "code: one long literal"),
        ("a.json", '{"a": 1}' + " " * 6000, "code: data file"),
        ("a.yaml", "- {a: 1, b: two}\n" * 4000, "code: data file"),
        ("a.csv", "a,b\n1,2\n", "code: data file"),
        ("a.dat", '<?xml version="1.0"?><a/>', ""),
        ("a.html", "<html><script>" + "x();" * 500 + "</script>hello</html>", "code: data file"),
    ],
)  # fmt: skip
def test_data(path, text, reason):
    found = rule(path, text)
    assert found.reason == reason or (path == "a.dat" and found.reason in ("", "code: data file"))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", CODE),
        ("a.py", CODE + "path = '" + "/usr/share/some/long/path/to/a/file" * 40 + "'"),
        ("a.py", CODE + "x = 'a" + "a" * 2000 + "'"),
        ("a.py", CODE + "SHA = '" + "ab12" * 16 + "'"),
        ("a.c", "int a = 1, b = 2, c = 3;\n" * 60),
        (".github/workflows/test.yml", "on: push\njobs:\n" + "  - run: make check\n" * 300),
        ("compose.yaml", "services: {}"),
        ("a.json", '{"a": ' + "1" * 100 + "}"),
        ("a.html", "<html><p>" + "Some visible words. " * 50 + "</p></html>"),
        ("a.html", "<?xml version='1.0'?><html><p>" + "Some visible words. " * 50 + "</p></html>"),
        ("a.rs", CODE + 'let a = r"\\.ini$";\n' + "let b = f(c);\n" * 200),
        ("a.py", ""),
        ("a.py", "\0\ud800"),
    ],
)
def test_not_data(path, text):
    assert rule(path, text).reason == ""


@pytest.mark.parametrize(
    "unit", ["a", "<", "1", "1 ", "1,", " ", "\\x", "\\u0041", "A1/b", "0x", "ab\n", "<script"]
)
def test_a_megabyte_of_anything_ends(unit):
    text = unit * (1_000_000 // len(unit)) + "g"
    for path in ("a.py", "a.html", "a"):
        rule(path, text)
