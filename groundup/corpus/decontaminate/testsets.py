"""Keep test sets out: drop what repeats their samples, or cut the place out of it.

What repeats a sample is defined in matching.py. The hashes of all samples lie in files that are
made once under a name that is their content's, and mapped by every worker; so an index costs its
memory once, and another test set is another index. Reasons name the test set: the log of removals
is the report of hits; see `hits`. What a finished model trained on: see lineage.py.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (200 characters, ten pieces).
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    DataError,
    File,
    device,
    digest,
    hash_file,
    replacing,
    write_json,
)
from groundup.documents import PASS, Edit, Record, Removal, Ruling
from groundup.measure import read_samples

from ..dedup.sketch import Tokens, characters
from .matching import FEWEST, GRAM, Index, Item, Place, index_of, seen_tokens, texts_of

VERSION = 3
PARTS = ("keys", "owners", "filter")
REASON = "test set"


class TestSetsConfig(Config):
    """Which test sets are kept out, and what counts as repeating one."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    testsets: tuple[File, ...] = Field(min_length=1)
    """Artifacts of kind testset, or files of JSON lines."""
    fields: tuple[str, ...] = ("question", "prompt", "input", "problem", "text", "answer")
    """Of JSON lines: the fields that hold texts; the first that a line has is its question."""
    gram: int = Field(default=GRAM, ge=FEWEST)
    """Words in a row [13: GPT-3; 8: PaLM]."""
    share: float = Field(default=0.0, ge=0, le=1)
    """Share of a text's n-grams that must stand in a record; 0: a single one [0 with 13: GPT-3;
    0.7 with 8: PaLM]."""
    action: Literal["document", "span"] = "document"
    """Drop the record, or cut the place out of it."""
    margin: int = Field(default=200, ge=0)
    """Characters that are cut on either side of a place [GPT-3]."""
    max_pieces: int = Field(default=10, ge=1)
    """A record that would fall into more pieces is dropped [GPT-3]."""
    index: str = ""
    """Folder for the index; empty: in the user's cache."""


class TestSets:
    """Rule about records that repeat samples of sealed test sets."""

    __test__ = False

    def __init__(self, config: TestSetsConfig) -> None:
        self.config = config
        folder = build_index(config)
        about = json.loads((folder / "items.json").read_text(encoding="utf-8"))
        keys, owners, bits = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in PARTS
        )
        items = [Item(*row) for row in about.pop("items")]
        self.index = Index(keys, owners, bits, items, **about)

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        found = seen_tokens(record.text)
        places = self.index.repeated(record.text, found, self.config.share)
        if not places:
            return PASS
        first = places[0].item
        samples = sorted({place.item.sample for place in places})
        details = f"{len(samples)} samples: {', '.join(samples[:3])}"
        named = {place.item.testset: list[str]() for place in places}
        for testset, sample in sorted({place.item[:2] for place in places}):
            named[testset] += [sample][: 3 - len(named[testset])]
        reason = f"{REASON} {first.testset}"
        value, metadata = float(len(samples)), {"testset_samples": named}
        if self.config.action == "document":
            return Ruling(reason, value, details)
        edits = self.cuts(record.text, found, places)
        if len(edits) >= self.config.max_pieces or covers(edits, len(record.text)):
            return Ruling(reason, value, f"{details}; little would be left")
        return Ruling(value=value, details=details, edits=edits, metadata=metadata)

    def cuts(self, text: str, found: Tokens, places: Sequence[Place]) -> tuple[Edit, ...]:
        """The places with their margins as edits; those that touch are one."""
        data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        starts = characters(data, found.starts[[place.start for place in places]])
        ends = characters(data, found.ends[[place.end - 1 for place in places]])
        edits: list[Edit] = []
        for start, end, place in zip(starts.tolist(), ends.tolist(), places, strict=True):
            start = max(0, start - self.config.margin)
            end = min(len(text), end + self.config.margin)
            if edits and start <= edits[-1].end:
                edits[-1] = edits[-1]._replace(end=max(end, edits[-1].end))
            else:
                edits.append(Edit(start, end, f"{REASON} {place.item.testset}"))
        return tuple(edits)


def covers(edits: Sequence[Edit], length: int) -> bool:
    """Whether edits leave nothing."""
    return sum(edit.end - edit.start for edit in edits) >= length


def build_index(config: TestSetsConfig) -> Path:
    """The folder of the index of these test sets, made unless it is there.

    Workers that start together each make it in a folder of their own; the first one's stays.
    """
    paths = [sample_file(path) for path in config.testsets]
    content = [[path.parent.name, path.stem, hash_file(path)] for path in paths]
    name = digest([VERSION, content, list(config.fields), config.gram])[:24]
    root = Path(config.index) if config.index else device.cache_folder() / "decontaminate"
    folder = root / name
    if folder.is_dir():
        return folder
    made = index_of(
        (
            (path.stem, *sample)
            for path in config.testsets
            for sample in read_texts(path, config.fields)
        ),
        config.gram,
    )
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as scratch:
        own = Path(scratch) / name
        own.mkdir()
        for part in PARTS:
            with replacing(own / f"{part}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, getattr(made, part))
        about = {"items": made.items, "lengths": made.lengths, "too_short": made.too_short}
        write_json(own / "items.json", about)
        try:
            own.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def sample_file(path: Path) -> Path:
    """The file of a test set's samples; DataError if there is none."""
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{path} is no test set: expected an artifact of kind testset, or a file of JSON lines."
        )
    return file


def read_texts(path: Path, fields: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield id and texts of every sample, its question first."""
    if path.is_dir():
        for sample in read_samples(Artifact.open(path)):
            yield sample.id, texts_of(sample)
        return
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                texts = [text for field in fields for text in strings_in(row.get(field))]
            except (ValueError, AttributeError) as error:
                raise DataError(f"{path}, line {number} is no sample ({error}).") from None
            if not texts:
                raise DataError(
                    f"{path}, line {number} has none of the fields {', '.join(fields)}; it has "
                    f"{', '.join(map(str, row))}. Name those that hold texts in `fields`."
                )
            yield str(row.get("id", number)), texts


def strings_in(value: Any) -> list[str]:
    """The strings of a field: itself, or those of a list."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


class Hits(NamedTuple):
    """What was found of a test set."""

    testset: str
    records: int
    """Dropped for it."""
    spans: int
    """Cut for it."""
    examples: list[str]
    """Path, samples and how the text begins, three at most."""


def hits(removed: Iterable[Removal]) -> list[Hits]:
    """The report of hits by test set, from a log of removals; other steps' rows are passed over."""
    found: dict[str, list[Removal]] = defaultdict(list)
    for one in removed:
        if one.reason.startswith(f"{REASON} "):
            found[one.reason.removeprefix(f"{REASON} ")].append(one)
    return [
        Hits(
            name,
            sum(one.what == "record" for one in rows),
            sum(one.what != "record" for one in rows),
            [f"{one.path}: {one.details}: {one.text[:200]}" for one in rows[:3]],
        )
        for name, rows in sorted(found.items())
    ]
