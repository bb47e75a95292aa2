"""Decontamination: drops records that contain test samples, or cuts the matches out.

A corpus text contains a test sample's text of

    n words and more   if any (or a share) of its n-grams occurs in the corpus text
    8 to n - 1         if the complete text occurs
    4 to 7             if the text occurs between line or sentence ends or similar boundaries, as in
                       `Q: …?`, `1. …`, `| … |`, `"…"` (questions only, since answers are words)
    shorter            cannot be matched, and is counted

Words are folded (case, accents, zero-width characters; not digits). The step keeps the hashes of
all samples in index files named by their content, built once and memory-mapped by every worker;
lineage.py, which checks a finished model, builds an index in memory. Reasons name the test set, so
the log of removals is the report of hits.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (13-grams, 200 characters, ten pieces);
Chowdhery et al. 2022, arXiv:2204.02311, §8 (70 % of 8-grams).
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    DataError,
    InputPath,
    Sample,
    atomic_replace,
    device,
    digest,
    hash_file,
    write_json,
)
from groundup.documents import PASS, Record, StepResult, TextEdit
from groundup.measure import read_samples

from ..dedup.sketch import (
    SKIP_CODE,
    HashedTokens,
    char_offsets,
    fold_table,
    hash_tokens,
    mix64,
    ngram_hashes,
    pack_strings,
)

NGRAM_WORDS, MIN_WORDS_ANYWHERE, MIN_WORDS_BOUNDED = 13, 8, 4
"""Words of an n-gram; minimum words of a text that is matched anywhere, and of one that is matched
between boundaries."""
BOUNDED_LENGTH = 10_000  # Represents the length of texts that are matched between boundaries
BOUNDARY_CHARACTERS = '\n\r\t.?!:;|"“”„«»‹›()[]{}<>*#=…–—•·¿¡。？！：；「」『』'
"""Boundaries of sentences, cells and quotations; not commas, hyphens or apostrophes."""
ZERO_WIDTH_CHARACTERS = (0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
          *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF)  # fmt: skip
"""Zero-width characters, which do not separate words: soft hyphens, joiners, direction marks."""
FILTER_BITS_PER_KEY = 16
VERSION = 3
INDEX_ARRAYS = ("keys", "owners", "filter")
REASON = "test set"


class SampleText(NamedTuple):
    """A text of a test sample."""

    testset: str
    sample: str
    grams: int
    """Number of its distinct hashes."""


class SampleMatch(NamedTuple):
    """A match of a sample's text in a record, from one token to another."""

    start: int
    end: int
    item: SampleText


class NgramIndex(NamedTuple):
    """Sorted hashes of all sample texts."""

    keys: np.ndarray
    owners: np.ndarray
    """Index into `items` of each key."""
    filter: np.ndarray
    """Prefilter by the keys' leading bits, which rejects most n-grams."""
    items: list[SampleText]
    lengths: list[int]
    """N-gram lengths to hash; includes BOUNDED if there are texts matched between boundaries."""
    too_short: dict[str, int]
    """By test set, the number of samples whose texts are all too short to match."""

    def find_matches(
        self, text: str, tokens: HashedTokens, share: float = 0.0
    ) -> list[SampleMatch]:
        """Matches of all sample texts that the text contains, in text order.

        tokens  tokens of the text by `match_fold_table`
        share   minimum share of a sample text's n-grams; 0: a single one
        """
        hits: dict[int, set[int]] = defaultdict(set)
        matches: list[tuple[int, int, int]] = []
        shift = _filter_shift(self.filter)
        for length in self.lengths:
            if length == BOUNDED_LENGTH:
                starts, ends, keys = _bounded_keys(text, tokens)
            else:
                keys = mix64(ngram_hashes(tokens.hashes, length) + np.uint64(length))
                starts = np.arange(len(keys))
                ends = starts + length
            for row in np.flatnonzero(self.filter[keys >> shift]).tolist():
                low, high = (np.searchsorted(self.keys, keys[row], s) for s in ("left", "right"))
                for owner in self.owners[low:high].tolist():
                    hits[owner].add(int(keys[row]))
                    matches.append((int(starts[row]), int(ends[row]), owner))
        return [
            SampleMatch(a, b, self.items[owner])
            for a, b, owner in sorted(matches)
            if len(hits[owner]) >= max(1, share * self.items[owner].grams)
        ]


def _filter_shift(bits: np.ndarray) -> np.uint64:
    return np.uint64(64 - (len(bits).bit_length() - 1))


