"""Books: heads, hyphens and OCR scores on real manuals, with truths that are not ours.

    python -m benchmarks.documents.books --root ROOT [--scans SCANS] [--keep]
    python -m benchmarks.documents.books --table    # the page's table from the kept results

ROOT holds unpacked Debian packages: r-doc-pdf, r-doc-html, groff, groff-base,
gri-pdf-doc, docbook-xsl-doc-pdf, auto-multiple-choice-doc-pdf, lilypond-doc-pdf-de, octave-doc,
debian-policy, developers-reference, gnuplot-doc, pari-doc. SCANS has a folder of pages a manual,
made by book_scans.py. Heads: marked by eye (book_marks.json). Hyphens: the HTML edition
of the same manual says how a word is written. Noise: ocr_noise.py, by another hand. All
settings were set on the manuals of the sets development and seen; untouched ones were measured
after that. Needs pdftotext (poppler-utils) and, for manual pages, groff.
"""

import argparse
import gzip
import html
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.documents.ocr_noise import noisy
from groundup.documents import Record, SourceMap, Step, apply_result
from groundup.documents.books.footnotes import Footnotes, FootnotesConfig
from groundup.documents.books.heads import Heads, HeadsConfig
from groundup.documents.books.hyphens import Hyphens, HyphensConfig
from groundup.documents.books.ocr import Ocr, OcrConfig

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "books.json"
PAGE = ROOT / "docs" / "reference" / "corpus" / "books.md"
BLOCK = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
MARKS = json.loads((ROOT / "benchmarks" / "book_marks.json").read_text(encoding="utf-8"))
R = "usr/share/R/doc/manual/{}.pdf"
R_MANUALS = ("R-intro", "R-exts", "R-lang", "R-admin", "R-ints", "R-data", "R-FAQ")
MANUALS = {
    **{name: R.format(name) for name in R_MANUALS},
    "groff": "usr/share/doc/groff-base/groff.pdf.gz",
    "gri": "usr/share/doc/gri/gri.pdf.gz",
    "docbook-xsl": "usr/share/doc/docbook-xsl/reference.pdf.gz",
    "amc": "usr/share/doc/auto-multiple-choice/auto-multiple-choice.en.pdf",
    "lilypond-de": "usr/share/doc/lilypond/html/Documentation/learning.de.pdf",
    "octave": "usr/share/doc/octave/octave.pdf",
    "policy": "usr/share/doc/debian-policy/policy.pdf.gz",
    "devref": "usr/share/developers-reference/developers-reference.pdf",
    "gnuplot": "usr/share/doc/gnuplot/gnuplot.pdf",
    "pari": "usr/share/pari/doc/users.pdf",
}
EDITIONS = {
    **{name: f"usr/share/R/doc/manual/{name}.html" for name in R_MANUALS},
    "octave": "usr/share/doc/octave/octave.html/*.html",
    "policy": "usr/share/doc/debian-policy/policy.html/*.html",
    "devref": "usr/share/developers-reference/*.html",
    "gnuplot": "usr/share/doc/gnuplot/html/*.html",
}
SETS = {
    "development": {"hyphens": ("R-intro", "R-exts", "R-lang"), "ocr": ("R-intro", "groff")},
    "seen": {
        "hyphens": ("R-admin", "R-ints", "R-data", "R-FAQ"),
        "ocr": ("R-admin", "R-ints", "R-data", "R-FAQ", "gri", "amc"),
    },
    "untouched": {
        "hyphens": ("octave", "policy", "devref", "gnuplot"),
        "ocr": ("octave", "policy", "devref", "gnuplot", "pari"),
    },
}
RATES = (0.02, 0.05, 0.1)
PAGES = 40
Row = dict[str, object]


class Pair(NamedTuple):
    """Counts of a detection."""

    found: int
    false: int
    missed: int

    def row(self) -> Row:
        """Precision, recall and their harmonic mean."""
        precision = self.found / max(self.found + self.false, 1)
        recall = self.found / max(self.found + self.missed, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-9)
        return {"lines": self.found + self.missed, "precision": round(precision, 4),
                "recall": round(recall, 4), "f1": round(f1, 4)}  # fmt: skip


