"""Are quotes what the files say? Checked without groundup: with re, zipfile, pypdfium2, openpyxl.

    groundup ask QUESTION --index i --json >> NAME.jsonl      (or --all of strangers.py)
    python -m benchmarks.retrieve.prove NAME.jsonl FOLDER

Results: results/prove.json, by NAME.

Text: the bytes decoded in the file's charset. HTML, .docx, OpenDocument and DocBook: the range
without its tags. EPUB and .pptx: the same range of its chapters or slides, one after the other.
PDF: the text of the named page; .xlsx: of the named sheet. All but white space must be equal.
"""

import html
import io
import json
import os
import re
import sys
import zipfile
from pathlib import Path

import openpyxl
import pypdfium2

from benchmarks import table


def bare(data: bytes) -> str:
    """Letters of a range of markup: no comments, scripts, tags or white space."""
    data = re.sub(rb"(?s)<!--.*?-->|<(script|style|nav)\b.*?</\1>", b"", data)
    return "".join(
        html.unescape(re.sub(rb"<[^>]*>", b" ", data).decode("utf-8", "replace")).split()
    )


def chapters(data: bytes) -> bytes:
    """The files of an EPUB's spine, joined."""
    book = zipfile.ZipFile(io.BytesIO(data))
    (name, *_) = re.findall(r'full-path="([^"]+)"', book.read("META-INF/container.xml").decode())
    package = book.read(name).decode()
    items = {}
    for item in re.findall(r"<item\b[^>]*>", package):
        items[re.findall(r'\bid="([^"]+)"', item)[0]] = re.findall(r'\bhref="([^"]+)"', item)[0]
    spine = dict.fromkeys(items[i] for i in re.findall(r'<itemref\b[^>]*idref="([^"]+)"', package))
    return b"".join(book.read(str(Path(name).parent / href)) for href in spine)


def slides(data: bytes) -> bytes:
    """The slides of a .pptx, each with its notes, joined."""
    deck = zipfile.ZipFile(io.BytesIO(data))
    targets = dict(related(deck, "ppt/presentation.xml"))
    parts = []
    for slide in re.findall(
        r'<p:sldId [^>]*r:id="([^"]+)"', deck.read("ppt/presentation.xml").decode()
    ):
        name = targets[slide]
        parts += [name, *(path for _, path in related(deck, name) if "/notesSlides/" in path)]
    return b"".join(map(deck.read, parts))


def related(deck: zipfile.ZipFile, part: str) -> list[tuple[str, str]]:
    """Ids and paths of the parts that a part refers to."""
    path = Path(part)
    rels = deck.read(f"{path.parent}/_rels/{path.name}.rels").decode()
    found = []
    for element in re.findall(r"<Relationship [^>]*>", rels):
        target = re.findall(r'Target="([^"]+)"', element)[0]
        full = os.path.normpath(os.path.join("/", path.parent, target)).lstrip("/")
        found.append((re.findall(r'Id="([^"]+)"', element)[0], full))
    return found


JOINED = {".epub": chapters, ".pptx": slides}


def holds(data: bytes, path: str, quote: dict) -> bool:
    """Whether a file has the quote where it says."""
    wanted, (start, end) = "".join(quote["text"].split()), (quote["start"], quote["end"])
    kind = Path(path).suffix.lower()
    if kind == ".pdf":
        page = pypdfium2.PdfDocument(data)[quote["page"] - 1].get_textpage().get_text_range()
        return wanted in "".join(page.replace("\ufffe", "-").replace("\x02", "-").split())
    if kind == ".xml":  # the dashes of DocBook's items are not in the file
        parts = (bare(data[start:end]), "".join(data[start:end].decode().split()))
        return wanted.replace("-", "") in [part.replace("-", "") for part in parts]
    if kind == ".xlsx":
        book = openpyxl.load_workbook(io.BytesIO(data), data_only=True)
        rows = book.worksheets[quote["page"] - 1].iter_rows(values_only=True)
        cells = [str(value).removesuffix(" 00:00:00") for row in rows for value in row if value]
        return wanted in "".join("".join(cells).split())
    if kind == ".docx":
        data = zipfile.ZipFile(io.BytesIO(data)).read("word/document.xml")
    if kind in (".odt", ".ods", ".odp"):
        data = zipfile.ZipFile(io.BytesIO(data)).read("content.xml")
    if kind in JOINED:
        data = JOINED[kind](data)
    if kind in (".html", ".htm", ".xhtml", ".docx", ".odt", ".ods", ".odp", *JOINED):
        return bare(data[start:end]) == wanted
    charset = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    part = data[:2] + data[start:end] if charset == "utf-16" else data[start:end]
    texts = []
    for name in (charset, "latin-1"):
        try:
            texts.append("".join(part.decode(name).split()))
        except UnicodeDecodeError:
            continue
    return wanted in texts


def main() -> None:
    """Count the quotes that hold, by kind, and print those that do not."""
    counts: dict[str, list[int]] = {}
    for line in Path(sys.argv[1]).read_text().splitlines():
        for quote in (q for claim in json.loads(line)["claims"] for q in claim["quotes"]):
            path = quote["path"].split("#")[0]
            right = holds((Path(sys.argv[2]) / path).read_bytes(), path, quote)
            kind = counts.setdefault(Path(path).suffix.lower(), [0, 0])
            kind[0] += right
            kind[1] += 1
            if not right:
                print("not there:", quote["path"], quote["start"], repr(quote["text"][:80]))
    for kind, (right, of) in sorted(counts.items()):
        print(f"{kind or 'none':8s} {right} of {of}")
    found = {kind or "none": {"right": right, "of": of} for kind, (right, of) in counts.items()}
    table.keep_part("prove", Path(sys.argv[1]).stem, {"kinds": dict(sorted(found.items()))})


if __name__ == "__main__":
    main()
