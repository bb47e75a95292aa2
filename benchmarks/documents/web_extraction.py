"""How much of a page's main text is found, and how much else: ours beside resiliparse, trafilatura.

    python -m benchmarks.documents.web_extraction PAGES                       the half for tuning
    python -m benchmarks.documents.web_extraction PAGES --half final  the half kept for the figure
    python -m benchmarks.documents.web_extraction --shells DIR  pages with .html and .txt truth
    ... --trafilatura PYTHON     an interpreter that has trafilatura   --worst 8   name the pages

PAGES is the directory of web_pages.py. Truth is data/web_marked.jsonl.gz: for each page the ranges
of `visible_lines` that are main text, and those that count neither way (the page's own table of
contents, its title said twice). Score: bags of words; precision leaves out the neutral words; F1 a
page, averaged over pages. Pages without main text are counted apart. Writes nothing.
"""

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.documents.web_pages import visible_lines
from groundup.documents import Record, apply_result
from groundup.documents.web.lines import LineFilter, LineFilterConfig
from groundup.documents.web.main_text import MainText, MainTextConfig

ROOT = Path(__file__).resolve().parents[2]

MARKED = ROOT / "benchmarks/data/web_marked.jsonl.gz"
PEER = """
import json, sys, time, trafilatura
seconds, texts = 0.0, []
options = {"default": {}, "precision": {"favor_precision": True}, "recall": {"favor_recall": True}}
for path in sys.stdin.read().splitlines():
    data = open(path, "rb").read()
    start = time.perf_counter()
    texts.append(trafilatura.extract(data, include_comments=False, **options[sys.argv[1]]) or "")
    seconds += time.perf_counter() - start
print(json.dumps([seconds, texts]))
"""


class Marked(NamedTuple):
    """A page and what of it is main text."""

    path: Path
    site: str
    main: Counter[str]
    either: Counter[str]


class Score(NamedTuple):
    """Of one page or the mean of many."""

    precision: float
    recall: float
    f1: float


class Run(NamedTuple):
    """What a system made of the pages."""

    texts: list[str]
    seconds: float


def words(text: str) -> Counter[str]:
    """Bag of words: runs of letters, digits and underscores."""
    return Counter("".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def marked_pages(directory: Path, half: str) -> list[Marked]:
    """Pages of one half; SystemExit if a page is missing or is another version's."""
    pages = []
    for line in gzip.open(MARKED, "rt"):
        row = json.loads(line)
        if row["half"] != half:
            continue
        path = directory / row["package"] / row["path"]
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            sys.exit(f"{path} is not the page that was marked: another version of the package.")
        lines = visible_lines(data.decode("utf-8", "replace"))
        bags = [
            words("\n".join(t for a, b in row[kind] for t in lines[a : b + 1]))
            for kind in ("main", "either")
        ]
        pages.append(Marked(path, row["package"], *bags))
    return pages


def shell_pages(directory: Path) -> list[Marked]:
    """Pages NAME.html with their main text NAME.txt."""
    return [
        Marked(path, path.parent.name, words(path.with_suffix(".txt").read_text()), Counter())
        for path in sorted(directory.rglob("*.html"))
    ]


def score(page: Marked, text: str) -> Score:
    """Precision, recall and F1 of the words."""
    got = words(text)
    right = (got & page.main).total()
    wrong = (got - page.main - page.either).total()
    precision = right / (right + wrong) if right + wrong else 0.0
    recall = right / page.main.total()
    both = precision + recall
    return Score(precision, recall, 2 * precision * recall / both if both else 0.0)


def timed(pages: Sequence[Marked], extract: Callable[[bytes], str]) -> Run:
    """Run an extractor over pages, its own time alone."""
    seconds, texts = 0.0, []
    for page in pages:
        data = page.path.read_bytes()
        start = time.perf_counter()
        texts.append(extract(data))
        seconds += time.perf_counter() - start
    return Run(texts, seconds)


def ours(with_lines: bool) -> Callable[[bytes], str]:
    """web.main_text, and web.lines after it."""
    main_text, lines = MainText(MainTextConfig()), LineFilter(LineFilterConfig())

    def extract(data: bytes) -> str:
        record = Record("1", "s", "p.html", "html", data=data)
        ruling = main_text(record)
        if ruling.reason:
            return ""
        record = apply_result(record, ruling)
        return apply_result(record, lines(record)).text if with_lines else record.text

    return extract


def resiliparse(data: bytes) -> str:
    """resiliparse's own main content, as datatrove and others call it."""
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    html = bytes_to_str(data, detect_encoding(data, from_html_meta=True) or "utf-8")
    return extract_plain_text(html, main_content=True, alt_texts=False)


def trafilatura(pages: Sequence[Marked], python: str, favour: str) -> Run:
    """trafilatura in the environment that has it."""
    paths = "\n".join(str(page.path) for page in pages)
    done = subprocess.run(
        [python, "-c", PEER, favour], input=paths, capture_output=True, text=True, check=True
    )
    seconds, texts = json.loads(done.stdout)
    return Run(texts, seconds)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=Path, nargs="?")
    parser.add_argument("--half", choices=("tuning", "final"), default="tuning")
    parser.add_argument("--shells", type=Path)
    parser.add_argument("--trafilatura", metavar="PYTHON")
    parser.add_argument("--worst", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.shells:
        pages = shell_pages(arguments.shells)
    else:
        pages = marked_pages(arguments.pages, arguments.half)
    full = [page for page in pages if page.main]
    print(f"{len(pages)} pages, {len(pages) - len(full)} of them without main text")
    systems: dict[str, Callable[[], Run]] = {
        "web.main_text": lambda: timed(pages, ours(with_lines=False)),
        "web.main_text, web.lines": lambda: timed(pages, ours(with_lines=True)),
        "resiliparse main_content": lambda: timed(pages, resiliparse),
    }
    for favour in ("default", "precision", "recall") if arguments.trafilatura else ():
        systems[f"trafilatura {favour}"] = lambda f=favour: trafilatura(
            pages, arguments.trafilatura, f
        )
    print(f"{'':28}precision  recall     F1   pages/s  words on empty pages")
    for name, system in systems.items():
        run = system()
        scores = [
            score(page, text) for page, text in zip(pages, run.texts, strict=True) if page.main
        ]
        extra = sum(
            (words(t) - p.either).total()
            for p, t in zip(pages, run.texts, strict=True)
            if not p.main
        )
        p, r, f = (mean(values) for values in zip(*scores, strict=True))
        print(f"{name:28}{p:9.3f}{r:8.3f}{f:7.3f}{len(pages) / run.seconds:10.0f}{extra:8d}")
        if name == "web.main_text, web.lines":
            for one, page in sorted(zip(scores, full, strict=True))[: arguments.worst]:
                print(
                    f"    {one.precision:.2f} {one.recall:.2f} {one.f1:.2f} {page.site} {page.path}"
                )


if __name__ == "__main__":
    main()
