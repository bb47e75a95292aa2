"""Recurring lines of a site's pages: headers, footers and menus, in any language.

Three passes, each over shards in workers: count on how many pages of its site each line occurs,
merge the counts, then read each page again. A recurring line is cut if it is among the first or
last of its page, or in a run of recurring lines; alone in the middle it is kept: `Parameters`
recurs on every page of a manual and is not a menu. Lines that differ only in numbers count as the
same, so that page counts and dates are cut; but a heading or title that differs between pages, if
only in its number (`Chapter 3`), is the page's own and is kept. Lines and sites are 64-bit hashes;
counts are sorted runs on disk, merged by key ranges (dedup/storage.py), so memory depends on
the range and not on the crawl. Knows nothing of the markup of single pages; see documents/web.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import StepResult, TextEdit

from ..dedup.storage import KeyRange, key_ranges, load_array, read_range, save_array, write_run
from ..engine.executors import Executor
from ..engine.shards import write_step_results

SITE_DTYPE = np.dtype([("key", "<u8"), ("pages", "<u8")])
LINE_DTYPE = np.dtype([("key", "<u8"), ("site", "<u8"), ("pages", "<u8")])
ENTRY_BYTES = 160  # Memory of a counted line, as Python objects
DIGITS = re.compile(r"\d+")
TITLE_SEPARATOR = re.compile(r"\s[-–—|·»:]+\s")
"""Separator between a page's title and its site's name."""
NUMBERED_TITLE = re.compile(
    r"(?!page|seite|p[aá]gina|strona|sida|pagina|стр)[^\W\d][^\d:]{0,80}\d[\d.]{0,12}"
)
"""A title that ends in its number; not page counts, nor text that ends in a colon and a number."""
DATE_OR_COUNTER = re.compile(
    r"(?:19|20)\d\d\.?$|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [\d.]+$"
    r"|\b(?:views|comments|replies|likes|votes|shares|hits|posts|results|visitors) [\d.]+$"
)
"""Ends of lines that are dates and counters."""


class SiteLinesConfig(Config):
    """Which lines are recurring, and where they are cut."""

    min_page_share: float = 0.3
    """Smallest share of its site's pages on which a recurring line occurs. Own choice."""
    min_pages: int = 5
    """Pages of a site below which nothing is cut. Own choice."""
    folder_levels: int = 2
    """Leading folders of a path that define the site of a record without a host. Own choice."""
    max_line_length: int = 500
    """Characters; longer lines are never cut. Own choice."""
    min_menu_lines: int = 6
    """Consecutive recurring lines that form a menu inside a page. Source: 60 labelled pages
    (web_labels.py)."""
    max_cut_share: float = 0.6
    """Share of a page's characters above which nothing is cut: a copied page is not a menu. Own
    choice."""
    max_entries: int = 500_000
    """Lines counted in memory before they are spilled to disk, and merged at once: about 80 MB. Own
    choice."""
    parts: int = 16
    """Ignored; kept because older pipelines set it. Own choice."""


class SiteLines:
    """The global step `web.site_lines`: cut headers, footers and menus of whole sites."""

    def __init__(self, config: SiteLinesConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], each: Executor, scratch: Path) -> Sequence[Path]:
        """Write the results of each shard: edits with the reasons header, footer and menu."""
        scratch.mkdir(parents=True, exist_ok=True)
        counts = each(partial(_count_shard, self.config, scratch), list(enumerate(shards)))
        memory = self.config.max_entries * ENTRY_BYTES

        def reduce(name: str, task: Callable[[KeyRange], Path], runs: Sequence[Path]) -> Path:
            (scratch / name).mkdir(exist_ok=True)
            files = each(task, key_ranges(runs, each, scratch / name, memory))
            return save_array(scratch / f"{name}.npy", np.concatenate([*map(np.load, files)]))

        sites = reduce("sites", _sum_site_pages, [runs for runs, _ in counts])
        # Sorted, because ranges and the keys in each are.
        recurring = reduce(
            "lines",
            partial(_recurring_lines, self.config, sites),
            [x for _, y in counts for x in y],
        )
        return each(partial(_edit_shard, self.config, scratch, recurring), list(enumerate(shards)))


