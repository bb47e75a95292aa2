"""Pages come one by one with their spans; what is broken, locked or endless is told by name."""

import io

import pytest

from groundup.documents import Record, Rejected, apply_result
from groundup.documents.readers import pdf
from groundup.documents.readers.kinds import ReadMarkup, ReadMarkupConfig
from groundup.documents.readers.pdf import Pdf, PdfConfig

pypdf = pytest.importorskip("pypdf")


def make(pages: list[str], extra: bytes = b"") -> bytes:
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


def read(tmp_path, data: bytes, config: PdfConfig | None = None) -> Record | Rejected:
    (tmp_path / "a.pdf").write_bytes(data)
    reader = Pdf(config or PdfConfig())
    (one,) = [one for part in reader.plan(tmp_path) for one in reader.read(tmp_path, part, "s")]
    return one


def test_pages_have_spans_and_form_feeds_between(tmp_path):
    one = read(tmp_path, make(["First page", "", "Third"]))
    assert one.text == "First page\f\fThird" and one.metadata["pages"] == 3
    assert [(s.value, one.text[s.start : s.end]) for s in one.spans] == [
        ("1", "First page"), ("2", ""), ("3", "Third"),
    ]  # fmt: skip
    assert one.map.byte_range(0, 5) == (0, len(make(["First page", "", "Third"])))


def test_the_step_reads_what_the_reader_reads(tmp_path):
    data = make(["First page", "Second"])
    record = Record("1", "s", "a.pdf", "pdf", data=data)
    after = apply_result(record, ReadMarkup(ReadMarkupConfig())(record))
    one = read(tmp_path, data)
    assert (after.text, after.spans, after.map) == (one.text, one.spans, one.map)


def test_locked_files_are_named(tmp_path):
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make(["secret"])))
    writer.encrypt("password", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    assert read(tmp_path, file.getvalue()).reason == "encrypted"


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7\n%nothing", b"no pdf", make(["x"])[:150], b"%PDF-" * 9]
)
def test_broken_files_are_named(tmp_path, data):
    assert read(tmp_path, data).reason in ("broken file", "empty")


def test_page_trees_and_forms_that_hold_themselves_end(tmp_path):
    loop = assemble([b"<< /Type /Catalog /Pages 2 0 R >>",
                     b"<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R] /Parent 2 0 R >>"])  # fmt: skip
    assert read(tmp_path, loop).reason in ("broken file", "empty")
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
    assert read(tmp_path, again).reason in ("broken file", "empty")


def test_forms_that_draw_forms_twice_each_end(tmp_path):
    shape = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources "
    shape += b"<< /XObject << /X %d 0 R >> >>"
    twice = b" /Length 12 >>\nstream\n/X Do /X Do \nendstream"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources "
        b"<< /XObject << /X 5 0 R >> >> >>",
        b"<< /Length 6 >>\nstream\n/X Do \nendstream",
        *(shape % (6 + level) + twice for level in range(30)), shape % 35 + twice,
    ]  # fmt: skip
    assert read(tmp_path, assemble(objects)).reason == "broken file"


def test_a_page_that_draws_for_ever_is_left_empty_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(pdf, "MAX_OPERATIONS", 200)
    one = read(tmp_path, make(["Short", "Long"]))
    assert one.text == "Short\fLong"
    writer = make(["Long"], extra=b" 0 0 m" * 300)
    assert read(tmp_path, writer).reason == "broken file"


def test_limits_on_pages_and_bytes(tmp_path):
    data = make(["x"] * 5)
    assert read(tmp_path, data, PdfConfig(max_pages=4)).reason == "too many pages"
    assert read(tmp_path, data, PdfConfig(max_bytes=100)).reason == "too large"
    assert read(tmp_path, b"").reason == "empty"
