"""Every kind of file is read, quoted and verified; what is not read is listed with its reason."""

import contextlib
import datetime
import gzip
import hashlib
import importlib
import io
import json
import mailbox
import multiprocessing
import os
import re
import signal
import struct
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from groundup.core import Answer, Claim, ConfigError, DataError, Quote
from groundup.corpus import CorpusConfig, corpus
from groundup.documents import (
    NAVIGATION,
    TABLES,
    ReadConfig,
    Record,
    Rejected,
    left_out_lines,
    plan_folder,
    read_data,
)
from groundup.documents.readers.files import ReadMarkup, ReadMarkupConfig, kind_of_file
from groundup.retrieve import (
    LexicalIndex,
    answer_to_text,
    ask,
    explain_reading,
    index,
    index_or_explain,
    open_index,
    verify_quotes,
)
from groundup.retrieve.chunks import reading
from groundup.retrieve.chunks.chunk import chunk_document
from groundup.retrieve.chunks.reading import read_files
from groundup.retrieve.index import IndexConfig
from groundup.retrieve.search import read_rejected
from tests.documents.readers.test_books import GOOD, PICTURE, assemble, book, forms, pdf

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
DOCX = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<w:document {W}><w:body>
<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Kettles</w:t></w:r></w:p>
<w:p><w:del><w:r><w:delText>It held nine.</w:delText></w:r></w:del>
<w:r><w:t>The kettle </w:t></w:r><w:r><w:t>holds 7 &lt; 8 cups.</w:t></w:r></w:p>
<w:tbl><w:tr><w:tc><w:p><w:r><w:t>cup</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
</w:body></w:document>"""
ODT = """<?xml version="1.0"?><office:document-content><office:body><office:text>
<text:h text:style-name="H" text:outline-level="2">Pans</text:h>
<text:p text:style-name="P">The pan weighs 3 kg.</text:p></office:text></office:body>
</office:document-content>"""
ODS = """<?xml version="1.0"?><office:document-content><office:body><office:spreadsheet>
<table:table table:name="Jars &amp; lids" table:style-name="ta1"><table:table-column/>
<table:table-row><table:table-cell><text:p>Jar</text:p></table:table-cell><table:table-cell>
<text:p>Litres</text:p></table:table-cell><table:table-cell table:number-columns-repeated="16382"/>
</table:table-row><table:table-row><table:table-cell><office:annotation><text:p>Cracked!</text:p>
</office:annotation><text:p>amphora</text:p></table:table-cell><table:table-cell/><table:table-cell>
<text:p>26</text:p><text:p>full</text:p></table:table-cell></table:table-row><table:table-row
table:number-rows-repeated="1048574"><table:table-cell table:number-columns-repeated="16384"/>
</table:table-row></table:table><table:table table:name="Empty"/><table:table table:name="Corks">
<table:table-row><table:table-cell><text:p>Cork oak</text:p></table:table-cell></table:table-row>
</table:table></office:spreadsheet></office:body></office:document-content>"""
ODP = """<office:document-content><office:presentation><draw:page draw:name="1"><draw:frame
presentation:class="title"><draw:text-box><text:p>Urns</text:p></draw:text-box></draw:frame>
<draw:frame><draw:text-box><text:list><text:list-item><text:p>The urn leaks at the tap.</text:p>
</text:list-item></text:list></draw:text-box></draw:frame><presentation:notes><text:p>Tell it with
a smile.</text:p></presentation:notes></draw:page></office:presentation>
</office:document-content>"""
DOCBOOK = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//OASIS//DTD DocBook XML V4.5//EN" "http://x.example/docbookx.dtd" [
<!ENTITY ware "stoneware"><!ENTITY many "&ware;&ware;"><!ENTITY file SYSTEM "file:///etc/passwd">]>
<article><title>Crocks</title><section><title>Firing</title><para>The crock of &ware; is
fired at <quantity>1,280</quantity> degrees&file;.&many;</para><warning><para>Hot!</para></warning>
<table><title>Glazes</title><tgroup><tbody><row><entry>salt</entry><entry>12 g</entry></row>
</tbody></tgroup></table><footnote><para>Or cooler.</para></footnote></section></article>"""


def slide(title: str, rest: str, kind: str = "title") -> str:
    shape = f'<p:sp><p:nvPr><p:ph type="{kind}"/></p:nvPr><a:p><a:t>{title}</a:t></a:p></p:sp>'
    number = '<p:sp><p:ph type="sldNum"/><a:p><a:fld><a:t>31</a:t></a:fld></a:p></p:sp>'
    return f'<?xml version="1.0"?><p:sld>{shape}{rest}{number}<p:timing>style.x</p:timing></p:sld>'