class _SitePage(NamedTuple):
    id: str
    site: int
    text: str
    title: str
    headings: tuple[tuple[int, int], ...]  # Start and end in the text


def _read_pages(shard: Path, config: SiteLinesConfig) -> Iterator[_SitePage]:
    import pyarrow.parquet as parquet

    columns = ["id", "source", "path", "text", "metadata", "spans"]
    file = parquet.ParquetFile(shard)
    for batch in file.iter_batches(batch_size=256, columns=columns):
        for row in batch.to_pylist():
            metadata = json.loads(row["metadata"] or "{}")
            host = metadata.get("host")
            folder = "/".join(row["path"].split("/")[:-1][: config.folder_levels])
            site = str(host) if host else f"{row['source']}\0{folder}"
            title = str(metadata.get("title") or "")
            headings = tuple(
                (span["start"], span["end"]) for span in row["spans"] if span["kind"] == "heading"
            )
            yield _SitePage(row["id"], _hash64(site), row["text"] or "", title, headings)


def _hash64(text: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big"
    )


def _line_bounds(text: str) -> list[tuple[int, int]]:
    positions, offset = [], 0
    for line in text.split("\n"):
        if line.strip():
            positions.append((offset, offset + len(line)))
        offset += len(line) + 1
    return positions


class _SiteLine(NamedTuple):
    exact: int  # Hash of its site and its text
    folded: int  # Hash of its site and its text with every number as `#`
    is_title: bool  # Whether it is a heading, or the page's title or a part of it
    is_numbered: bool  # Whether it could be a title that ends in its number


def _page_lines(row: _SitePage, config: SiteLinesConfig) -> dict[tuple[int, int], _SiteLine]:
    found, heading = {}, 0
    parts = (row.title, *TITLE_SEPARATOR.split(row.title), *row.title.split(": "))
    titles = {_normalise_line(part) for part in parts}
    for start, end in _line_bounds(row.text):
        while heading < len(row.headings) and row.headings[heading][1] <= start:
            heading += 1
        if end - start > config.max_line_length:
            continue
        line = _normalise_line(row.text[start:end])
        exact = folded = _hash64(f"{row.site}\0{line}")
        if (numbers_folded := DIGITS.sub("#", line)) != line:
            folded = _hash64(f"{row.site}\0{numbers_folded}")
        is_heading = heading < len(row.headings) and row.headings[heading][0] < end
        is_numbered = bool(NUMBERED_TITLE.fullmatch(line)) and not DATE_OR_COUNTER.search(line)
        found[start, end] = _SiteLine(exact, folded, is_heading or line in titles, is_numbered)
    return found


def _normalise_line(line: str) -> str:
    """A line with case folded and runs of white space as one space."""
    return " ".join(line.split()).casefold()


def _count_shard(
    config: SiteLinesConfig, scratch: Path, item: tuple[int, Path]
) -> tuple[Path, list[Path]]:
    number, shard = item
    pages: Counter[int] = Counter()
    counts: Counter[tuple[int, int]] = Counter()
    files: list[Path] = []

    def spill() -> None:
        entries = [(key, site, n) for (key, site), n in counts.items()]
        path = scratch / f"lines-{number:06d}-{len(files):04d}.npy"
        files.append(write_run(path, np.array(entries, LINE_DTYPE)))
        counts.clear()

    for row in _read_pages(shard, config):
        pages[row.site] += 1
        keys = {key for line in _page_lines(row, config).values() for key in line[:2]}
        counts.update((key, row.site) for key in keys)
        if len(counts) > config.max_entries:
            spill()
    spill()
    sites = np.array(list(pages.items()), SITE_DTYPE)
    return write_run(scratch / f"sites-{number:06d}.npy", sites), files