def build_ngram_index(
    samples: Iterable[tuple[str, str, list[str]]], gram: int = NGRAM_WORDS
) -> NgramIndex:
    """Build the index of samples: (test set, id, texts with the question first).

    >>> asked = "In which year did the first ship of the line leave the harbour?"
    >>> index = build_ngram_index([("exam", "1", [asked, "1847"])])
    >>> text = f"Tell {asked.lower()}"
    >>> [match.item.sample for match in index.find_matches(text, match_tokens(text))]
    ['1']
    """
    items, lengths = list[SampleText](), set[int]()
    keys, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
    short: Counter[str] = Counter()
    for testset, sample, texts in samples:
        indexed = 0
        for position, text in enumerate(texts):
            words = match_tokens(text).hashes
            count = len(words)
            if count < MIN_WORDS_BOUNDED or (count < MIN_WORDS_ANYWHERE and position > 0):
                continue
            length = BOUNDED_LENGTH if count < MIN_WORDS_ANYWHERE else min(gram, count)
            own = np.unique(mix64(ngram_hashes(words, min(count, length)) + np.uint64(length)))
            keys.append(own)
            owners.append(np.full(len(own), len(items), np.uint32))
            items.append(SampleText(testset, sample, len(own)))
            lengths.add(length)
            indexed += 1
        short[testset] += not indexed
    every, whose = np.concatenate(keys), np.concatenate(owners)
    bits = np.zeros(1 << max(16, (FILTER_BITS_PER_KEY * len(every)).bit_length()), bool)
    bits[every >> _filter_shift(bits)] = True
    order = np.lexsort((whose, every))
    return NgramIndex(every[order], whose[order], bits, items, sorted(lengths), dict(+short))


def sample_texts(sample: Sample) -> list[str]:
    """The texts of a sample: its messages, the last first, and its references.

    System messages are omitted: they are shared by all samples and by many conversations.
    """
    asked = [turn.content for turn in sample.conversation[::-1] if turn.role != "system"]
    return [*asked, *sample.references]


def match_tokens(text: str) -> HashedTokens:
    """Folded words of a text."""
    return hash_tokens(pack_strings([text]), match_fold_table())


def _bounded_keys(text: str, found: HashedTokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, end, key) arrays of every short run of words between two boundaries."""
    count = len(found.hashes)
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    before = np.concatenate([[0], np.cumsum(_boundary_starts(data))])  # boundaries before each byte
    is_edge = np.ones(count + 1, bool)
    is_edge[1:count] = before[found.starts[1:]] > before[found.ends[:-1]]
    starts, ends, keys = [], [], []
    for length in range(MIN_WORDS_BOUNDED, min(MIN_WORDS_ANYWHERE, count + 1)):
        own = np.flatnonzero(is_edge[: count - length + 1] & is_edge[length:])
        starts.append(own)
        ends.append(own + length)
        keys.append(mix64(ngram_hashes(found.hashes, length)[own] + np.uint64(BOUNDED_LENGTH)))
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(keys)


def _boundary_starts(data: np.ndarray) -> np.ndarray:
    single, double, triple = _boundary_codes()
    is_bound = single[data]
    wide = np.flatnonzero(data >= 0xC0)
    if len(wide):
        padded = np.concatenate([data, np.zeros(2, np.uint8)]).astype(np.uint32)
        two = padded[wide] << np.uint32(8) | padded[wide + 1]
        three = two << np.uint32(8) | padded[wide + 2]
        is_bound[wide] = np.isin(two, double) | np.isin(three, triple)
    return is_bound


@cache
def _boundary_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    single, wide = np.zeros(256, bool), {2: list[int](), 3: list[int]()}
    for sign in BOUNDARY_CHARACTERS:
        code = sign.encode()
        if len(code) == 1:
            single[code[0]] = True
        else:
            wide[len(code)].append(int.from_bytes(code))
    return single, np.array(wide[2], np.uint32), np.array(wide[3], np.uint32)


@cache
def match_fold_table() -> np.ndarray:
    """Fold table of words; zero-width characters are ignored like accents."""
    table = fold_table(True, False).copy()
    table[list(ZERO_WIDTH_CHARACTERS)] = SKIP_CODE
    return table


class TestSetsConfig(Config):
    """Which test sets to remove, and what counts as a match."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    testsets: tuple[InputPath, ...] = Field(min_length=1)
    """Artifacts of kind testset, or files of JSON lines."""
    fields: tuple[str, ...] = ("question", "prompt", "input", "problem", "text", "answer")
    """Text fields of JSON lines; the first one present is the question."""
    gram: int = Field(default=NGRAM_WORDS, ge=MIN_WORDS_ANYWHERE)
    """Words of an n-gram [13: GPT-3; 8: PaLM]."""
    share: float = Field(default=0.0, ge=0, le=1)
    """Minimum share of a text's n-grams in a record; 0: a single one [0 with 13: GPT-3; 0.7 with 8:
    PaLM]."""
    action: Literal["document", "span"] = "document"
    """Drop the record, or cut the matches out."""
    margin: int = Field(default=200, ge=0)
    """Characters to cut on either side of a match [GPT-3]."""
    max_pieces: int = Field(default=10, ge=1)
    """Drop a record that would be cut into more pieces [GPT-3]."""
    index: str = ""
    """Folder of the index; empty means the user's cache."""


