"""Books: paragraphs after all steps in their order, imprints in prose.

    python -m benchmarks.documents.book_structure --root ROOT --novels RDB --keep
    python -m benchmarks.documents.book_structure --table  # the page's table from the kept results

ROOT as for books.py. RDB is Rdata.rdb of Debian's r-cran-janeaustenr: six novels by one
author, one R vector of lines each. Paragraphs: the HTML edition of a manual says where they begin;
both its PDF and the same paragraphs set again (indented or apart, three widths, words broken) go
through the steps. All four manuals were seen before the last two rules were made, so the figures of
paragraphs are of seen works; the novels were not used to set a limit.
"""

import argparse
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.documents.books import BLOCK, EDITIONS, MANUALS, PAGE, pdf_text, plain
from groundup.documents import Record, Step, apply_result
from groundup.documents.books.footnotes import Footnotes, FootnotesConfig
from groundup.documents.books.heads import Heads, HeadsConfig
from groundup.documents.books.hyphens import Hyphens, HyphensConfig
from groundup.documents.books.paragraphs import ParagraphJoiner, ParagraphJoinerConfig
from groundup.documents.books.publisher import FrontMatter, FrontMatterConfig

RESULTS = Path(__file__).resolve().parents[1] / "results" / "book_structure.json"
STRUCTURE = re.compile(BLOCK.pattern.replace("results", "structure"), re.DOTALL)
WORKS = ("R-data", "R-admin", "policy", "devref")
ORDERS = {"documented": (Hyphens, ParagraphJoiner), "reversed": (ParagraphJoiner, Hyphens)}
CONFIGS = {Hyphens: HyphensConfig(), ParagraphJoiner: ParagraphJoinerConfig()}
WORD = re.compile(r"\w+")
START = 6
"""Words by which a paragraph is found."""
SLICE = 12_000
"""Characters of a novel that are judged as a book of their own, all of it near an edge."""


def main() -> None:
    """Measure all and print it; `--keep` writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--novels", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if not given.table:
        results = {}
        for name, rows in measured(given.root, novels(given.novels)):
            print(name, json.dumps(rows), flush=True)
            results[name] = rows
        if given.keep:
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if given.table or given.keep:
        rows = "".join(f"{row}\n" for row in table(json.loads(RESULTS.read_text("utf-8"))))
        page = STRUCTURE.sub(lambda m: m[1] + rows + m[2], PAGE.read_text("utf-8"))
        PAGE.write_text(page, encoding="utf-8")


def table(results: dict) -> Iterator[str]:
    """Yield the lines of the page's table."""
    yield "| measure | works | result |"
    yield "|---|---|---|"
    for name, row in results["paragraphs"].items():
        yield (
            f"| {name} | {', '.join(WORKS)} (seen) | precision **{row['precision']:.3f}**, recall "
            f"**{row['recall']:.3f}** of {row['paragraphs']} breaks; {row['whole']:.1%} of the "
            "paragraphs whole |"
        )
    row = results["imprints"]
    yield (
        f"| prose taken for publisher's matter | six novels, {row['slices']} slices | "
        f"**{row['characters']}** of {row['of']} characters |"
    )


def measured(root: Path, tales: Sequence[str]) -> Iterator[tuple[str, dict]]:
    """Yield each measurement with its name."""
    truths = {name: paragraphs_of(root, name) for name in WORKS}
    yield "paragraphs", paragraphs(root, truths)
    yield "imprints", imprints(tales)


def novels(path: Path) -> list[str]:
    """The texts in an R data base: zlib streams of serialized character vectors."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        stream = zlib.decompressobj()
        raw = stream.decompress(data[at + 4 :])
        at = len(data) - len(stream.unused_data)
        lines, place = [], raw.index(b"\x00\x00\x00\x10") + 8
        while raw[place + 3 : place + 4] == b"\x09":
            (size,) = struct.unpack(">i", raw[place + 4 : place + 8])
            lines.append(raw[place + 8 : place + 8 + max(size, 0)].decode())
            place += 8 + max(size, 0)
        found.append("\n".join(lines))
    return found


def paragraphs_of(root: Path, name: str) -> list[str]:
    """The paragraphs of a manual's HTML edition, of twelve words or more."""
    found = []
    for file in sorted(root.glob(EDITIONS[name])):
        for match in re.finditer(r"<p\b[^>]*>(.*?)(?=</?(?:p|pre|ul|ol|dl|table|div|h\d)\b)",
                                 file.read_text("utf-8", "replace"), re.DOTALL):  # fmt: skip
            text = " ".join(html.unescape(re.sub(r"<[^>]*>", "", match[1])).split())
            found += [text] if len(text.split()) >= 12 else []
    return list(dict.fromkeys(found))


