"""A file is read exactly as it is or set aside with the reason; its kind decides how."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.documents import (
    PASS,
    ReadConfig,
    Record,
    Rejected,
    apply_result,
    fingerprint_folder,
    read_bytes,
    read_folder,
)
from groundup.documents.readers.files import (
    Folder,
    FolderConfig,
    ReadMarkup,
    ReadMarkupConfig,
    kind_of_file,
    make_record,
)


@given(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=50),
    st.sampled_from(["a.txt", "a.md", "a.py", "README"]),
    st.data(),
)
def test_text_is_the_file_decoded_and_quotes_are_its_bytes(text, path, data):
    file = text.encode()
    if file.startswith((b"\xef\xbb\xbf", b"<!", b"<h", b"<H")):
        return
    document = read_bytes(file, path)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    quote = document.quote(start, end)
    assert document.text == text
    assert file[quote.start : quote.end].decode() == quote.text == text[start:end]


def test_byte_order_marks_and_line_ends_stay_out_of_the_way():
    file = b"\xef\xbb\xbf# T\xc3\xa9\r\n\r\nA cup\r\n"
    document = read_bytes(file, "tea.md")
    assert document.text == "# Té\r\n\r\nA cup\r\n"
    quote = document.quote(8, 13)
    assert (quote.text, quote.line) == ("A cup", 3)
    assert file[quote.start : quote.end] == b"A cup"
    assert document.metadata["title"] == "Té"


@pytest.mark.parametrize(
    "path, data, kind",
    [
        ("a.md", b"x", "markdown"),
        ("A.MARKDOWN", b"x", "markdown"),
        ("a.HTM", b"x", "html"),
        ("a.pyi", b"x", "python"),
        ("a.rst", b"x", "text"),
        ("LICENSE", b"x", "text"),
        ("page", b"\n <!doctype HTML><p>x", "html"),
        ("a.py", b"<html>", "python"),
    ],
)
def test_kinds_of_documents_follow_the_ending_then_the_content(path, data, kind):
    assert read_bytes(data, path).kind == kind


def test_bytes_that_are_no_text_say_where():
    for data, message in (
        (b"ab\xff", "byte 0xff at 2"),
        (b"\xef\xbb\xbfab\xff", "byte 0xff at 5"),
        (b"a\0b", "binary .a zero byte at 1"),
        ("a".encode("utf-16"), "byte order mark of utf-16"),
    ):
        with pytest.raises(DataError, match=message):
            read_bytes(data, "a.txt")
    page = "<meta charset=shift_jis><p>日本".encode("shift_jis")
    quote = read_bytes(page, "a.html").quote(0, 2)
    assert (quote.text, quote.end) == ("日本", len(page))


def test_a_folder_gives_documents_and_rejects_in_the_order_of_paths(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    root = tmp_path / "docs"
    root.mkdir()
    files = {
        "a b.txt": b"spaces", "Ünïcode/世界.md": "# 世界".encode(), "a/z.py": b"x = 1",
        "latin.txt": b"caf\xe9", "zip.txt": b"PK\0\3", "empty.txt": b"", "blank.md": b" \n",
        "tags.html": b"<p></p>", "big.txt": b"x" * 101, "image.png": b"\x89PNG",
        ".hidden/a.txt": b"x", "__pycache__/a.txt": b"x", ".env": b"x", "a.log": b"boiled",
    }  # fmt: skip
    for name, data in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
    (root / "out.txt").symlink_to(outside)
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "dead.txt").symlink_to("nowhere")
    os.mkfifo(root / "pipe.txt")
    (root / "folder.txt").mkdir()
    config = ReadConfig(max_bytes=100)
    found = list(read_folder(root, config))
    assert {f.path: f.reason for f in found if isinstance(f, Rejected)} == {
        "zip.txt": "binary", "empty.txt": "empty", "blank.md": "empty",
        "tags.html": "no text", "big.txt": "too large",
        ".hidden": "hidden", "__pycache__": "hidden", ".env": "hidden",
        "image.png": "another kind of file", "out.txt": "link out of the folder",
        "up": "link out of the folder", "loop": "link inside the folder",
        "dead.txt": "link inside the folder", "pipe.txt": "not a regular file",
    }  # fmt: skip
    documents = [f.path for f in found if isinstance(f, Record)]
    assert documents == ["a b.txt", "a.log", "a/z.py", "latin.txt", "Ünïcode/世界.md"]
    assert [f.path for f in found] == sorted(f.path for f in found)
    prints = dict(fingerprint_folder(root, config))
    assert list(prints) == [f.path for f in found]
    assert list(read_folder(root, config, fingerprints=prints)) == found


def test_a_name_that_is_not_utf8_is_set_aside(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
    try:
        with open(path, "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert list(read_folder(tmp_path)) == [
        Rejected("caf\\xe9.txt", "name not UTF-8", "rename the file")
    ]


def test_an_unreadable_file_is_recorded_and_the_rest_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("y")
    (tmp_path / "a.txt").chmod(0)
    if os.access(tmp_path / "a.txt", os.R_OK):
        pytest.skip("this user may read everything")
    first, second = read_folder(tmp_path)
    assert isinstance(first, Rejected) and first.reason == "unreadable"
    assert isinstance(second, Record)


def test_chosen_endings_are_read_and_others_are_recorded(tmp_path):
    (tmp_path / "a.cfg").write_text("x = 1")
    (tmp_path / "b.txt").write_text("y")
    first, second = read_folder(tmp_path, suffixes={".cfg"})
    assert isinstance(first, Record) and first.kind == "code"
    assert second == Rejected("b.txt", "another kind of file", "its ending is .txt")


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"a\.txt is a file"):
        list(read_folder(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="nowhere is missing"):
        list(read_folder(tmp_path / "nowhere"))


def test_a_changed_file_changes_the_fingerprint(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    before = list(fingerprint_folder(tmp_path))
    (tmp_path / "a.txt").write_text("y")
    assert list(fingerprint_folder(tmp_path)) != before


def test_paths_that_are_skipped_are_told_and_not_read(tmp_path):
    (tmp_path / "api").mkdir()
    for name in ("api/index.md", "api/all.md", "a.md"):
        (tmp_path / name).write_text("text")
    reader = Folder(FolderConfig(skip=("*/all.md", "b*")))
    found = [row for part in reader.plan(tmp_path) for row in reader.read(tmp_path, part, "s")]
    assert [(row.path, getattr(row, "reason", "")) for row in found] == [
        ("a.md", ""),
        ("api/all.md", "skipped by its path"),
        ("api/index.md", ""),
    ]


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


@pytest.mark.parametrize(
    ("name", "lines", "line", "reason"),
    [("a.js", 3, 4000, "minified"), ("a.css", 40, 1200, "minified"), ("a.js", 9, 500, ""),
     ("a.js", 1, 4000, ""), ("a.json", 3, 4000, ""), ("a.txt", 3, 4000, "")],
)  # fmt: skip
def test_code_made_for_machines_is_set_aside(name, lines, line, reason):
    data = b"\n".join([b"a = 1;  " * (line // 8)] * lines)
    made = make_record("s", name, kind_of_file(name, b"x"), data, {})
    assert getattr(made, "reason", "") == reason
