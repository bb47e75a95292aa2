"""Splits a document into passages, which are slices of its text.

Every visible character of the text is in exactly one passage (with overlap in at least one), so
everything in a file can be found and quoted; only menus, tables of contents and indexes of books
are in none. Unless passages are `fixed`, none crosses a heading, a class, a function or a page of a
PDF, but for short sections, which are merged; fixed ones cross no page.
"""

import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from groundup.core import Config, ConfigError, Hit, Passage, check_choice
from groundup.documents import NAVIGATION, Record, code_sections, rows_of_tables, with_titles

from . import strategies
from .strategies import Embed, Layout
from .structure import Span, TitledSection, section_at, split_pages, split_sections

Strategy = Literal["structure", "fixed", "sentence", "semantic", "parent"]
UNITS: dict[str, strategies.Unit] = {"fixed": "word", "sentence": "sentence"}


class ChunkConfig(Config):
    """How documents are split into passages."""

    max_characters: int = Field(default=1200, ge=100)
    """Maximum characters of a passage."""
    min_characters: int = Field(default=200, ge=0)
    """A section shorter than this is merged with its parent's text if it fits."""
    strategy: Strategy = "structure"
    """structure: paragraphs within a section; fixed: words; sentence: sentences within a section;
    semantic: sentences up to a change of meaning; parent: structure, shown with the text around."""
    overlap: int = Field(default=0, ge=0)
    """Characters of the passage before that a passage repeats, a quarter of its own at most."""
    whole_tables: bool = False
    """Whether structure and parent keep a table that fits even where its rows look like items of a
    list; the other strategies always do."""
    parent_characters: int = Field(default=2400, ge=100)
    """Maximum characters of the text around that the strategy parent shows."""
    percentile: float = Field(default=95.0, gt=0, lt=100)
    """Percentile of a document's distances above which semantic ends a passage."""

    @field_validator("strategy", mode="before")
    @classmethod
    def check_strategy(cls, value: Any) -> Any:
        """Name the strategy that is nearest to an unknown one."""
        return check_choice("strategy", value, get_args(Strategy))

    @model_validator(mode="after")
    def check_sizes(self) -> "ChunkConfig":
        """Compare overlap and parents with the size of a passage."""
        most, around = self.max_characters, self.parent_characters
        if 4 * self.overlap > most:
            raise ConfigError(
                f"overlap={self.overlap} is {self.overlap / most:.0%} of max_characters={most}; "
                f"at most a quarter, {most // 4}: more makes the index larger and "
                "its first passages the same text."
            )
        if self.strategy == "parent" and around <= most:
            raise ConfigError(f"parent_characters={around} must be above max_characters={most}.")
        return self


def chunk_document(
    document: Record, config: ChunkConfig | None = None, embed: Embed | None = None
) -> list[Passage]:
    """Split a document into passages, in the order of its text.

    embed  texts to vectors (texts, width), for the strategy semantic

    Each passage is `document.text[start:end]`, at most `max_characters` long, without white space
    at its ends. A document without visible text has none.

    Raises ConfigError for the strategy semantic without `embed`.
    """
    config, document = config or ChunkConfig(), with_titles(document)
    limit, strategy = config.max_characters - config.overlap, config.strategy
    titles = list(split_sections(document))
    skipped = sorted((start, end) for start, end in document.metadata.get(NAVIGATION, ()))
    tables = rows_of_tables(document, 0, len(document.text))
    if config.whole_tables or strategy not in ("structure", "parent"):
        tables = strategies.whole_tables(document, limit)
    layout = Layout(document, titles, skipped, tables)
    if strategy == "fixed":
        layout = layout._replace(sections=split_pages(document))
    if strategy == "parent":
        parents = _add_titles(
            strategies.split_by_units(layout, config.parent_characters, "block"), titles
        )
        titles = _merge_short(layout, parents, config.min_characters)
        layout = layout._replace(sections=titles)
    spans = _add_titles(_split(layout, config, limit, embed), titles)
    if strategy not in ("fixed", "parent"):
        spans = _merge_short(layout, spans, min(config.min_characters, limit))
    if config.overlap:
        pairs = zip(spans, [-1, *(each.start for each in spans)], strict=False)
        sizes = config.overlap, config.max_characters
        starts = [strategies.earlier_start(layout, *pair, *sizes) for pair in pairs]
        spans = [each._replace(start=at) for each, at in zip(spans, starts, strict=True)]
    passages = [_make_passage(document, span) for span in spans]
    if strategy == "parent":
        parents = (section_at(each.end - 1, titles) for each in passages)
        pairs = zip(passages, parents, strict=True)
        return [replace(each, parent=(around.start, around.end)) for each, around in pairs]
    return passages


def _split(layout: Layout, config: ChunkConfig, limit: int, embed: Embed | None) -> Iterable[Span]:
    if config.strategy != "semantic":
        return strategies.split_by_units(layout, limit, UNITS.get(config.strategy, "block"))
    if embed is None:
        raise ConfigError(
            "strategy=semantic compares sentences by their vectors and needs an encoder: give "
            "--encoder to `groundup index`, or embed to chunk_document."
        )
    return strategies.split_by_meaning(layout, limit, embed, config.percentile)


def _add_titles(spans: Iterable[Span], titles: Sequence[TitledSection]) -> list[TitledSection]:
    return [TitledSection(*span, section_at(span[0], titles).headings) for span in spans]


def _make_passage(document: Record, span: TitledSection) -> Passage:
    id, text = f"{document.id}:{span.start}-{span.end}", document.text[span.start : span.end]
    return Passage(id, document.id, document.path, span.start, span.end, text, span.headings)


def _merge_short(
    layout: Layout, spans: list[TitledSection], min_characters: int
) -> list[TitledSection]:
    """Merge a short span with its parent's or previous sibling's, if both together are short.

    Nothing that is in no passage may lie between them. Definitions of source files keep their own
    passages, whose titles contain their names.
    """
    kind = layout.document.kind
    is_printed = kind == "text" and code_sections(layout.document)  # by pydoc
    if kind == "python" or is_printed or kind == "code" and any(each.headings for each in spans):
        return spans
    skipped = [start for start, _ in layout.skipped]
    merged: list[TitledSection] = []
    for span in spans:
        last = merged[-1] if merged else None
        if (
            last is not None
            and span.end - last.start <= min_characters
            and bisect.bisect_left(skipped, last.end) == bisect.bisect_left(skipped, span.start)
            and span.headings[: len(last.headings)] == last.headings
        ):
            merged[-1] = last._replace(end=span.end)
        else:
            merged.append(span)
    return merged


def count_characters(spans: Iterable[Span]) -> dict[str, int]:
    """Characters of a document's passages, and of the text they cover, where each counts once."""
    ordered = sorted(spans)
    repeated = sum(max(0, before[1] - after[0]) for before, after in pairwise(ordered))
    indexed = sum(end - start for start, end in ordered)
    return {"indexed_characters": indexed, "text_characters": indexed - repeated}


def parent_hits(hits: Sequence[Hit], read_document: Callable[[str], Record]) -> Sequence[Hit]:
    """Hits with the larger passages that are shown for them, each once with its best score.

    read_document  from a document's id

    Hits of other strategies stay as they are.
    """
    shown: dict[str, Hit] = {}
    for passage, score in hits:
        if passage.parent is not None:
            span = TitledSection(*passage.parent, passage.headings)
            passage = _make_passage(read_document(passage.document), span)
        shown.setdefault(passage.id, Hit(passage, score))
    return list(shown.values())