def main() -> None:
    """Measure all and print it; `--keep` writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--scans", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if given.table or given.root is None:
        rows = "".join(f"{row}\n" for row in table(json.loads(RESULTS.read_text("utf-8"))))
        page = BLOCK.sub(lambda m: m[1] + rows + m[2], PAGE.read_text("utf-8"))
        PAGE.write_text(page, encoding="utf-8")
        return
    texts = {name: pdf_text(given.root / path) for name, path in MANUALS.items()}
    results: dict[str, object] = {}
    for name, result in measured(texts, given.root, given.scans):
        print(name, json.dumps(result, indent=1), flush=True)
        results[name] = result
    if given.keep:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def table(results: dict[str, Row]) -> Iterator[str]:
    """Yield the rows of the page's table, untouched works first."""
    yield "| measure | works | result | asked |\n|---|---|---|---|"
    yield from heads_rows(results)
    for part in reversed(SETS):
        row, works = results[f"hyphens, {part}"], ", ".join(SETS[part]["hyphens"])
        wrong = ", ".join(f"`{word}`" for word in row["wrong"]) or "none"
        told = f"**{row['right']:.4f}** of {row['breaks']}; wrong: {wrong}"
        yield f"| hyphens right, {part} | {works} | {told} | .99 |"
    yield from score_rows(results)
    speeds = (f"`{name.lower()}` {row['pages/s']}" for name, row in results["speed"].items())
    yield f"| pages a second and core | R-exts, a busy machine | {', '.join(speeds)} | |"


def heads_rows(results: dict[str, Row]) -> Iterator[str]:
    """Yield the rows of heads and numbers."""
    heads, scans = results["heads"], results["heads of scans"]
    for name, row in (
        ("heads and numbers, F1", heads["final, all"]),
        ("the same, scans at 150 dpi, untouched", scans["all untouched scans"]),
        ("the same, scans of development", scans["all scans"]),
    ):
        told = f"precision {row['precision']:.3f}, recall {row['recall']:.3f}"
        yield f"| {name} | {row['lines']} lines | **{row['f1']:.3f}**, {told} | .97 |"


def score_rows(results: dict[str, Row]) -> Iterator[str]:
    """Yield the rows of the OCR score: with noise, then of scans."""
    for part in reversed(SETS):
        row, works = results[f"ocr score, {part}"], ", ".join(SETS[part]["ocr"])
        aucs = " / ".join(f"**{row[f'auc at {rate}']['mean']:.3f}**" for rate in RATES)
        low = min(row[f"auc at {RATES[0]}"]["each"].values())
        over = row["clean pages taken for damaged"]
        told = f"{aucs}; lowest work at {RATES[0]} {low:.3f}; clean pages over the limit {over:.1%}"
        yield f"| AUC of pages at noise .02 / .05 / .1, {part} | {works} | {told} | .95 |"
    for name, row in results["ocr of scans"].items():
        if row["of them with 20 words read"] < 10:
            continue
        told = (
            f"**{row['auc, those']:.3f}**; the {row['of them with 20 words read']} of which 20 "
            f"words were read {row['auc, those with 20 words']:.3f}"
        )
        pages = row["pages of 5 % misread or more"]
        yield f"| AUC of scans, 5 % misread or more | {name}, {pages} pages | {told} | .95 |"


def measured(texts: dict[str, str], root: Path, scans: Path | None) -> Iterator[tuple[str, Row]]:
    """Yield each measurement with its name."""
    yield "heads", heads(texts, root)
    if scans:
        yield "heads of scans", scanned_heads(scans)
        yield "ocr of scans", scanned_scores(scans)
    for part in SETS:
        yield f"hyphens, {part}", hyphens(texts, root, SETS[part]["hyphens"])
        yield f"ocr score, {part}", scores(texts, SETS[part]["ocr"])
    yield "speed", speed(texts)


