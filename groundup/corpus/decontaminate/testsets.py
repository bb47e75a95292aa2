"""Keep test sets out: drop what repeats their samples, or cut the place out of it.

    long text    any (or a share) of its n-grams stands in the record
    8 to n - 1   the whole text stands in the record
    4 to 7       the text stands between ends of lines or sentences, or other strong signs, as in
                 `Q: …?`, `1. …`, `| … |`, `"…"` (questions only: answers are words)
    shorter      says nothing, and is counted as such

Words are folded (case, accents, characters of no width; digits kept). The hashes of all samples
lie in files that are made once under a name that is their content's, and mapped by every worker;
so an index costs its memory once, and another test set is another index. Reasons name the test
set: the log of removals is the report of hits; see `hits`. What a finished model trained on: see
lineage.py.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (13-grams, 200 characters, ten pieces);
Chowdhery et al. 2022, arXiv:2204.02311, §8 (70 % of 8-grams).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
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

from ..dedup.sketch import SKIP, Tokens, characters, fold_table, grams, mix, of_strings, tokens

VERSION = 2
FEWEST, SHORTEST = 8, 4
"""Words from which a text is looked for anywhere, and from which between two bounds."""
BOUNDED = 10_000
"""Stands for the length of a text that must stand between bounds."""
BOUNDS = '\n\r\t.?!:;|"“”„«»‹›()[]{}<>*#=…–—•·¿¡。？！：；「」『』'
"""Where a sentence, a cell or a quotation may end; a comma, a hyphen or an apostrophe ends none."""
UNSEEN = (0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
          *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF)  # fmt: skip
"""Characters of no width, which part no words: soft hyphens, joiners, marks of direction."""
FILTER_PER_KEY = 16
REASON = "test set"


class TestSetsConfig(Config):
    """Which test sets are kept out, and what counts as repeating one."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    testsets: tuple[File, ...] = Field(min_length=1)
    """Artifacts of kind testset, or files of JSON lines."""
    fields: tuple[str, ...] = ("question", "prompt", "input", "problem", "text", "answer")
    """Of JSON lines: the fields that hold texts; the first that a line has is its question."""
    gram: int = Field(default=13, ge=FEWEST)
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


class Item(NamedTuple):
    """A text of a sample."""

    testset: str
    sample: str
    grams: int
    """Distinct hashes of it."""


class Place(NamedTuple):
    """Where a record repeats a text."""

    start: int
    """First token."""
    end: int
    item: Item


class TestSets:
    """Rule about records that repeat samples of sealed test sets."""

    __test__ = False

    def __init__(self, config: TestSetsConfig) -> None:
        self.config = config
        folder = build_index(config)
        about = json.loads((folder / "items.json").read_text(encoding="utf-8"))
        self.items = [Item(*row) for row in about["items"]]
        self.lengths: list[int] = about["lengths"]
        self.keys, self.owners, self.filter = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("keys", "owners", "filter")
        )
        self.shift = np.uint64(64 - (len(self.filter).bit_length() - 1))
        self.table = seen_table()

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        texts = of_strings([record.text])
        found = tokens(texts, self.table)
        places = self.repeated(record.text, found)
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
        edits = self.cuts(record.text, texts.data, found, places)
        if len(edits) >= self.config.max_pieces or covers(edits, len(record.text)):
            return Ruling(reason, value, f"{details}; little would be left")
        return Ruling(value=value, details=details, edits=edits, metadata=metadata)

    def repeated(self, text: str, found: Tokens) -> list[Place]:
        """Places of all texts of which enough stands in the record, in its order."""
        seen: dict[int, set[int]] = defaultdict(set)
        at: list[tuple[int, int, int]] = []
        for length in self.lengths:
            is_short = length == BOUNDED
            starts, ends, keys = bounded_keys(text, found) if is_short else gram_keys(found, length)
            for place in np.flatnonzero(self.filter[keys >> self.shift]).tolist():
                low, high = (np.searchsorted(self.keys, keys[place], s) for s in ("left", "right"))
                for owner in self.owners[low:high].tolist():
                    seen[owner].add(int(keys[place]))
                    at.append((int(starts[place]), int(ends[place]), owner))
        enough = {
            owner
            for owner, hit in seen.items()
            if len(hit) >= max(1, self.config.share * self.items[owner].grams)
        }
        return [Place(a, b, self.items[owner]) for a, b, owner in sorted(at) if owner in enough]

    def cuts(
        self, text: str, data: np.ndarray, found: Tokens, places: Sequence[Place]
    ) -> tuple[Edit, ...]:
        """The places with their margins as edits; those that touch are one."""
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