def _sum_site_pages(part: KeyRange) -> Path:
    table = read_range(part)
    keys, inverse = np.unique(table["key"], return_inverse=True)
    every = np.zeros(len(keys), SITE_DTYPE)
    every["key"] = keys
    np.add.at(every["pages"], inverse, table["pages"])
    return save_array(part.out, every)


def _recurring_lines(config: SiteLinesConfig, sites: Path, part: KeyRange) -> Path:
    table, site_table = read_range(part), load_array(sites)
    keys, first, inverse = np.unique(table["key"], return_index=True, return_inverse=True)
    pages = np.zeros(len(keys), np.uint64)
    np.add.at(pages, inverse, table["pages"])
    site_pages = site_table["pages"][np.searchsorted(site_table["key"], table["site"][first])]
    return save_array(
        part.out, keys[pages >= np.maximum(config.min_pages, config.min_page_share * site_pages)]
    )


def _edit_shard(
    config: SiteLinesConfig, scratch: Path, recurring: Path, item: tuple[int, Path]
) -> Path:
    number, shard = item
    known = np.load(recurring, mmap_mode="r", allow_pickle=False)
    results: list[tuple[str, StepResult]] = []
    for row in _read_pages(shard, config) if len(known) else ():
        edits = _recurring_edits(row, known, config)
        if edits:
            results.append((row.id, StepResult(edits=tuple(edits))))
    return write_step_results(scratch / f"site-lines-{number:06d}.parquet", results)


def _recurring_edits(row: _SitePage, known: np.ndarray, config: SiteLinesConfig) -> list[TextEdit]:
    """Edits that cut the recurring lines of a page.

    known  sorted keys of all recurring lines; memory-mapped, because every worker reads them
    """
    lines = _page_lines(row, config)
    candidates = np.array(sorted({key for x in lines.values() for key in x[:2]}), np.uint64)
    indices = np.minimum(np.searchsorted(known, candidates), len(known) - 1)
    recurring_keys = frozenset(candidates[known[indices] == candidates].tolist())
    bounds = _line_bounds(row.text)
    is_recurring = [
        span in lines and not recurring_keys.isdisjoint(lines[span][:2]) for span in bounds
    ]
    runs: list[tuple[int, int]] = []
    start = 0
    for at_line in range(1, len(is_recurring) + 1):
        if at_line == len(is_recurring) or is_recurring[at_line] != is_recurring[start]:
            if is_recurring[start]:
                runs.append((start, at_line))
            start = at_line
    edits: list[TextEdit] = []
    for first, last in runs:
        is_head, is_foot = first == 0, last == len(bounds)
        if is_head or is_foot or last - first >= config.min_menu_lines:
            reason = "header" if is_head else "footer" if is_foot else "menu"
            titles = _own_titles(bounds[first:last], lines, recurring_keys, is_head)
            edits += [
                TextEdit(start, min(end + 1, len(row.text)), reason)
                for start, end in bounds[first:last]
                if (start, end) not in titles
            ]
    cut = sum(edit.end - edit.start for edit in edits)
    return edits if cut <= config.max_cut_share * len(row.text) else []


def _own_titles(
    bounds: Sequence[tuple[int, int]],
    lines: dict[tuple[int, int], _SiteLine],
    recurring_keys: frozenset[int],
    is_head: bool,
) -> set[tuple[int, int]]:
    """Lines of a run that recur only apart from their numbers and are the page's own title.

    Those marked as headings or titles; in a header without one, the last that could be one.
    """
    own = [span for span in bounds if lines[span].exact not in recurring_keys]
    titles = {span for span in own if lines[span].is_title}
    if is_head and not titles:
        titles.update([span for span in own if lines[span].is_numbered][-1:])
    return titles