def pdf_text(path: Path) -> str:
    """The text of a PDF as pdftotext lays it out, a form feed after each page."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    command = ["pdftotext", "-layout", "-", "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode()


def plain(text: str) -> Record:
    """A text as a record."""
    return Record("1", "manuals", "manual", "text", text, SourceMap.identity(text))


def after(text: str, *steps: Step) -> Record:
    """A text after steps."""
    record = plain(text)
    for step in steps:
        record = apply_result(record, step(record))
    return record


def heads(texts: dict[str, str], root: Path) -> Row:
    """Lines removed at the edges of marked pages, manual by manual and over all final ones."""
    rows: Row = {}
    for part in ("development", "final"):
        pairs = []
        for name, marks in MARKS[part].items():
            pages = dict(enumerate(texts[name].split("\f")))
            pairs.append(edges_found(pages, marks))
            rows[f"{part}, {name}"] = pairs[-1].row()
        if part == "final":
            pairs.append(manual_pages(root))
            rows["final, manual pages without form feeds"] = pairs[-1].row()
        rows[f"{part}, all"] = Pair(*map(sum, zip(*pairs, strict=True))).row()
    return rows


def marked(marks: dict) -> dict[int, list[int]]:
    """The lines that are heads by page, from the ranges of book_marks.json."""
    pages = {page: marks["all"] for a, b in marks["pages"] for page in range(a, b + 1)}
    pages |= {page: [] for a, b in marks["none"] for page in range(a, b + 1)}
    return pages | {int(page): lines for page, lines in marks["other"].items()}


def edges_found(pages: dict[int, str], marks: dict) -> Pair:
    """How the removed lines of the marked pages agree with the marks."""
    order = sorted(pages)
    text = "\f".join(pages[page].replace("\f", "") for page in order)
    cut = [(e.start, e.end) for e in Heads(HeadsConfig())(plain(text)).edits if not e.replacement]
    wanted, at, counts = marked(marks), 0, Counter()
    for page in order:
        body = pages[page].replace("\f", "")
        if page in wanted:
            lines = [m for m in re.finditer(r"[^\n]*\S[^\n]*", body)]
            right = {n % len(lines) for n in wanted[page]} if lines else set()
            gone = {
                n for n, m in enumerate(lines)
                if any(a <= at + m.start() < b or a <= at + m.end() - 1 < b for a, b in cut)
            }  # fmt: skip
            counts.update(
                found=len(right & gone), false=len(gone - right), missed=len(right - gone)
            )
        at += len(body) + 1
    return Pair(counts["found"], counts["false"], counts["missed"])


def manual_pages(root: Path) -> Pair:
    """Manual pages as groff paginates them, 66 lines a page and no form feed."""
    pairs = []
    for name in ("groff", "groff_char", "groff_diff", "groff_man"):
        source = gzip.decompress((root / f"usr/share/man/man7/{name}.7.gz").read_bytes())
        command = "groff -t -man -Tutf8 -P-c -P-b -P-u -P-o -rcR=0".split()
        run = subprocess.run(command, input=source, capture_output=True, check=True)
        text = run.stdout.decode()
        lines = text.split("\n")
        gone = {text.count("\n", 0, e.start) for e in Heads(HeadsConfig())(plain(text)).edits}
        right: set[int] = set()
        for top in range(0, len(lines) - 1, 66):
            filled = [n for n in range(top, min(top + 66, len(lines))) if lines[n].strip()]
            right |= {filled[0], filled[-1]} if len(filled) > 1 else set()
        pairs.append(Pair(len(right & gone), len(gone - right), len(right - gone)))
    return Pair(*map(sum, zip(*pairs, strict=True)))


def scanned(folder: Path, kind: str) -> dict[int, str]:
    """The pages of a scan, by number."""
    return {int(p.name[:3]): p.read_text("utf-8") for p in sorted(folder.glob(f"*.{kind}.txt"))}


def scanned_heads(scans: Path) -> Row:
    """Heads and numbers of scanned pages."""
    rows: Row = {}
    for part in ("scans", "untouched scans"):
        pairs = []
        for name, marks in MARKS[part].items():
            pairs.append(edges_found(scanned(scans / f"{name}150", "ocr"), marks))
            rows[name] = pairs[-1].row()
        rows[f"all {part}"] = Pair(*map(sum, zip(*pairs, strict=True))).row()
    return rows


def scanned_scores(scans: Path) -> Row:
    """OCR scores of scanned pages beside the same pages' own text."""
    rows: Row = {}
    for folder in sorted(path for path in scans.iterdir() if path.is_dir()):
        true, read = scanned(folder, "true"), scanned(folder, "ocr")
        wrong = np.array([word_errors(true[page], read[page]) for page in sorted(true)])
        clean, dirty = page_scores(true.values()), page_scores(read.values())
        read_words = [len(re.findall(r"[^\W\d_]{2,}", read[page])) for page in sorted(true)]
        bad = [score for score, errors in zip(dirty, wrong, strict=True) if errors >= 0.05]
        legible = [
            score for score, errors, words in zip(dirty, wrong, read_words, strict=True)
            if errors >= 0.05 and words >= 20
        ]  # fmt: skip
        rows[folder.name] = {
            "pages": len(true), "median share of words misread": round(float(np.median(wrong)), 3),
            "auc, all scans": auc(dirty, clean), "pages of 5 % misread or more": len(bad),
            "auc, those": auc(bad, clean) if bad else None,
            "of them with 20 words read": len(legible),
            "auc, those with 20 words": auc(legible, clean) if legible else None,
        }  # fmt: skip
    return rows