def relations(**targets: str) -> str:
    items = (f'<Relationship Id="{id}" Target="{path}"/>' for id, path in targets.items())
    return f"<Relationships>{''.join(items)}</Relationships>"


PPTX = {
    "ppt/presentation.xml": '<p:sldId id="256" r:id="r2"/><p:sldId id="257" r:id="r1"/>'
    '<p:sldId id="258" r:id="r2"/><p:sldId id="259" r:id="r9"/>',
    "ppt/_rels/presentation.xml.rels": relations(
        r1="slides/slide1.xml", r2="/ppt/slides/slide2.xml", r9="slides/gone.xml"
    ),
    "ppt/slides/slide1.xml": slide(
        "Stoves",
        "<a:tbl><a:tr><a:tc><a:p><a:t>Stove</a:t></a:p></a:tc><a:tc><a:p><a:t>Watts</a:t></a:p>"
        "</a:tc></a:tr><a:tr><a:tc><a:p><a:t>big</a:t></a:p></a:tc><a:tc><a:p><a:t>2100</a:t></a:p>"
        "</a:tc></a:tr></a:tbl>",
    ),
    "ppt/slides/_rels/slide1.xml.rels": relations(n="../notesSlides/notesSlide1.xml"),
    "ppt/notesSlides/notesSlide1.xml": "<p:notes><a:p><a:t>The stove hums.</a:t></a:p></p:notes>",
    "ppt/slides/slide2.xml": slide("Heat &amp; steam", "", "ctrTitle"),
    "ppt/slides/slide3.xml": slide("Deleted", ""),
}


CODES = b"code,name,number\n" + b"".join(b"c%d,n%d,%d\n" % (i, i, i * 7) for i in range(90))
PAGE = (
    b"<nav><a href=a>Home</a></nav><ul><li><a href=a>One page</a><li><a href=b>Other page</a></ul>"
    b"<h1>Cups</h1><p>A cup holds &frac14; litre."
)
MENU = b"<ul><li><a href=a>One</a><li><a href=b>Two</a></ul><p>Text <a>x</a>."


