"""Chapters come in the order of their spine, pages one by one; containers can do no harm."""

import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from groundup.documents import Record, Rejected, apply_result
from groundup.documents.readers import books
from groundup.documents.readers.books import Epub, EpubConfig, Pdf, PdfConfig
from groundup.documents.readers.files import ReadMarkup, ReadMarkupConfig

pytest.importorskip("lxml")
pypdf = pytest.importorskip("pypdf")
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
ONE = "<html><head><title>One</title></head><body><h1>Chapter 1</h1>\n<p>It was caf&eacute;.</p>"
TWO = "<html><head><title>Two</title></head><body><h1>Chapter 2</h1>\n<p>Größe &amp; Glück.</p>"


def package(hrefs: list[str], head: str = "") -> str:
    items = "".join(
        f'<item id="i{n}" href="{href}" media-type="application/xhtml+xml"/>'
        for n, href in enumerate(hrefs)
    )
    order = "".join(f'<itemref idref="i{n}"/>' for n in range(len(hrefs)))
    return (
        f'{head}<package xmlns="http://www.idpf.org/2007/opf" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>A Book</dc:title>'
        "<dc:creator>A. Author</dc:creator><dc:rights>CC0</dc:rights></metadata>"
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )


def book(members: dict[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"META-INF/container.xml": CONTAINER, **members}.items():
            archive.writestr(name, data)
    return file.getvalue()


GOOD = {
    "OEBPS/book.opf": package(["text/two%20.xhtml#x", "../one.xhtml"]),
    "one.xhtml": ONE, "OEBPS/text/two .xhtml": TWO, "OEBPS/text/unlisted.xhtml": "<p>no",
}  # fmt: skip


def read(
    tmp_path, data: bytes, config: EpubConfig | PdfConfig | None = None
) -> list[Record | Rejected]:
    is_pdf = isinstance(config, PdfConfig)
    (tmp_path / ("a.pdf" if is_pdf else "a.epub")).write_bytes(data)
    reader = Pdf(config) if is_pdf else Epub(config or EpubConfig())
    return [one for part in reader.plan(tmp_path) for one in reader.read(tmp_path, part, "s")]


def test_chapters_come_in_the_order_of_the_spine(tmp_path):
    (one,) = read(tmp_path, book(GOOD))
    assert one.text == "Chapter 2\n\nGröße & Glück.\n\nChapter 1\n\nIt was café."
    assert one.metadata == {"title": "A Book", "author": "A. Author", "rights": "CC0"}
    spans = [(s.kind, s.value, one.text[s.start : s.end][:9]) for s in one.spans]
    assert spans == [
        ("chapter", "Two", "Chapter 2"), ("heading", "1", "Chapter 2"),
        ("chapter", "One", "Chapter 1"), ("heading", "1", "Chapter 1"),
    ]  # fmt: skip
    joined = (TWO + ONE).encode()
    for word in ("Glück", "It was"):
        at = one.text.index(word)
        start, end = one.map.byte_range(at, at + len(word))
        assert joined[start:end].decode() == word
    at = one.text.index("It was")
    start = one.map.byte_range(at, at + 1)[0]
    assert one.map.line(at) == joined.count(b"\n", 0, start) + 1


def test_a_record_a_chapter_maps_to_the_chapter(tmp_path):
    two, one = read(tmp_path, book(GOOD), EpubConfig(whole=False))
    assert (two.path, one.path) == ("a.epub#1-OEBPS/text/two .xhtml", "a.epub#2-one.xhtml")
    start, end = one.map.byte_range(one.text.index("It"), one.text.index(" was"))
    assert ONE.encode()[start:end] == b"It" and one.metadata["chapter"] == 2


@pytest.mark.parametrize("kind", ["epub", "pdf"])
def test_the_step_reads_what_the_reader_reads(tmp_path, kind):
    data = book(GOOD) if kind == "epub" else pdf(["First page", "Second"])
    (one,) = read(tmp_path, data, EpubConfig() if kind == "epub" else PdfConfig())
    record = Record("1", "s", f"a.{kind}", kind, data=data)
    after = apply_result(record, ReadMarkup(ReadMarkupConfig())(record))
    assert (after.text, after.spans, after.map) == (one.text, one.spans, one.map)
    assert after.metadata.items() <= one.metadata.items()


def test_paths_lead_to_members_alone(tmp_path):
    (tmp_path / "secret.xhtml").write_text("secret")
    hrefs = ["../../secret.xhtml", "/etc/passwd", "file:///etc/passwd", "../one.xhtml"]
    *lost, whole = read(tmp_path, book({"OEBPS/book.opf": package(hrefs), "one.xhtml": ONE}))
    assert [one.reason for one in lost] == ["missing member"] * 3
    assert whole.text == "Chapter 1\n\nIt was café."


def test_entities_are_not_expanded(tmp_path):
    laughs = '<!DOCTYPE p [<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
    )
    outside = ' <!ENTITY x SYSTEM "file:///etc/passwd">]>'
    for said in ("&a11;", "&x;"):
        opf = package(["../one.xhtml"], laughs + outside).replace("CC0", said)
        found = read(tmp_path, book({"OEBPS/book.opf": opf, "one.xhtml": ONE}))
        for one in found:
            assert isinstance(one, Rejected) or "root:" not in str(one.metadata)
            assert isinstance(one, Rejected) or len(str(one.metadata)) < 2_000


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"no zip", "broken file"),
        (book(GOOD)[:-300], "broken file"),
        (book({}), "missing member"),
        (book({"OEBPS/book.opf": "<package>"}), "broken file"),
        (book({"OEBPS/book.opf": "<a>" * 100_000}), "broken file"),
        (book({"OEBPS/book.opf": package([])}), "no chapters"),
        (book({**GOOD, "META-INF/encryption.xml": '<x URI="one.xhtml"/>'}), "encrypted"),
    ],
)
def test_what_is_no_book_is_named(tmp_path, data, reason):
    assert [one.reason for one in read(tmp_path, data)] == [reason]