def word_errors(true: str, read: str) -> float:
    """Share of the true words that the OCR did not read, as bags of words."""
    a, b = (Counter(re.findall(r"[^\W\d_]{2,}", text.lower())) for text in (true, read))
    return sum((a - b).values()) / max(sum(a.values()), 1)


def page_scores(pages: Iterable[str]) -> list[float]:
    """Scores of pages judged as one book."""
    text = "\f".join(page.replace("\f", " ").strip() or "-" for page in pages)
    return Ocr(OcrConfig(beyond_repair=9, english_share=0))(plain(text)).metadata["ocr_pages"]


def auc(dirty: Sequence[float], clean: Sequence[float]) -> float:
    """Chance that a dirty page scores above a clean one."""
    a, b = np.array(dirty)[:, None], np.array(clean)[None]
    return round(float((a > b).mean() + (a == b).mean() / 2), 4)


def hyphens(texts: dict[str, str], root: Path, names: Sequence[str]) -> Row:
    """Breaks put right as the HTML edition writes the word; those that it has both ways are out."""
    right = unclear = 0
    wrong: list[str] = []
    for name in names:
        files = sorted(root.glob(EDITIONS[name]))
        page = " ".join(file.read_text("utf-8", "replace") for file in files)
        edition = " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).lower().split())
        wholes = set(re.findall(r"(?<![\w-])[^\W\d_]+(?!\w)", edition))
        pairs = set(re.findall(r"(?<!\w)(?=([^\W\d_]+-[^\W\d_]+)(?!\w))", edition))
        record = after(texts[name], Heads(HeadsConfig()), Footnotes(FootnotesConfig()))
        for edit in Hyphens(HyphensConfig())(record).edits:
            left = re.search(r"[^\W\d_]+$", record.text[max(0, edit.start - 40) : edit.start])
            follows = re.match(r"[^\W\d_]+", record.text[edit.end : edit.end + 40])
            if not left or not follows or edit.reason.startswith("line break put"):
                continue
            a, b = left.group().lower(), follows.group().lower()
            whole, apart = a + b in wholes, f"{a}-{b}" in pairs
            if whole == apart:
                unclear += 1
            elif apart == (edit.replacement == "-"):
                right += 1
            else:
                wrong.append(f"{a}{edit.replacement}{b}")
    share = right / max(right + len(wrong), 1)
    return {
        "breaks": right + len(wrong),
        "right": round(share, 4),
        "unclear": unclear,
        "wrong": wrong,
    }


def book(text: str) -> list[str]:
    """Pages of a manual behind its contents."""
    return [page for page in text.split("\f")[10:] if len(page.split()) > 80][:PAGES]


def scores(texts: dict[str, str], names: Sequence[str]) -> Row:
    """Clean pages against the same pages with noise, at several rates."""
    rows: Row = {}
    clean = {name: page_scores(book(texts[name])) for name in names}
    for rate in RATES:
        aucs = []
        for name in names:
            spoilt = [noisy(page, rate, seed)[0] for seed, page in enumerate(book(texts[name]))]
            aucs.append(auc(page_scores(spoilt), clean[name]))
        rows[f"auc at {rate}"] = {"each": dict(zip(names, aucs, strict=True)),
                                  "mean": round(sum(aucs) / len(aucs), 4)}  # fmt: skip
    limit = OcrConfig().damaged
    over = [score >= limit for one in clean.values() for score in one]
    rows["clean pages taken for damaged"] = round(sum(over) / len(over), 4)
    return rows


def speed(texts: dict[str, str]) -> Row:
    """Pages and megabytes a second of the slower steps, one core, the first run not counted."""
    rows: Row = {}
    text = texts["R-exts"]
    for step in (Heads(HeadsConfig()), Hyphens(HyphensConfig()), Ocr(OcrConfig())):
        step(plain(text))
        began = time.process_time()
        step(plain(text))
        seconds = time.process_time() - began
        pages = text.count("\f")
        rows[type(step).__name__] = {
            "pages/s": round(pages / seconds),
            "MB/s": round(len(text) / 1e6 / seconds, 2),
        }
    return rows


if __name__ == "__main__":
    main()
