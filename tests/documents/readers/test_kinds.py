"""A file's kind decides how its bytes become a record, and `documents.read` finishes the rest."""

import pytest

from groundup.documents import PASS, Record, Rejected, apply_result
from groundup.documents.readers.kinds import (
    ReadMarkup,
    ReadMarkupConfig,
    kind_of_file,
    make_record,
)


@pytest.mark.parametrize(
    "path, data, kind",
    [("a.MD", b"", "markdown"), ("a.tex", b"", "latex"), ("a.nxml", b"", "jats"),
     ("a.xml", b'<?xml version="1.0"?>\n<!DOCTYPE article PUBLIC "-//NLM//DTD"', "jats"),
     ("a.xml", b"<pom/>", "code"), ("x/Makefile", b"", "code"), ("README", b"", "text"),
     ("a.pdf", b"", "pdf"), ("paper", b"%PDF-1.5", "pdf"), ("a.ipynb", b"", "notebook"),
     ("a.exe", b"MZ", ""), ("index.txt", b"<html>", "html")],
)  # fmt: skip
def test_kinds_follow_endings_then_bytes(path, data, kind):
    assert kind_of_file(path, data) == kind


def test_text_kinds_come_decoded_with_their_outline():
    one = make_record("s", "a.rst", "rst", b"Top\n===\n\ntext\n\nSub\n---\n", {})
    assert one.metadata["title"] == "Top" and len(one.metadata["sha256"]) == 64
    assert [(one.text[s.start : s.end], s.value) for s in one.spans] == [
        ("Top", "1"),
        ("Sub", "2"),
    ]
    two = make_record("s", "a.py", "python", "# coding: koi8-r\nx = 'я'\n".encode("koi8-r"), {})
    assert "я" in two.text and two.metadata["charset"] == "koi8-r"
    three = make_record("s", "a.tex", "latex", b"\\section{A} % note", {})
    assert (three.kind, three.text) == ("latex", "\\section{A} % note")


def test_without_repair_other_charsets_are_rejects():
    found = make_record("s", "a.txt", "text", "Grüße aus Köln".encode("cp1252"), {}, repair=False)
    assert isinstance(found, Rejected) and found.reason == "not UTF-8"


def test_pages_stay_bytes_until_a_step_reads_them():
    data = "<title>T</title><h1>Größe</h1><p>über".encode("cp1252")
    one = make_record("s", "a.html", "html", data, {"charset": "iso-8859-1"})
    assert one.data == data and one.text == ""
    step = ReadMarkup(ReadMarkupConfig())
    ruling = step(one)
    after = apply_result(one, ruling)
    assert (after.text, after.data, after.metadata["title"]) == ("Größe\n\nüber", b"", "T")
    assert [(s.kind, after.text[s.start : s.end]) for s in after.spans] == [("heading", "Größe")]
    start, end = after.map.byte_range(7, 11)
    assert data[start:end].decode("cp1252") == "über"
    assert step(after) == PASS


def test_markup_without_text_and_charsets_without_name_are_dropped_with_a_reason():
    step = ReadMarkup(ReadMarkupConfig())
    for data, reason in ((b"<p></p>", "no text in the markup"), (b"a\0", "binary")):
        assert step(Record("1", "s", "p", "html", data=data)).reason == reason


def test_a_page_100000_deep_is_read():
    step = ReadMarkup(ReadMarkupConfig())
    deep = Record("1", "s", "p", "html", data=b"<div>" * 100_000 + b"x" + b"</div>" * 100_000)
    assert apply_result(deep, step(deep)).text == "x"