def test_bombs_are_put_out(tmp_path):
    zeros = "0" * 30_000_000
    big = book({**GOOD, "one.xhtml": zeros})
    lost, whole = read(tmp_path, big)
    assert lost.reason == "bomb" and whole.text.startswith("Chapter 2")
    (lost,) = read(tmp_path, big, EpubConfig(max_total_bytes=10**6))
    assert lost.reason == "bomb"
    (lost,) = read(tmp_path, book(GOOD), EpubConfig(max_members=3))
    assert lost.reason == "too many members"


def test_a_damaged_chapter_costs_itself(tmp_path):
    data = bytearray(book({**GOOD, "one.xhtml": ONE + "x y z" * 500}))
    at = data.index(b"one.xhtml") + 60
    data[at : at + 9] = b"\xff" * 9
    found = read(tmp_path, bytes(data))
    assert [type(one) for one in found] == [Rejected, Record]
    assert found[1].text.startswith("Chapter 2")


def test_rights_are_read_wherever_a_package_states_them(tmp_path):
    said = package(["../one.xhtml"]).replace(
        "</metadata>",
        '<meta property="dcterms:license">CC BY 4.0</meta>'
        '<link rel="cc:license" href="https://creativecommons.org/licenses/by/4.0/"/></metadata>',
    )
    (one,) = read(tmp_path, book({"OEBPS/book.opf": said, "one.xhtml": ONE}))
    url = "https://creativecommons.org/licenses/by/4.0/"
    assert one.metadata["rights"] == ["CC0", "CC BY 4.0", url]


