"""Lines that come back on a site's pages: headers, footers and menus, whatever words they are in.

Three passes, each over shards in workers: count in how many pages of its site each line stands,
put the counts together, then look at each page again. A line that comes back is cut where it is
one of the first or last of its page, or in a run of them; alone in the middle it stays, since
`Parameters` comes back on every page of a manual and is no menu. Lines that differ in numbers only
are the same, so that page counts and dates go; but a heading or title that differs from page to
page, if only in its number (`Chapter 3`), is the page's own and stays. Lines and sites are 64-bit
hashes; counts are sorted runs on disk that are put together by ranges of keys (dedup/ranges.py), so
memory follows the range and not the crawl.
Knows nothing of single pages' markup; see documents/web.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import Edit, Ruling

from ..dedup.ranges import Slice, key_ranges, read_slice, write_run
from ..dedup.runs import load, save
from ..engine.rulings import write_rulings
from ..engine.survey import Each

SITE = np.dtype([("key", "<u8"), ("pages", "<u8")])
LINE = np.dtype([("key", "<u8"), ("site", "<u8"), ("pages", "<u8")])
ENTRY_BYTES = 160
"""Of a line that is counted, as Python's objects."""
DIGITS = re.compile(r"\d+")
TITLE_PARTS = re.compile(r"\s[-–—|·»:]+\s")
"""What parts a page's title from its site's name."""
NUMBERED = re.compile(
    r"(?!page|seite|p[aá]gina|strona|sida|pagina|стр)[^\W\d][^\d:]{0,80}\d[\d.]{0,12}"
)
"""A title that ends in its number. Page counts and what ends in a colon and a number are none."""
COUNTED = re.compile(
    r"(?:19|20)\d\d\.?$|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [\d.]+$"
    r"|\b(?:views|comments|replies|likes|votes|shares|hits|posts|results|visitors) [\d.]+$"
)
"""Ends of lines that are dates and counters."""


class SiteLinesConfig(Config):
    """What counts as coming back, and where it is cut."""

    share: float = 0.3
    """Share of its site's pages from which a line comes back. Source: data_and_retrieval 5.2 uses
    30 % of pages for running heads."""
    fewest_pages: int = 5
    """Pages of a site below which nothing is cut. Source: own judgement."""
    folder_levels: int = 2
    """Folders of a path that make a site where a record has no host. Source: own judgement."""
    longest_line: int = 500
    """Characters; longer lines are text. Source: own judgement."""
    run: int = 6
    """Lines that come back in a row that make a menu inside a page. Source: 60 marked pages
    (web_labels.py)."""
    most_cut: float = 0.6
    """Share of a page's characters above which nothing of it is cut: a copy is not a menu. Source:
    own judgement."""
    most_entries: int = 500_000
    """Lines counted in memory before they are spilled, and put together at once: about 80 MB.
    Source: own judgement."""
    parts: int = 16
    """Of no effect: tasks are as many as the counts need. Own choice; older pipelines name it."""


class SiteLines:
    """web.site_lines: a survey that cuts headers, footers and menus of whole sites."""

    def __init__(self, config: SiteLinesConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Rulings for each shard: edits with the reasons header, footer and menu."""
        scratch.mkdir(parents=True, exist_ok=True)
        counted = each(partial(count_shard, self.config, scratch), list(enumerate(shards)))
        sites, lines = scratch / "sites", scratch / "lines"
        sites.mkdir(exist_ok=True)
        lines.mkdir(exist_ok=True)
        memory = self.config.most_entries * ENTRY_BYTES
        summed = each(pages_of_sites, key_ranges([c.sites for c in counted], each, sites, memory))
        known = save(scratch / "sites.npy", np.concatenate([np.load(path) for path in summed]))
        files = [path for one in counted for path in one.lines]
        tasks = key_ranges(files, each, lines, memory)
        found = each(partial(recurring_lines, self.config, known), tasks)
        recurring = scratch / "recurring.npy"  # ranges rise, and keys in each
        save(recurring, np.concatenate([np.load(path) for path in found]))
        return each(partial(judge_shard, self.config, scratch, recurring), list(enumerate(shards)))


class Counted(NamedTuple):
    """Runs of what a shard's lines were counted to."""

    sites: Path
    """Pages of each site."""
    lines: list[Path]
    """Pages of each line."""


class Row(NamedTuple):
    """What this step needs of a record."""

    id: str
    site: int
    text: str
    title: str
    headings: tuple[tuple[int, int], ...]
    """Places in the text."""


def rows(shard: Path, config: SiteLinesConfig) -> Iterator[Row]:
    """Yield the records of a shard, a group of rows at a time."""
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
            yield Row(row["id"], hashed(site), row["text"] or "", title, headings)


def hashed(text: str) -> int:
    """64 bits of a text."""
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big"
    )


def line_places(text: str) -> list[tuple[int, int]]:
    """Places of the lines that are not empty."""
    places, at = [], 0
    for line in text.split("\n"):
        if line.strip():
            places.append((at, at + len(line)))
        at += len(line) + 1
    return places


class Line(NamedTuple):
    """A line of a page that is short enough to come back."""

    exact: int
    """Key of its site and what it says."""
    folded: int
    """Key of its site and what it says with every number as `#`; the same if it has none."""
    is_title: bool
    """It is a heading, or the page's title or a part of it."""
    is_numbered: bool
    """It could be a title that ends in its number."""