def zipped(members: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


TEAS = [
    ["Tea", "Grams", "Share", "Picked", "Fresh", "Price"], [], [None, None],
    ["oolong\nblack", 40.0, 0.25, datetime.date(2024, 5, 3), True, 6.5],
    ["pu-erh", 0.1 + 0.2, 1e20, datetime.datetime(2024, 5, 3, 8, 30), None, -3],
]  # fmt: skip
TEA_ROWS = (
    "Tea\tGrams\tShare\tPicked\tFresh\tPrice\noolong black\t40\t25%\t2024-05-03\tTRUE\t6.50\n"
    "pu-erh\t0.3\t1e+20\t2024-05-03 08:30:00\t\t-3"
)


def workbook(**sheets: list[list]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        for column, form in (("C", "0%"), ("F", "0.00")):
            sheet[f"{column}4"].number_format = form
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed_part(data: bytes, name: str, **words: str) -> bytes:
    """A zip with `__words__` in the text of a member replaced, or a member added."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {each: archive.read(each).decode() for each in archive.namelist()}
    for old, new in words.items():
        members[name] = members.get(name, old).replace(old, new)
    return zipped(members)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    files: dict[str, bytes] = {
        "a.docx": zipped({"word/document.xml": DOCX}),
        "a.odt": zipped({"content.xml": ODT}),
        "a.ods": zipped({"content.xml": ODS}),
        "a.odp": zipped({"content.xml": ODP}),
        "a.pptx": zipped(PPTX),
        "a.xlsx": workbook(Teas=TEAS, Blank=[], Mugs=[["Mug", "Holds"], ["red mug", "350 ml"]]),
        "a.pdf": pdf(["The first page has the lid.", "The spout is on the second page."]),
        "a.epub": book(GOOD),
        "a.xml": DOCBOOK.encode(),
        "other.xml": b"<book><price>Saucers cost 3 pounds</price></book>",
        "a.rtf": rb"{\rtf1\ansi{\info{\title x}} The ladle is made of pewt{\b er}.\par}",
        "codes.csv": CODES,
        "a.ipynb": json.dumps({
            "cells": [{"cell_type": "markdown", "source": ["A notebook boils milk.\n"]}],
            "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
        }).encode(),
        "app.log": b"12:01 pump started\n12:02 pump failed with code 77\n",
        "latin.txt": "Der Löffel ist aus Silber und glänzt.\n".encode("latin-1"),
        "wide.txt": "The wide bowl is blue.\n".encode("utf-16"),
        "setup.yaml": b"# seconds to wait\nbrew_seconds: 45\n",
        "page.html": PAGE,
        "a.tex": rb"\documentclass{article}\begin{document}The \emph{sieve} is fine.\end{document}",
        "data.gz": gzip.compress(b"A packed teapot.\n"),
        "pic.png": b"\x89PNG\r\n", "zero.dat": b"a\0b", "empty.md": b"", "scan.pdf": pdf([""]),
        ".env": b"SECRET=1",
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "x.js").write_text("let x = 1")
    box = mailbox.mbox(folder / "in.mbox")
    for number in (1, 2):
        box.add(f"From: a@example.org\nSubject: Order {number}\n\nPlease send {number}00 spoons.\n")
    box.close()
    return folder


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("index") / "i"
    index(folder, out)
    return out


@pytest.mark.parametrize(
    ("question", "path", "words"),
    [
        ("How many cups does the kettle hold?", "a.docx", "holds 7 < 8 cups"),
        ("How much does the pan weigh?", "a.odt", "3 kg"),
        ("How many litres has the amphora?", "a.ods", "amphora\t\t26\tfull"),
        ("Where does the urn leak?", "a.odp", "at the tap"),
        ("How many watts has the big stove?", "a.pptx", "big\t2100"),
        ("What does the stove do?", "a.pptx", "hums"),
        ("How many grams of oolong are there?", "a.xlsx", "oolong black\t40\t25%"),
        ("What does the red mug hold?", "a.xlsx", "350 ml"),
        ("At how many degrees is the crock fired?", "a.xml", "1,280 degrees"),
        ("How much is salt?", "a.xml", "12 g"),
        ("What is the ladle made of?", "a.rtf", "pewter"),
        ("What do saucers cost?", "other.xml", "3 pounds</price>"),
        ("Where is the spout?", "a.pdf", "spout"),
        ("What does a notebook boil?", "a.ipynb", "boils milk"),
        ("With which code did the pump fail?", "app.log", "code 77"),
        ("Woraus ist der Löffel?", "latin.txt", "Silber"),
        ("Is the wide bowl blue?", "wide.txt", "blue"),
        ("What is brew_seconds?", "setup.yaml", "brew_seconds: 45"),
        ("How many litres does a cup hold?", "page.html", "¼ litre"),
        ("How is the sieve?", "a.tex", "sieve is fine"),
        ("Who ordered 200 spoons?", "in.mbox#2", "200 spoons"),
        ("What is the number of n77?", "codes.csv", "c77,n77,539"),
    ],
)
def test_each_kind_is_quoted_and_its_quote_verified(built, folder, question, path, words):
    answer = ask(question, built)
    first = answer.claims[0]
    assert first.quotes[-1].path.startswith(path.split("#")[0]) and words in first.quotes[-1].text
    assert verify_quotes(answer, folder) == []
    moved = first.quotes[-1]._replace(start=first.quotes[-1].start + 1)
    if not path.endswith((".pdf", ".xlsx")):  # all their text comes from the whole file
        wrong = Answer(answer.text, claims=(Claim(answer.text, (moved,)),))
        assert [problem.code for problem in verify_quotes(wrong, folder)] == ["differs"]


def test_a_row_comes_with_the_head_of_its_table_and_a_pdf_with_its_page(built, folder):
    head, row = ask("What is the number of n77?", built).claims[0].quotes
    assert head.text == "code,name,number" and "c77,n77,539" in row.text
    (quote,) = ask("Where is the spout?", built).claims[0].quotes
    assert quote.page == 2
    wrong = Answer("", claims=(Claim("", (quote._replace(page=1),)),))
    assert [problem.code for problem in verify_quotes(wrong, folder)] == ["differs"]
    head, row = ask("What does the red mug hold?", built).claims[0].quotes
    assert (row.text, row.page, head.page) == ("red mug\t350 ml", 3, 3)  # of the third sheet
    wrong = Answer("", claims=(Claim("", (row._replace(page=1),)),))
    assert [problem.code for problem in verify_quotes(wrong, folder)] == ["differs"]


def test_a_quote_of_docx_is_the_untagged_text_of_its_range(built, folder):
    (quote,) = ask("How many cups does the kettle hold?", built).claims[0].quotes
    part = zipfile.ZipFile(folder / "a.docx").read("word/document.xml")
    bare = re.sub(rb"<[^>]*>", b"", part[quote.start : quote.end]).decode()
    assert bare.replace("&lt;", "<").split() == quote.text.split()
    assert "nine" not in quote.text


def test_what_is_left_out_is_listed_by_reason(built):
    rejected = {item.path: item.reason for item in read_rejected(open_index(built).artifact.path)}
    assert rejected == {
        "pic.png": "another kind of file", "zero.dat": "binary", "empty.md": "empty",
        "scan.pdf": "no text", "data.gz": "archive", ".env": "hidden", "node_modules": "hidden",
    }  # fmt: skip
    lines = left_out_lines(read_rejected(open_index(built).artifact.path))
    assert lines[0].startswith("Left out, hidden: 2 (") and len(lines) == 6


def test_a_quote_of_a_pdf_is_proved_on_each_page_that_has_it(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(["The lid is red.", "The lid is red."]))
    size = (tmp_path / "a.pdf").stat().st_size
    for page, problems in ((1, 0), (2, 0), (3, 1)):
        answer = Answer(
            "", claims=(Claim("", (Quote("a.pdf", 0, size, "The lid is red.", 1, page),)),)
        )
        assert len(verify_quotes(answer, tmp_path)) == problems


def test_members_and_packed_mailboxes_are_read_by_their_kinds(folder):
    mails = list(read_data("in.mbox.gz", gzip.compress((folder / "in.mbox").read_bytes())))
    assert [mail.kind for mail in mails if isinstance(mail, Record)] == ["conversation"] * 2
    packed = zipped({"notes.txt": "A note.", "b.odt": "no zip"})
    found = list(read_data("a.zip", packed, ReadConfig(archives=True)))
    assert [(item.path, isinstance(item, Record)) for item in found] == [
        ("a.zip#notes.txt", True), ("a.zip#b.odt", False),
    ]  # fmt: skip


def test_documents_read_takes_word_processor_files(folder):
    data = (folder / "a.odt").read_bytes()
    record = Record("", "s", "a.odt", "odt", data=data)
    read = ReadMarkup(ReadMarkupConfig())(record)
    assert read.extracted and read.extracted.map.text == "Pans\n\nThe pan weighs 3 kg."
    assert kind_of_file("A.DOCX", b"PK") == "docx"


def test_docbook_is_read_as_markup_with_all_its_text():
    (read,) = read_data("a.xml", DOCBOOK.encode())
    assert isinstance(read, Record) and read.kind == "docbook"
    titles = [read.text[h.start : h.end] for h in read.headings]
    assert titles == ["Crocks", "Firing"] and read.metadata["title"] == "Crocks"
    assert "crock of stoneware is fired" in read.text and "12 g" in read.text
    assert "Or cooler." in read.text and "root:" not in read.text and "<" not in read.text
    assert "stonewarestoneware" not in read.text  # no entity within an entity


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.xml", b"<!DOCTYPE book PUBLIC '-//OASIS//DTD DocBook XML V4.1//EN'><book/>", "docbook"),
        ("a.xml", b"<article xmlns='http://docbook.org/ns/docbook'>", "docbook"),
        ("a.xml", b"<?xml version='1.0'?><!-- x --><refentry id='a'>", "docbook"),
        ("a.xml", b"<chapter><title>T</title><para>x", "docbook"),
        ("a.dbk", b"<chapter>", "docbook"),
        ("a.xml", b"<book><title>T</title><author>A</author></book>", "code"),
        ("a.xml", b"<config><para>x</para></config>", "code"),
        ("a.xml", b"<article article-type='x'>", "jats"),
    ],
)
def test_docbook_is_known_by_its_start(name, data, kind):
    assert kind_of_file(name, data) == kind


@pytest.mark.parametrize(
    ("name", "text", "headings", "tables"),
    [
        ("a.docx", "Kettles\n\nThe kettle holds 7 < 8 cups.\n\ncup", ["Kettles"], ["cup"]),
        ("a.ods", "Jars & lids\nJar\tLitres\namphora\t\t26\tfull\n\nEmpty\n\nCorks\nCork oak",
         ["Jars & lids", "Empty", "Corks"],
         ["\nJar\tLitres\namphora\t\t26\tfull\n\n", "\n\n", "\nCork oak"]),
        ("a.odp", "Urns\n\nThe urn leaks at the tap.\n\nTell it with a smile.", ["Urns"], []),
        ("a.pptx", "Heat & steam\n\nStoves\n\nStove\tWatts\nbig\t2100\n\nThe stove hums.",
         ["Heat & steam", "Stoves"], ["Stove\tWatts\nbig\t2100"]),
        ("a.xlsx", f"Teas\n{TEA_ROWS}\fBlank\n\fMugs\nMug\tHolds\nred mug\t350 ml",
         ["Teas", "Blank", "Mugs"], [TEA_ROWS, "", "Mug\tHolds\nred mug\t350 ml"]),
    ],
)  # fmt: skip
def test_an_office_file_has_headings_and_tables(folder, name, text, headings, tables):
    (read,) = read_data(name, (folder / name).read_bytes())
    assert isinstance(read, Record) and read.text == text
    assert [text[h.start : h.end] for h in read.headings] == headings
    found = [text[start:end] for start, end in read.metadata.get(TABLES, [])]
    assert [part.strip() for part in found] == [part.strip() for part in tables]
    step = ReadMarkup(ReadMarkupConfig())(
        Record("", "s", name, read.kind, data=(folder / name).read_bytes())
    )
    assert step.extracted and step.extracted.map.text == text


def test_a_row_of_a_sheet_is_quoted_with_its_first_row(built, folder):
    head, row = ask("How many litres has the amphora?", built).claims[0].quotes
    assert (head.text, row.text) == ("Jar\tLitres", "amphora\t\t26\tfull")
    part = zipfile.ZipFile(folder / "a.ods").read("content.xml")
    assert part[head.start : head.end].startswith(b"Jar<") and b"26" in part[row.start : row.end]


def test_hostile_office_files_cost_no_more_than_their_size():
    cells = "<table:table-cell><text:p>" * 20_000
    entities = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'
    for kind, names, text in (
        ("ods", ["content.xml"], "<table:table " * 20_000 + cells),
        ("odp", ["content.xml"], '<draw:frame presentation:class="title">' * 20_000 + "<text:p>x"),
        ("odt", ["content.xml"], f'{entities}<text:h text:outline-level="1">' * 20_000 + "&b;"),
        ("pptx", ["ppt/presentation.xml"], '<p:sldId r:id="' * 20_000),
        ("pptx", ["ppt/presentation.xml", "ppt/slides/s.xml"], "<p:sp>" * 20_000),
    ):
        read = list(read_data(f"a.{kind}", zipped(dict.fromkeys(names, text))))
        assert len(read) == 1 and len(getattr(read[0], "text", "")) < 20 * len(text)


def test_archives_are_read_if_asked(folder, tmp_path):
    index(folder, tmp_path / "i", IndexConfig(read=ReadConfig(archives=True)))
    answer = ask("What is packed?", tmp_path / "i")
    assert answer.claims[0].quotes[0].path == "data.gz#data"
    assert verify_quotes(answer, folder) == []


def test_menus_and_tables_of_contents_are_no_passages(tmp_path):
    (page,) = read_data(
        "p.html", b"<ul><li><a href=a>One</a><li><a href=b>Two</a></ul><p>Text <a>x</a>."
    )
    assert isinstance(page, Record)
    assert [page.text[start:end] for start, end in page.metadata[NAVIGATION]] == ["One\nTwo"]
    contents = "".join(f"{title} . . . . . {number}\n" for number, title in enumerate("ABCDE", 1))
    (book,) = read_data("b.txt", f"Contents\n\n{contents}\nIt begins, 1999.\n".encode())
    assert isinstance(book, Record) and book.metadata[NAVIGATION] == [[10, 10 + len(contents) - 1]]
    (prices,) = read_data("p.csv", b"".join(b"item %d, %d\n" % (i, i) for i in range(9)))
    assert isinstance(prices, Record) and NAVIGATION not in prices.metadata


def test_two_links_or_leaders_are_contents_and_two_lines_with_numbers_are_not(tmp_path):
    for lines, is_contents in [
        ("1. [Qumo brushes](#b)\n2. [Qumo motor](#m)", True),
        ("Motor ............. 3\nBrushes ........... 7", True),
        ("Brushes ........... 7\nMotor ............. 3", False),
        ("Espresso .......... 3\nCake .............. 4", False),
        ("Main Street, 12\nPark Lane, 7", False),
        ("Reception, 12\nStock, 31\nOffice, 44\nKitchen, 50\nGarage, 51", False),
        ("Index\n\nbrake, 12, 45-47\nclutch, 9\nhoist, 31\nrope, 2, 7\nwinch, 50", True),
        ("## Inhalt\n\nMotor ............. 3\nBrushes ........... 7", True),
    ]:
        text = f"# H\n\n{lines}\n\n## Motor\n\nIt lasts 300 hours.\n\n## Brushes\n\nSix.\n"
        (record,) = read_data("a.md", text.encode())
        assert isinstance(record, Record) and (NAVIGATION in record.metadata) == is_contents


@pytest.mark.parametrize("item", ["1. {0}", "* {0}", "- [{0}](#{1})", "- [Of {0}](#{1})"])
def test_a_list_of_a_page_s_own_titles_is_no_passage(item, tmp_path):
    titles = [f"Cleaning {thing}" for thing in ("the pump", "the seal", "the pipe", "the valve")]
    listed = "\n".join(item.format(title, title.replace(" ", "-")) for title in titles)
    sections = "\n\n".join(f"## {title}\n\nUse {number} ml." for number, title in enumerate(titles))
    text = f"# Handbook\n\n## Contents\n\n{listed}\n\n{sections}\n"
    (record,) = read_data("a.md", text.encode())
    assert isinstance(record, Record)
    begin = text.index(listed)
    assert record.metadata[NAVIGATION] == [[begin, begin + len(listed)]]
    passages = chunk_document(record)
    assert all(each.end <= begin or begin + len(listed) <= each.start for each in passages)
    plain = text.replace(listed, "\n".join(f"- item {number}" for number in range(9)))
    (record,) = read_data("a.md", plain.encode())
    assert isinstance(record, Record) and NAVIGATION not in record.metadata


SHEET = "xl/worksheets/sheet1.xml"
WIDE = "<sheetData>" + '<row><c r="XFD1"><v>1</v></c></row>' * 70


def same_string() -> bytes:
    """A workbook whose 200 cells have the same string of 360,000 characters."""
    cells = "<sheetData><row>" + '<c t="s"><v>0</v></c>' * 200 + "</row>"
    book = changed_part(workbook(S=[["x"]]), SHEET, **{"<sheetData>": cells})
    main = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    part = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{main}"/></Types>'
    book = changed_part(book, "[Content_Types].xml", **{"</Types>": part})
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strings = f'<sst xmlns="{space}"><si><t>{"tea" * 120_000}</t></si></sst>'
    return changed_part(book, "xl/sharedStrings.xml", sst=strings)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.docx", b"\xd0\xcf\x11\xe0rest", "encrypted"),
        ("a.docx", b"no zip", "broken file"),
        ("a.docx", zipped({"other.xml": ""}), "broken file"),
        ("a.odt", zipped({"content.xml": "<office:text/>"}), "no text"),
        ("a.ods", zipped({"content.xml": " " * 2**21}), "bomb"),
        (
            "a.odp",
            zipped({"META-INF/manifest.xml": "<manifest:encryption-data/>", "content.xml": "x"}),
            "encrypted",
        ),
        ("a.pptx", zipped({"ppt/presentation.xml": "<p:sldIdLst/>"}), "no text"),
        ("a.pptx", zipped({"content.xml": ODS}), "broken file"),
        ("a.pptx", b"\xd0\xcf\x11\xe0rest", "encrypted"),
        ("a.ods", b"%PDF-1.4", "broken file"),
        ("a.xlsx", b"%PDF-1.4", "broken file"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0rest", "encrypted"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<workbook/>"}), "broken file"),
        ("a.xlsx", workbook(Empty=[]), "no text"),
        (
            "a.xlsx",
            changed_part(workbook(S=[["x"]]), SHEET, **{"<sheetData>": "<sheetData><row>"}),
            "broken file",
        ),
        (
            "a.xlsx",
            changed_part(workbook(S=[["x"]]), SHEET, **{"<worksheet": "<!DOCTYPE a>\n<w"}),
            "broken file",
        ),
        ("a.xlsx", changed_part(workbook(S=[["x"]]), "xl/media/a.xml", a=" " * 2**21), "bomb"),
        ("a.xlsx", changed_part(workbook(S=[["x"]]), SHEET, **{"<sheetData>": WIDE}), "too large"),
        ("a.xlsx", same_string(), "too large"),
        ("a.pdf", b"%PDF-1.4 broken", "broken file"),
        ("a.rtf", b"PK no rich text", "broken file"),
        ("a.rtf", rb"{\rtf1{\info x}}", "no text"),
        ("a.epub", b"PK", "broken file"),
        ("a.txt", b" \n", "empty"),
        ("a.zip", b"PK\3\4", "broken archive"),
    ],
)
def test_a_bad_file_is_one_reject(name, data, reason):
    (reject,) = read_data(name, data, ReadConfig(archives=True))
    assert isinstance(reject, Rejected) and reject.reason == reason


def test_paths_are_skipped_by_pattern_and_links_are_named(tmp_path):
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "a.md").write_text("Draft.")
    (tmp_path / "b.md").write_text("Text.")
    (tmp_path / "c.md").symlink_to(tmp_path / "b.md")
    plan = dict(plan_folder(tmp_path, ReadConfig(skip=("drafts/*",))))
    assert {path: reject and reject.reason for path, reject in plan.items()} == {
        "b.md": None, "c.md": "link inside the folder", "drafts/a.md": "skipped by its path",
    }  # fmt: skip


def test_scanned_pages_of_a_pdf_with_text_are_told(tmp_path):
    (tmp_path / "d").mkdir()
    mixed = pdf(["The kiln holds 40 pots.", "", "It is of brick.", ""], PICTURE)
    (tmp_path / "d" / "mixed.pdf").write_bytes(mixed)
    made = index(tmp_path / "d", tmp_path / "i")
    assert "40" in ask("How many pots does the kiln hold?", tmp_path / "i").text
    (left_out,) = left_out_lines(read_rejected(made.path))
    assert left_out.startswith("Left out, pages without text: 1 (1 .pdf), such as mixed.pdf#pages")
    read, pages = explain_reading(tmp_path / "d", "mixed.pdf").splitlines()
    assert read.startswith("mixed.pdf is read as pdf") and pages == (
        "mixed.pdf#pages 2, 4 is left out, pages without text: "
        "2 of 4 pages have pictures and no text: scans?"
    )
    (tmp_path / "d" / "b.txt").write_text("Another file.")
    again = index(tmp_path / "d", tmp_path / "i")
    assert read_rejected(again.path) == read_rejected(made.path)
    (tmp_path / "d" / "b.txt").write_text("A kiln is an oven for pots and tiles of any size.")
    kept = corpus(CorpusConfig(min_chars=1), tmp_path / "d", tmp_path / "c")
    assert kept.numbers["documents"]


def test_what_groundup_made_below_a_folder_is_left_out(tmp_path):
    folder = tmp_path / "d"
    for name in ("extension", "killed/.scratch", "ledger"):
        (folder / name).mkdir(parents=True)
    (folder / "a.txt").write_text("The Wobble constant equals 3.77.\n")
    (folder / "extension" / "manifest.json").write_text('{"kind": "of others", "name": "Sums"}')
    (folder / "ledger" / "2026.csv").write_text("day,sum\n1,5\n")
    (folder / "killed" / ".scratch" / "key").write_text("0")
    (folder / "killed" / "documents.jsonl").write_text('{"text": "The Wobble constant"}\n')
    index(folder, folder / "i")
    before = index(folder, folder / "i")
    corpus(CorpusConfig(), folder, tmp_path / "c")
    (tmp_path / "c").rename(folder / "c")
    plan = {path: reject and reject.reason for path, reject in plan_folder(folder, ReadConfig())}
    left_out = dict.fromkeys(("c", "i", "killed"), "made by groundup")
    read = dict.fromkeys(("a.txt", "extension/manifest.json", "ledger/2026.csv"))
    assert plan == left_out | read
    made = index(folder, tmp_path / "j")
    assert {e.path for e in open_index(made.path).entries.values()} == set(read)
    assert {one.path for one in read_rejected(before.path)} == {"killed"}, "itself is not counted"
    assert "made by groundup" in explain_reading(folder, "i/source.json")
    assert index(folder / "c", tmp_path / "k").numbers["documents"], "the folder that is asked for"


def test_a_line_break_in_a_name_is_escaped_where_it_is_shown(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "new\nline.txt").write_text("The language has delegates.\n")
    (tmp_path / "d" / "empty\n.txt").write_text("")
    made = index(tmp_path / "d", tmp_path / "i")
    answer = ask("What does the language have?", tmp_path / "i")
    assert answer_to_text(answer).endswith("    new\\nline.txt:1 (bytes 0-27)")
    assert answer.claims[0].quotes[0].path == "new\nline.txt"
    assert left_out_lines(read_rejected(made.path))[0].endswith("such as empty\\n.txt")
    refused = answer_to_text(ask("What does the quill language cost?", tmp_path / "i"))
    assert "nearest is new\\nline.txt:1" in refused


def test_a_file_with_a_hash_in_its_name_is_a_file(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "C#.md").write_text("The language has delegates.\n")
    (tmp_path / "d" / "C").write_text("An older one.\n")
    index(tmp_path / "d", tmp_path / "i")
    answer = ask("What does the language have?", tmp_path / "i")
    assert (
        answer.claims[0].quotes[0].path == "C#.md" and verify_quotes(answer, tmp_path / "d") == []
    )
    missing = Quote("C#.md", 0, 3, "Was", 1)
    assert verify_quotes(Answer("", claims=(Claim("", (missing,)),)), tmp_path / "d")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("page.html", "page.html is read as html, english: 47 characters in 1 passage; 19 ch"),
        ("in.mbox", "in.mbox#44 is read as conversation"),
        ("pic.png", "pic.png is left out, another kind of file: its ending is .png"),
        ("zero.dat", "zero.dat is left out, binary: a zero byte at 1"),
        ("node_modules/x.js", "node_modules/x.js is left out, hidden"),
    ],
)
def test_why_says_how_a_file_is_read_or_why_not(folder, path, said, tmp_path):
    assert str(index_or_explain(folder, tmp_path / "i", why=path)).startswith(said)
    assert not (tmp_path / "i").exists()
    with pytest.raises(ConfigError, match="--why names no file"):
        index_or_explain(folder, tmp_path / "i", why="")
    with pytest.raises(DataError, match="has no file gone.md"):
        explain_reading(folder, "gone.md")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core reads in one process")
def test_the_processes_that_read_begin_before_any_index_is_open(tmp_path, monkeypatch):
    """They would keep a lock of tantivy's that a thread holds when they are forked."""
    (tmp_path / "docs").mkdir()
    for name in "ab":
        (tmp_path / "docs" / f"{name}.txt").write_text("The kettle boils. " * 2**17)
    index(tmp_path / "docs", tmp_path / "i")
    for name in "ab":
        (tmp_path / "docs" / f"{name}.txt").write_text("The kettle is cold. " * 2**17)
    (tmp_path / "docs" / "c.txt").write_text("The lamp glows.")
    workers = []

    class Watched(LexicalIndex):
        def __init__(self, directory):
            workers.append(len(multiprocessing.active_children()))
            super().__init__(directory)

    for name in ("index", "chunks.reading"):
        module = importlib.import_module(f"groundup.retrieve.{name}")
        monkeypatch.setattr(module, "LexicalIndex", Watched)
    index(tmp_path / "docs", tmp_path / "i")
    assert workers and min(workers) >= 2


def begin_a_result(source, config, files):
    """A worker's task that leaves half a result; the first one presses Ctrl-C."""
    frame = sys._getframe()
    while "result_queue" not in frame.f_locals:
        frame = frame.f_back
    writer = frame.f_locals["result_queue"]._writer
    os.write(writer.fileno(), struct.pack("!i", 2**20))  # as many bytes are to follow
    with contextlib.suppress(FileExistsError):
        (source / "begun").touch(exist_ok=False)
        os.kill(os.getppid(), signal.SIGINT)
    signal.pause()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core reads in one process")
def test_a_result_that_is_half_written_delays_no_ctrl_c(tmp_path, monkeypatch, request):
    """For the rest of a result whose writer was killed the pool's thread would wait for ever."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, handler))
    monkeypatch.setattr(reading, "_read_batch", begin_a_result)
    monkeypatch.setattr(reading, "BATCH_BYTES", 0)
    with pytest.raises(KeyboardInterrupt):
        with read_files(tmp_path, {"a.txt": "", "b.txt": ""}, IndexConfig()) as made:
            next(made)
    assert (tmp_path / "begun").exists()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core reads in one process")
def test_ctrl_c_ends_the_processes_that_read(tmp_path, request):
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources "
        b"<< /XObject << /X 5 0 R >> >> >>",
        b"<< /Length 6 >>\nstream\n/X Do \nendstream", *forms(5, 31),
    ]  # fmt: skip
    for name, data in (("a.txt", b" " * 2**21), ("busy.pdf", assemble(objects))):
        (tmp_path / name).write_bytes(data)
    files: dict[str, Rejected | str] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    before = multiprocessing.active_children()
    handler = signal.signal(signal.SIGTERM, lambda number, frame: None)  # which workers inherit
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, handler))
    files = dict(sorted(files.items()))
    with pytest.raises(KeyboardInterrupt), read_files(tmp_path, files, IndexConfig()) as made:
        assert next(made) == Rejected("a.txt", "empty", f"{2**21} bytes")
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == before


def test_lines_that_end_in_two_ways_above_a_title_are_read():
    (record,) = read_data("a.md", b"\r\n\n\n# Title\n\nText.\n")
    assert isinstance(record, Record) and record.text.endswith("Text.\n")
