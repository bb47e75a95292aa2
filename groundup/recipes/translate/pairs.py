"""Sentence pairs from a manual that lies in two languages: same page, same element, same place.

A translated page keeps the elements of its original (Mallard, DocBook's HTML), so the n-th
paragraph of one is the n-th of the other. Pages whose elements differ are left out whole. Within a
paragraph sentences pair where both sides have as many. What was not translated, has no words, is
much longer on one side or too long is left out. Whole pages are held out, and of them no source
that training has seen.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from groundup.core import Artifact, Config, DataError, Draft, digest, produce, write_text

SPLITS = ("train", "validation", "test")
ENDINGS = (".page", ".html", ".xhtml", ".htm", ".xml")
BLOCKS = frozenset(
    "title desc p h1 h2 h3 h4 h5 h6 li td th dt dd item div para simpara caption".split()
)
LEFT_OUT = frozenset(
    "script style pre screen code-block credit mal:credit noscript nav aside footer".split()
)
"""Code, credits, and what every page of a site has around its text."""
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[^\W\d_]|[¿¡\"“«„(])")
WORD = re.compile(r"[^\W\d_]{2,}")


class PairsConfig(Config):
    """Which pairs are kept, and how many are held out."""

    longest: int = Field(default=200, ge=1)
    """Characters of a sentence."""
    ratio: float = Field(default=2.0, gt=1)
    """How many times longer one side may be; under 20 characters it does not matter."""
    held_out: int = Field(default=10, ge=3)
    """Of so many pages one is for testing and one for validation."""
    source_digest: str = ""
    """Hash of the pairs; filled in by the stage."""


class SentencePair(NamedTuple):
    """A sentence and its translation."""

    page: str
    source: str
    target: str


class Block(NamedTuple):
    """The text of one element."""

    tag: str
    text: str


class PairCollection(NamedTuple):
    """The pairs of two folders, and why there are not more."""

    pairs: list[SentencePair]
    counts: dict[str, int]


class PageParser(HTMLParser):
    """Gathers the blocks of a page; forgives what is not well formed, expands no entities."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.tag, self.text, self.depth = "", list[str](), 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A block begins, and ends the one around it."""
        self.depth += tag in LEFT_OUT
        if tag in BLOCKS or tag in LEFT_OUT:
            self.flush(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An empty element holds no text."""

    def handle_endtag(self, tag: str) -> None:
        """A block ends."""
        self.depth = max(0, self.depth - (tag in LEFT_OUT))
        if tag in BLOCKS or tag in LEFT_OUT:
            self.flush("")

    def handle_data(self, data: str) -> None:
        """Text within a block."""
        if self.tag and not self.depth:
            self.text.append(data)

    def flush(self, tag: str) -> None:
        """Close the block that is open, and open another."""
        text = " ".join("".join(self.text).split())
        if text:
            self.blocks.append(Block(self.tag, text))
        self.tag, self.text = tag if tag in BLOCKS else "", []


def _blocks_of(text: str) -> list[Block]:
    """The elements of a page that have text, in order.

    >>> _blocks_of("<p>Press <key>Tab</key>.</p><item><p>Wait</p></item>")
    [Block(tag='p', text='Press Tab.'), Block(tag='p', text='Wait')]
    """
    parser = PageParser()
    parser.feed(text)
    parser.close()
    parser.flush("")
    return parser.blocks


def _find_pairs(source: Path, target: Path, config: PairsConfig) -> PairCollection:
    """The pairs of two folders, each once, in order of pages.

    Raises DataError if a folder is missing or no page is in both.
    """
    for folder in (source, target):
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; give one folder of pages a language.")
    counts: Counter[str] = Counter()
    pairs: dict[tuple[str, str], SentencePair] = {}
    for path in sorted(p for p in source.rglob("*") if p.suffix in ENDINGS and p.is_file()):
        page = path.relative_to(source)
        other = target / page
        if not other.is_file():
            counts["pages in one language"] += 1
            continue
        sides = _blocks_of(read(path)), _blocks_of(read(other))
        if [block.tag for block in sides[0]] != [block.tag for block in sides[1]]:
            counts["pages with other elements"] += 1
            continue
        counts["pages"] += 1
        for left, right in sentences(*sides):
            if reason := _fault(left, right, config):
                counts[reason] += 1
            else:
                pairs.setdefault((left, right), SentencePair(page.as_posix(), left, right))
    if not pairs:
        raise DataError(
            f"{source} and {target} share no page of the same elements ({dict(counts)}); "
            f"expected the same file names ({', '.join(ENDINGS)}) under both."
        )
    return PairCollection(list(pairs.values()), dict(counts))


def read(path: Path) -> str:
    """A page's text; bytes that are not UTF-8 become U+FFFD."""
    return path.read_text(encoding="utf-8", errors="replace")


def sentences(left: Sequence[Block], right: Sequence[Block]) -> Iterator[tuple[str, str]]:
    """Yield the sentences of equal blocks, or the blocks where their numbers differ."""
    for a, b in zip(left, right, strict=True):
        parts = SENTENCE.split(a.text), SENTENCE.split(b.text)
        if len(parts[0]) == len(parts[1]):
            yield from zip(*parts, strict=True)
        else:
            yield a.text, b.text


def _fault(left: str, right: str, config: PairsConfig) -> str:
    """Why a pair is left out; empty if it is good.

    >>> _fault("Open the window.", "Open the window.", PairsConfig())
    'untranslated'
    """
    if left == right:
        return "untranslated"
    if not WORD.search(left) or not WORD.search(right):
        return "without words"
    short, long = sorted((len(left), len(right)))
    if long > config.longest:
        return "too long"
    return "of unlike length" if long >= 20 and long > config.ratio * short else ""


def _split_of(page: str, held_out: int) -> str:
    """The split of a page: decided by its name alone."""
    number = int(digest(["translate", page])[:8], 16) % held_out
    return {0: "test", 1: "validation"}.get(number, "train")


def _split_pairs(pairs: Sequence[SentencePair], held_out: int) -> dict[str, list[SentencePair]]:
    """The pairs of each split; what training has seen as a source is not held out."""
    parts: dict[str, list[SentencePair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        parts[_split_of(pair.page, held_out)].append(pair)
    seen = {pair.source for pair in parts["train"]}
    for name in SPLITS[1:]:
        parts[name] = [pair for pair in parts[name] if pair.source not in seen]
        seen |= {pair.source for pair in parts[name]}
    return parts


def make_pairs(config: PairsConfig, source: Path, target: Path, out: Path) -> Artifact:
    """Pair two folders; one JSON line a pair in train.jsonl, validation.jsonl and test.jsonl.

    Raises DataError if a split is empty.
    """
    found = _find_pairs(source, target, config)
    config = config.model_copy(update={"source_digest": digest([list(p) for p in found.pairs])})
    parts = _split_pairs(found.pairs, config.held_out)
    if empty := [name for name in SPLITS if not parts[name]]:
        raise DataError(
            f"{len(found.pairs)} pairs leave {' and '.join(empty)} empty; give more pages, or "
            "another held_out."
        )

    def write(draft: Draft) -> None:
        for name, part in parts.items():
            rows = [json.dumps(pair._asdict(), ensure_ascii=False) + "\n" for pair in part]
            write_text(draft.file(f"{name}.jsonl"), "".join(rows))
        draft.numbers |= {name: len(part) for name, part in parts.items()} | {
            "left out": found.counts
        }

    return produce(
        out, kind="documents", stage="pairs", version=1, config=config, parents={}, write=write
    )


def read_pairs(pairs: Artifact, split: str) -> list[SentencePair]:
    """The pairs of a split."""
    lines = pairs.file(f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [SentencePair(**json.loads(line)) for line in lines]