def paragraphs(root: Path, truths: dict[str, list[str]]) -> dict[str, dict]:
    """Breaks of paragraphs after the steps, in PDFs and set again, in both orders."""
    rows: dict[str, dict] = {}
    for order, steps in ORDERS.items():
        for kind in ("PDF", "set again, indented", "set again, apart"):
            total = [0, 0, 0, 0]
            for name, truth in truths.items():
                text = (
                    pdf_text(root / MANUALS[name]) if kind == "PDF"
                    else typeset(truth, is_indented="indented" in kind)
                )  # fmt: skip
                first = (Heads(HeadsConfig()), Footnotes(FootnotesConfig()))
                record = after(plain(text), *first, *(step(CONFIGS[step]) for step in steps))
                total = [a + b for a, b in zip(total, breaks(record.text, truth), strict=True)]
            count, kept, inside, whole = total
            rows[f"breaks of paragraphs, {kind}, {order} order"] = {
                "paragraphs": count,
                "precision": round(kept / max(kept + inside, 1), 4),
                "recall": round(kept / max(count, 1), 4),
                "whole": round(whole / max(count, 1), 4),
            }
    return rows


def after(record: Record, *steps: Step) -> Record:
    """A record after steps."""
    for step in steps:
        record = apply_result(record, step(record))
    return record


def typeset(truth: Sequence[str], *, is_indented: bool) -> str:
    """Paragraphs as a book sets them: three widths, long words broken, 34 lines a page."""
    lines: list[str] = []
    for number, paragraph in enumerate(truth):
        width, line = (44, 64, 90)[number * 3 // len(truth)], "    " if is_indented else ""
        for word in paragraph.split():
            room = width - len(line) - 1
            if len(word) <= room + 1:
                line += word + " "
            elif re.fullmatch(r"[a-z]{8,}[.,]?", word) and 4 <= room < len(word) - 3:
                lines.append(line + word[:room] + "-")
                line = word[room:] + " "
            else:
                lines.append(line.rstrip())
                line = word + " "
        lines += [line.rstrip()] + [""] * (not is_indented)
    pages = ["\n".join(lines[at : at + 34]) for at in range(0, len(lines), 34)]
    return "\n\f".join(pages)


def breaks(text: str, truth: Sequence[str]) -> tuple[int, int, int, int]:
    """Paragraphs found, those with a break behind them, breaks inside them, and whole ones."""
    found = list(WORD.finditer(text.lower()))
    words = [match.group() for match in found]
    starts: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(words) - START):
        starts.setdefault(tuple(words[at : at + START]), []).append(at)
    count = kept = inside = whole = 0
    for paragraph in truth:
        wanted = WORD.findall(paragraph.lower())
        places = starts.get(tuple(wanted[:START]), [])
        if len(wanted) < 12 or len(places) != 1:
            continue
        last = end_of(words, places[0], wanted)
        if last is None:
            continue
        gap = text[found[last].end() : found[last + 1].start()] if last + 1 < len(found) else "\n"
        within = text[found[places[0]].start() : found[last].end()].count("\n")
        count, kept, inside = count + 1, kept + ("\n" in gap or "\f" in gap), inside + within
        whole += not within
    return count, kept, inside, whole


def end_of(words: Sequence[str], start: int, wanted: Sequence[str]) -> int | None:
    """The last word of a paragraph that begins here; a few words may be split or joined."""
    for at in range(start + len(wanted) - 4, start + len(wanted) + 6):
        if tuple(words[at - 3 : at]) == tuple(wanted[-3:]):
            return at - 1
    return None


def imprints(tales: Sequence[str]) -> dict[str, int]:
    """What of novels without imprints goes as publisher's matter, in slices near their edges."""
    step, lost, slices = FrontMatter(FrontMatterConfig()), [], 0
    for tale in tales:
        body = tale[2_000:]
        for at in range(0, len(body), SLICE):
            piece = body[at : at + SLICE]
            slices += 1
            lost += [piece[edit.start : edit.end] for edit in step(plain(piece)).edits]
    print(lost)
    return {"slices": slices, "characters": sum(map(len, lost)), "of": sum(map(len, tales))}


if __name__ == "__main__":
    main()