class TestSets:
    """Drops or cuts records that contain test samples."""

    __test__ = False

    def __init__(self, config: TestSetsConfig) -> None:
        self.config = config
        folder = _build_testset_index(config)
        about = json.loads((folder / "items.json").read_text(encoding="utf-8"))
        keys, owners, bits = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in INDEX_ARRAYS
        )
        items = [SampleText(*row) for row in about.pop("items")]
        self.index = NgramIndex(keys, owners, bits, items, **about)

    def __call__(self, record: Record) -> StepResult:
        words = match_tokens(record.text)
        matches = self.index.find_matches(record.text, words, self.config.share)
        if not matches:
            return PASS
        first = matches[0].item
        samples = sorted({match.item.sample for match in matches})
        details = f"{len(samples)} samples: {', '.join(samples[:3])}"
        named = {match.item.testset: list[str]() for match in matches}
        for testset, sample in sorted({match.item[:2] for match in matches}):
            named[testset] += [sample][: 3 - len(named[testset])]
        reason = f"{REASON} {first.testset}"
        value, metadata = float(len(samples)), {"testset_samples": named}
        if self.config.action == "document":
            return StepResult(reason, value, details)
        edits = self._cut_edits(record.text, words, matches)
        cut = sum(edit.end - edit.start for edit in edits)
        if len(edits) >= self.config.max_pieces or cut >= len(record.text):
            return StepResult(reason, value, f"{details}; little would be left")
        return StepResult(value=value, details=details, edits=edits, metadata=metadata)

    def _cut_edits(
        self, text: str, tokens: HashedTokens, matches: Sequence[SampleMatch]
    ) -> tuple[TextEdit, ...]:
        data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        starts = char_offsets(data, tokens.starts[[match.start for match in matches]])
        ends = char_offsets(data, tokens.ends[[match.end - 1 for match in matches]])
        edits: list[TextEdit] = []
        for start, end, match in zip(starts.tolist(), ends.tolist(), matches, strict=True):
            start = max(0, start - self.config.margin)
            end = min(len(text), end + self.config.margin)
            if edits and start <= edits[-1].end:
                edits[-1] = edits[-1]._replace(end=max(end, edits[-1].end))
            else:
                edits.append(TextEdit(start, end, f"{REASON} {match.item.testset}"))
        return tuple(edits)


def _build_testset_index(config: TestSetsConfig) -> Path:
    """The index folder of these test sets, built if missing.

    Workers that start together each build it in a temporary folder; the first rename wins.
    """
    paths = [_samples_path(path) for path in config.testsets]
    content = [[path.parent.name, path.stem, hash_file(path)] for path in paths]
    name = digest([VERSION, content, list(config.fields), config.gram])[:24]
    root = Path(config.index) if config.index else device.cache_folder() / "decontaminate"
    folder = root / name
    if folder.is_dir():
        return folder
    samples = (
        (path.stem, *sample)
        for path in config.testsets
        for sample in _read_sample_texts(path, config.fields)
    )
    index = build_ngram_index(samples, config.gram)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as scratch:
        own = Path(scratch) / name
        own.mkdir()
        for part in INDEX_ARRAYS:
            with atomic_replace(own / f"{part}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, getattr(index, part))
        about = {"items": index.items, "lengths": index.lengths, "too_short": index.too_short}
        write_json(own / "items.json", about)
        try:
            own.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _samples_path(path: Path) -> Path:
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{path} is not a test set; expected a testset artifact or a file of JSON lines."
        )
    return file


def _read_sample_texts(path: Path, fields: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    if path.is_dir():
        for sample in read_samples(Artifact.open(path)):
            yield sample.id, sample_texts(sample)
        return
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                values = [row.get(field) for field in fields]
                flat = [x for value in values for x in (value if type(value) is list else [value])]
                texts = [text for text in flat if isinstance(text, str)]
            except (ValueError, AttributeError) as error:
                raise DataError(f"{path}, line {number} is not a sample ({error}).") from None
            if not texts:
                raise DataError(
                    f"{path}, line {number} has none of the fields {', '.join(fields)}, but "
                    f"{', '.join(map(str, row))}; set `fields` to those with text."
                )
            yield str(row.get("id", number)), texts
