"""Decontamination: drops records that contain test samples, or cuts the matches out.

matching.py defines a match. The hashes of all samples are in index files named by their content,
built once and memory-mapped by every worker. Reasons name the test set, so the log of removals is
the report of hits. To check a finished model, see lineage.py.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (200 characters, ten pieces).
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    DataError,
    InputPath,
    atomic_replace,
    device,
    digest,
    hash_file,
    write_json,
)
from groundup.documents import PASS, Record, StepResult, TextEdit
from groundup.measure import read_samples

from ..dedup.sketch import HashedTokens, char_offsets
from .matching import (
    MIN_WORDS_ANYWHERE,
    NGRAM_WORDS,
    NgramIndex,
    SampleMatch,
    SampleText,
    build_ngram_index,
    match_tokens,
    sample_texts,
)

VERSION = 3
INDEX_ARRAYS = ("keys", "owners", "filter")
REASON = "test set"


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
        """Decide on one record."""
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
        edits = self.cut_edits(record.text, words, matches)
        if len(edits) >= self.config.max_pieces or _covers_text(edits, len(record.text)):
            return StepResult(reason, value, f"{details}; little would be left")
        return StepResult(value=value, details=details, edits=edits, metadata=metadata)

    def cut_edits(
        self, text: str, tokens: HashedTokens, matches: Sequence[SampleMatch]
    ) -> tuple[TextEdit, ...]:
        """Edits of the matches with their margins, merged where they touch."""
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


def _covers_text(edits: Sequence[TextEdit], length: int) -> bool:
    """Whether the edits cover the complete text."""
    return sum(edit.end - edit.start for edit in edits) >= length


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
    index = build_ngram_index(
        (
            (path.stem, *sample)
            for path in config.testsets
            for sample in _read_sample_texts(path, config.fields)
        ),
        config.gram,
    )
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
    """The file of a test set's samples; DataError if missing."""
    file = path / "samples.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{path} is not a test set; expected a testset artifact or a file of JSON lines."
        )
    return file


def _read_sample_texts(path: Path, fields: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield id and texts of every sample, the question first."""
    if path.is_dir():
        for sample in read_samples(Artifact.open(path)):
            yield sample.id, sample_texts(sample)
        return
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                texts = [text for field in fields for text in _as_strings(row.get(field))]
            except (ValueError, AttributeError) as error:
                raise DataError(f"{path}, line {number} is not a sample ({error}).") from None
            if not texts:
                raise DataError(
                    f"{path}, line {number} has none of the fields {', '.join(fields)}, but "
                    f"{', '.join(map(str, row))}; set `fields` to those with text."
                )
            yield str(row.get("id", number)), texts


def _as_strings(value: Any) -> list[str]:
    """The strings of a field: itself, or those in a list."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