def gram_keys(found: Tokens, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, one past the last, and key of every run of `length` tokens."""
    keys = mix(grams(found.hashes, length) + np.uint64(length))
    starts = np.arange(len(keys))
    return starts, starts + length, keys


def bounded_keys(text: str, found: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, one past the last, and key of every run of few words between two bounds."""
    count = len(found.hashes)
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    before = np.concatenate([[0], np.cumsum(bounds_in(data))])  # bounds before each byte
    is_edge = np.ones(count + 1, bool)
    is_edge[1:count] = before[found.starts[1:]] > before[found.ends[:-1]]
    starts, ends, keys = [], [], []
    for length in range(SHORTEST, min(FEWEST, count + 1)):
        own = np.flatnonzero(is_edge[: count - length + 1] & is_edge[length:])
        starts.append(own)
        ends.append(own + length)
        keys.append(mix(grams(found.hashes, length)[own] + np.uint64(BOUNDED)))
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(keys)


def bounds_in(data: np.ndarray) -> np.ndarray:
    """Whether a bound begins at each byte of UTF-8."""
    single, double, triple = bound_codes()
    found = single[data]
    wide = np.flatnonzero(data >= 0xC0)
    if len(wide):
        padded = np.concatenate([data, np.zeros(2, np.uint8)]).astype(np.uint32)
        two = padded[wide] << np.uint32(8) | padded[wide + 1]
        found[wide] = np.isin(two, double) | np.isin(two << np.uint32(8) | padded[wide + 2], triple)
    return found


@cache
def bound_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds of one byte as a table, those of two and of three bytes as numbers."""
    single, wide = np.zeros(256, bool), {2: list[int](), 3: list[int]()}
    for sign in BOUNDS:
        code = sign.encode()
        if len(code) == 1:
            single[code[0]] = True
        else:
            wide[len(code)].append(int.from_bytes(code))
    return single, np.array(wide[2], np.uint32), np.array(wide[3], np.uint32)


@cache
def seen_table() -> np.ndarray:
    """The folding of words; characters that nobody sees are passed over like accents."""
    table = fold_table(True, False).copy()
    table[list(UNSEEN)] = SKIP
    return table


def build_index(config: TestSetsConfig) -> Path:
    """The folder of the index of these test sets, made unless it is there.

    Workers that start together write the same bytes; `items.json` comes last and says it is whole.
    """
    paths = [sample_file(path) for path in config.testsets]
    content = [[path.parent.name, path.stem, hash_file(path)] for path in paths]
    name = digest([VERSION, content, list(config.fields), config.gram])[:24]
    root = Path(config.index) if config.index else device.cache_folder() / "decontaminate"
    folder = root / name
    if (folder / "items.json").is_file():
        return folder
    keys, owners, items, lengths, short = keys_of(config)
    order = np.lexsort((owners, keys))
    size = 1 << max(16, (FILTER_PER_KEY * len(keys)).bit_length())
    bits = np.zeros(size, bool)
    bits[keys >> np.uint64(64 - (size.bit_length() - 1))] = True
    folder.mkdir(parents=True, exist_ok=True)
    for part, array in (("keys", keys[order]), ("owners", owners[order]), ("filter", bits)):
        with replacing(folder / f"{part}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, array)
    about = {"items": [list(item) for item in items], "lengths": lengths, "too_short": short}
    write_json(folder / "items.json", about)
    return folder


class Keys(NamedTuple):
    """The hashes of all samples."""

    keys: np.ndarray
    owners: np.ndarray
    items: list[Item]
    lengths: list[int]
    too_short: dict[str, int]
    """Samples by test set of which no text is long enough to be found."""


def keys_of(config: TestSetsConfig) -> Keys:
    """The hashes of all texts of the test sets."""
    table, items, lengths = seen_table(), list[Item](), set[int]()
    keys, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
    short: Counter[str] = Counter()
    for path in config.testsets:
        for sample, texts in read_texts(path, config.fields):
            taken = 0
            for place, text in enumerate(texts):
                found = tokens(of_strings([text]), table)
                count = len(found.hashes)
                if count < SHORTEST or (count < FEWEST and place > 0):
                    continue
                length = BOUNDED if count < FEWEST else min(config.gram, count)
                own = grams(found.hashes, min(count, length))
                own = np.unique(mix(own + np.uint64(length)))
                keys.append(own)
                owners.append(np.full(len(own), len(items), np.uint32))
                items.append(Item(path.stem, sample, len(own)))
                lengths.add(length)
                taken += 1
            short[path.stem] += not taken
    return Keys(np.concatenate(keys), np.concatenate(owners), items, sorted(lengths), dict(+short))


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
            asked = [message.content for message in sample.conversation][::-1]
            yield sample.id, [*asked, *sample.references]
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