def lines_of(row: Row, config: SiteLinesConfig) -> dict[tuple[int, int], Line]:
    """Start and end of each line that is short enough, and what is known of it."""
    found, heading = {}, 0
    parts = (row.title, *TITLE_PARTS.split(row.title), *row.title.split(": "))
    titles = {plain(part) for part in parts}
    for start, end in line_places(row.text):
        while heading < len(row.headings) and row.headings[heading][1] <= start:
            heading += 1
        if end - start > config.longest_line:
            continue
        line = plain(row.text[start:end])
        exact = folded = hashed(f"{row.site}\0{line}")
        if (numbers_folded := DIGITS.sub("#", line)) != line:
            folded = hashed(f"{row.site}\0{numbers_folded}")
        is_heading = heading < len(row.headings) and row.headings[heading][0] < end
        is_numbered = bool(NUMBERED.fullmatch(line)) and not COUNTED.search(line)
        found[start, end] = Line(exact, folded, is_heading or line in titles, is_numbered)
    return found


def plain(line: str) -> str:
    """A line in lower case, its white space runs as one space."""
    return " ".join(line.split()).casefold()


def count_shard(config: SiteLinesConfig, scratch: Path, item: tuple[int, Path]) -> Counted:
    """Count a shard's lines once a page, into runs."""
    number, shard = item
    pages: Counter[int] = Counter()
    counts: Counter[tuple[int, int]] = Counter()
    files: list[Path] = []

    def spill() -> None:
        entries = [(key, site, n) for (key, site), n in counts.items()]
        path = scratch / f"lines-{number:06d}-{len(files):04d}.npy"
        files.append(write_run(path, np.array(entries, LINE)))
        counts.clear()

    for row in rows(shard, config):
        pages[row.site] += 1
        keys = {key for line in lines_of(row, config).values() for key in line[:2]}
        counts.update((key, row.site) for key in keys)
        if len(counts) > config.most_entries:
            spill()
    spill()
    sites = np.array(list(pages.items()), SITE)
    return Counted(write_run(scratch / f"sites-{number:06d}.npy", sites), files)


def pages_of_sites(part: Slice) -> Path:
    """How many pages each site of a range has, in all shards."""
    table = read_slice(part)
    keys, inverse = np.unique(table["key"], return_inverse=True)
    every = np.zeros(len(keys), SITE)
    every["key"] = keys
    np.add.at(every["pages"], inverse, table["pages"])
    return save(part.out, every)


def recurring_lines(config: SiteLinesConfig, sites: Path, part: Slice) -> Path:
    """Keys of a range's lines that stand in enough pages of their site."""
    table, known = read_slice(part), load(sites)
    keys, first, inverse = np.unique(table["key"], return_index=True, return_inverse=True)
    pages = np.zeros(len(keys), np.uint64)
    np.add.at(pages, inverse, table["pages"])
    own = known["pages"][np.searchsorted(known["key"], table["site"][first])]
    return save(part.out, keys[pages >= np.maximum(config.fewest_pages, config.share * own)])


def judge_shard(
    config: SiteLinesConfig, scratch: Path, recurring: Path, item: tuple[int, Path]
) -> Path:
    """Rule about a shard's records by the lines that come back."""
    number, shard = item
    known = np.load(recurring, mmap_mode="r", allow_pickle=False)
    found: list[tuple[str, Ruling]] = []
    for row in rows(shard, config) if len(known) else ():
        edits = recurring_edits(row, known, config)
        if edits:
            found.append((row.id, Ruling(edits=tuple(edits))))
    return write_rulings(scratch / f"site-lines-{number:06d}.parquet", found)


def recurring_edits(row: Row, known: np.ndarray, config: SiteLinesConfig) -> list[Edit]:
    """Edits for the lines of a page that come back on its site.

    known  keys of all such lines, rising; on disk, since every worker looks at them
    """
    lines = lines_of(row, config)
    here = keys_among(known, {key for line in lines.values() for key in line[:2]})
    places = line_places(row.text)
    back = [place in lines and not here.isdisjoint(lines[place][:2]) for place in places]
    runs: list[tuple[int, int]] = []
    start = 0
    for at_line in range(1, len(back) + 1):
        if at_line == len(back) or back[at_line] != back[start]:
            if back[start]:
                runs.append((start, at_line))
            start = at_line
    edits: list[Edit] = []
    for first, last in runs:
        is_head, is_foot = first == 0, last == len(places)
        if is_head or is_foot or last - first >= config.run:
            reason = "header" if is_head else "footer" if is_foot else "menu"
            kept = titles_among(places[first:last], lines, here, is_head)
            edits += [
                Edit(start, min(end + 1, len(row.text)), reason)
                for start, end in places[first:last]
                if (start, end) not in kept
            ]
    return edits if cut_length(edits) <= config.most_cut * len(row.text) else []


def keys_among(known: np.ndarray, keys: set[int]) -> frozenset[int]:
    """Those of some keys that are known; `known` is rising and not empty."""
    wanted = np.array(sorted(keys), np.uint64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return frozenset(wanted[known[at] == wanted].tolist())


def titles_among(
    places: Sequence[tuple[int, int]],
    lines: dict[tuple[int, int], Line],
    here: frozenset[int],
    is_head: bool,
) -> set[tuple[int, int]]:
    """Lines of a run that come back but for their numbers and are the page's own title.

    Those known as headings or titles; in a header without one, the last that could be one.
    """
    own = [place for place in places if lines[place].exact not in here]
    titles = {place for place in own if lines[place].is_title}
    if is_head and not titles:
        titles.update([place for place in own if lines[place].is_numbered][-1:])
    return titles


def cut_length(edits: Sequence[Any]) -> int:
    """Characters that edits take."""
    return sum(edit.end - edit.start for edit in edits)