def pdf(pages: list[str], extra: bytes = b"") -> bytes:
    """A PDF with a line of text a page, by hand."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(pages)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode() + extra
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
    return assemble(objects)


def assemble(objects: list[bytes]) -> bytes:
    data, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    data += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n" % (len(objects) + 1)
    return data + b"%d\n%%%%EOF\n" % start


def read_page(tmp_path, data: bytes, config: PdfConfig | None = None) -> Record | Rejected:
    (one,) = read(tmp_path, data, config or PdfConfig())
    return one


def test_pages_have_spans_and_form_feeds_between(tmp_path):
    one = read_page(tmp_path, pdf(["First page", "", "Third"]))
    assert one.text == "First page\f\fThird" and one.metadata["pages"] == 3
    assert [(s.value, one.text[s.start : s.end]) for s in one.spans] == [
        ("1", "First page"), ("2", ""), ("3", "Third"),
    ]  # fmt: skip
    assert one.map.byte_range(0, 5) == (0, len(pdf(["First page", "", "Third"])))


PICTURE = b" q 90 0 0 90 0 0 cm BI /W 1 /H 1 /BPC 8 /CS /G ID x EI Q"


def test_pages_of_pictures_without_text_are_listed(tmp_path):
    data = pdf(["Text", "", "More", ""], PICTURE)
    one = read_page(tmp_path, data)
    assert one.text == "Text\f\fMore\f" and one.metadata["pages_without_text"] == [2, 4]
    at = data.rindex(PICTURE)  # the last page is blank then
    blank = read_page(tmp_path, data[:at] + b" " * len(PICTURE) + data[at + len(PICTURE) :])
    assert blank.metadata["pages_without_text"] == [2]
    assert "pages_without_text" not in read_page(tmp_path, pdf(["Text", ""])).metadata


@pytest.mark.parametrize(("left", "text"), [(86.3, "Byhand"), (88, "By hand"), (200, "By hand")])
def test_a_gap_between_letters_is_a_blank(tmp_path, left, text):
    parts = f"By) Tj ET BT /F1 12 Tf {left} 700 Td (hand"
    assert read_page(tmp_path, pdf([parts])).text == text


def test_hyphens_and_lines_of_a_page_are_kept(tmp_path):
    lines = "rope-) Tj 0 -14 Td (way) Tj 0 -14 Td (and cabin"
    assert read_page(tmp_path, pdf([lines])).text == "rope-\nway\nand cabin"


def test_locked_files_are_named(tmp_path):
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["secret"])))
    writer.encrypt("password", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    assert read_page(tmp_path, file.getvalue()).reason == "encrypted"


@pytest.mark.parametrize("data", [b"%PDF-1.7\n%nothing", b"no pdf", pdf(["x"])[:150], b"%PDF-" * 9])
def test_broken_files_are_named(tmp_path, data):
    assert read_page(tmp_path, data).reason in ("broken file", "empty")


def test_page_trees_and_forms_that_hold_themselves_end(tmp_path, monkeypatch):
    monkeypatch.setattr(books, "MAX_SECONDS", 1)
    loop = assemble([b"<< /Type /Catalog /Pages 2 0 R >>",
                     b"<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R] /Parent 2 0 R >>"])  # fmt: skip
    assert read_page(tmp_path, loop).reason in ("broken file", "empty")
    stream = b"/X Do " * 3
    form = (
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 4 0 R >> >>"
    )
    again = assemble([
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 5 0 R /Resources << /XObject "
        b"<< /X 4 0 R >> >> >>",
        form + b" /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream",
        b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream",
    ])  # fmt: skip
    assert read_page(tmp_path, again).reason in ("broken file", "empty")


def forms(first: int, count: int) -> list[bytes]:
    """Forms that each draw the next one twice; the last draws itself."""
    shape = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources "
    shape += b"<< /XObject << /X %d 0 R >> >>"
    twice = b" /Length 12 >>\nstream\n/X Do /X Do \nendstream"
    numbers = (min(first + level + 1, first + count - 1) for level in range(count))
    return [shape % number + twice for number in numbers]


def test_forms_that_draw_forms_twice_each_end(tmp_path, monkeypatch):
    monkeypatch.setattr(books, "MAX_SECONDS", 1)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources "
        b"<< /XObject << /X 5 0 R >> >> >>",
        b"<< /Length 6 >>\nstream\n/X Do \nendstream",
        *forms(5, 31),
    ]  # fmt: skip
    assert read_page(tmp_path, assemble(objects)).reason == "broken file"


def test_a_page_that_draws_for_ever_is_left_empty_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(books, "MAX_SECONDS", 2)
    data = pdf(["Short", "Long", "Last"])
    assert read_page(tmp_path, data).text == "Short\fLong\fLast"
    busy = data.replace(b"(Long) Tj ET", b"/X Do       ").replace(
        b"/F1 3 0 R >> >> >>", b"/F1 3 0 R >> /XObject << /X 10 0 R >> >> >>"
    )
    objects = [part.partition(b"endobj")[0].strip() for part in busy.split(b" 0 obj\n")[1:]]
    one = read_page(tmp_path, assemble([*objects, *forms(10, 12)]))
    assert one.text == "Short\f\f" and one.metadata["pages_failed"] == [2, 3]
    assert read_page(tmp_path, data).text == "Short\fLong\fLast"  # by a new process


def test_a_parser_that_was_ended_from_outside_is_started_again(tmp_path):
    assert read_page(tmp_path, pdf(["One"])).text == "One"
    running = books._pdf_child()
    assert running is books._pdf_child()
    running.process.kill()
    running.process.wait()
    assert read_page(tmp_path, pdf(["Two"])).text == "Two"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_leaves_its_parents_parser_alone(tmp_path):
    assert read_page(tmp_path, pdf(["One"])).text == "One"
    running, pid = books._pdf_child(), os.fork()
    if not pid:
        text = books.read_pdf(pdf(["Fork"]))[0].map.text
        books._CHILDREN.pdf.end()
        os._exit(text != "Fork")
    assert os.waitpid(pid, 0)[1] == 0
    assert books.read_pdf(pdf(["Two"]))[0].map.text == "Two" and books._pdf_child() is running


def test_each_thread_reads_with_its_own_parser():
    pages = [[f"Page {n}" for n in range(number)] for number in range(1, 9)]
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda page: books.read_pdf(pdf(page))[0].map.text, pages))
    assert texts == ["\f".join(page) for page in pages]


def test_limits_on_pages_and_bytes(tmp_path):
    data = pdf(["x"] * 5)
    assert read_page(tmp_path, data, PdfConfig(max_pages=4)).reason == "too many pages"
    assert read_page(tmp_path, data, PdfConfig(max_bytes=100)).reason == "too large"
    assert read_page(tmp_path, b"").reason == "empty"
