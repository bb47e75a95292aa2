"""A list is quoted as a list whatever its file: markup says where items begin, not a mark."""

import io
import zipfile

import pytest

from benchmarks.retrieve.prove import holds
from groundup.documents import ITEMS, Record, read_data
from groundup.retrieve import ask, index, verify_quotes
from tests.documents.readers.test_books import GOOD, book

ASKED, TITLE = "What do I bring on the first day?", "What to bring on the first day"
LEAD, AFTER = "Please have the following with you:", "The porter lets you in from seven."
ITEMS_OF_LIST = [
    "Your signed contract and a copy of your passport or identity card",
    "Your tax number and the details of your bank account for the salary",
    "Sturdy shoes with closed toes, because the workshop floor is wet",
    "A padlock for the locker that you get from the porter at the gate",
    "Your certificate of vaccination if you work in the kitchen",
    "A photograph for the badge, which is printed while you wait",
]
STYLES = """<w:styles>
<w:style w:type="paragraph" w:styleId="Mine"><w:basedOn w:val="ListBullet"/></w:style>
<w:style w:type="paragraph" w:styleId="ListBullet"><w:name w:val="List Bullet"/><w:pPr><w:numPr>
<w:numId w:val="3"/></w:numPr></w:pPr></w:style>
<w:style w:type="paragraph" w:styleId="Rubrik"><w:pPr><w:numPr><w:numId w:val="4"/></w:numPr>
<w:outlineLvl w:val="0"/></w:pPr></w:style></w:styles>"""
NUMBER = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="{}"/></w:numPr>'.format


def zipped(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/") + ".xml", text)
    return file.getvalue()


def paragraph(text: str, rules: str = "") -> str:
    return f"<w:p><w:pPr>{rules}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def style(name: str) -> str:
    return f'<w:pStyle w:val="{name}"/>'


def docx(*paragraphs: str) -> bytes:
    body = "".join(paragraphs)
    document = f"<w:document><w:body>{body}</w:body></w:document>"
    return zipped(word__document=document, word__styles=STYLES)


def page(items: list[str]) -> str:
    listed = "".join(f"<li>{item}</li>" for item in items)
    return f"<h1>Bakery</h1><h2>{TITLE}</h2><p>{LEAD}</p><ol>{listed}</ol><p>{AFTER}</p>"


def odt(items: list[str]) -> bytes:
    line = "<text:p>{}</text:p>".format
    listed = "".join(f"<text:list-item>{line(item)}</text:list-item>" for item in items)
    title = f'<text:h text:outline-level="1">{TITLE}</text:h>'
    return zipped(content=f"{title}{line(LEAD)}<text:list>{listed}</text:list>{line(AFTER)}")


def handbook(rules: str) -> bytes:
    lines = (paragraph(item, rules) for item in ITEMS_OF_LIST)
    title = paragraph("Bakery", style("Heading1")) + paragraph(TITLE, style("Heading2"))
    return docx(title, paragraph(LEAD), *lines, paragraph(AFTER))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.docx", handbook(NUMBER(0, 1))),
        ("b.docx", handbook(style("ListBullet"))),
        ("c.docx", handbook(style("Mine"))),
        ("a.odt", odt(ITEMS_OF_LIST)),
        ("a.html", page(ITEMS_OF_LIST).encode()),
    ],
)
def test_a_list_is_quoted_in_full_with_its_lead(tmp_path, name, data):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / name).write_bytes(data)
    index(tmp_path / "docs", tmp_path / "i")
    answer = ask(ASKED, tmp_path / "i")
    (quote,) = answer.claims[0].quotes
    lines = [line for line in quote.text.splitlines() if line]
    assert lines == [LEAD, *ITEMS_OF_LIST]
    assert verify_quotes(answer, tmp_path / "docs") == []
    assert holds(data, name, {"text": quote.text, "start": quote.start, "end": quote.end})


def items_of(name: str, data: bytes) -> list[str]:
    (read,) = read_data(name, data)
    assert isinstance(read, Record)
    starts = read.metadata.get(ITEMS, [])
    return [read.text[start:].partition("\n")[0] for start in starts]


def test_what_is_an_item_of_a_docx():
    was = f"<w:pPrChange><w:pPr>{NUMBER(0, 1)}</w:pPr></w:pPrChange>"
    data = docx(
        paragraph("1. Title", style("Heading1") + NUMBER(0, 2)),
        paragraph("Numbered", NUMBER(0, 1)),
        paragraph("Inner &amp; deep", NUMBER(1, 1)),
        paragraph("Taken out", style("Mine") + NUMBER(0, 0)),
        paragraph("Styled title", style("Rubrik")),
        paragraph("No longer", was),
        paragraph("Unknown", style("Nowhere")),
    )
    assert items_of("a.docx", data) == ["Numbered", "Inner & deep"]
    endless = '<w:style w:styleId="A"><w:basedOn w:val="A"/></w:style>'
    only = f"<w:document>{paragraph('x', style('A'))}</w:document>"
    assert items_of("a.docx", zipped(word__document=only, word__styles=endless)) == []


def test_items_of_all_chapters_of_a_book():
    pages = {"one.xhtml": page(["One"]), "OEBPS/text/two .xhtml": page(["Two", "Three"])}
    assert items_of("a.epub", book({**GOOD, **pages})) == ["Two", "Three", "One"]


def test_what_is_an_item_of_html():
    data = b"""<ul><li><p><b>One</b> tea<p>still one<li>two<ul><li>inner</ul><li><img></ul><p>out
    <nav><ul><li>menu</ul></nav><p>after"""
    assert items_of("a.html", data) == ["One tea", "two", "inner"]
