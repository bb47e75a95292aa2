"""A dry run: some records of each source, shown before and after every step.

Nothing of the result is written: one JSON line for each record and step, which a page shows side by
side. Surveys see the sample alone, so of duplicates in all of a source they find few.
"""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import replacing
from groundup.documents import Named, Record, judge, plain_json

from ..engine.job import KEPT, Ruled, Use, complete, made, originals
from ..engine.rulings import read_rulings
from ..engine.shards import shard_path, writing
from .inputs import Found, origins
from .pipeline import Pipeline, uses
from .steps import is_survey
from .write import HAS_TEXT

SAMPLE_FILE = "dry-run.jsonl"
TEXT_CHARACTERS = 200_000
"""Characters of a text that are shown."""


class Shown(NamedTuple):
    """One record at one step."""

    id: str
    source: str
    path: str
    kind: str
    step: str
    before: str
    """The text as the step saw it."""
    after: str
    """As it left it; empty if the record was dropped."""
    reason: str
    """Why it was dropped; empty if it was not."""
    removed: list[dict[str, Any]]
    """What was taken, as `groundup.documents.Removal`."""
    metadata: dict[str, Any]
    """What the step added."""


def sample(config: Pipeline, found: Sequence[Found], out: Path, records: int) -> Path:
    """Take some records of each source through all steps; returns where the lines were written."""
    some = [record for one in found for record in first(config, one, records)]
    rows: list[Shown] = []
    for use in (*uses(config.steps), HAS_TEXT):
        judged = surveyed(use, some) if is_survey(use.target) else made(use)
        named, left = Named(use.name, judged, use.concerns), []
        for record in some:
            if use.concerns(record):
                row, after = show(named, record)
                rows.append(row)
                left += after
            else:
                left.append(record)
        some = left
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / SAMPLE_FILE) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(plain_json(row._asdict()).encode("utf-8", "replace").decode() + "\n")
    return out / SAMPLE_FILE


def read_sample(path: Path) -> Iterator[Shown]:
    """Yield what a dry run showed, in the order of steps, then of records."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield Shown(**json.loads(line))


def first(config: Pipeline, one: Found, records: int) -> list[Record]:
    """The first records of a source that can be read."""
    found: list[Record] = []
    for origin in origins([one], config.shard_bytes):
        good = (record for _, record in originals(origin, {}) if isinstance(record, Record))
        found += itertools.islice((complete(record, origin) for record in good), records)
        if len(found) >= records:
            break
    return found[:records]


def show(named: Named, record: Record) -> tuple[Shown, list[Record]]:
    """A record at a step, and what is left of it."""
    judged = judge((named,), (record,))
    after = judged.kept[0] if judged.kept else None
    dropped = next((one.reason for one in judged.removed if one.what == "record"), "")
    old = record.metadata
    added = {k: v for k, v in after.metadata.items() if old.get(k) != v} if after else {}
    row = Shown(
        record.id, record.source, record.path, record.kind, named.name,
        record.text[:TEXT_CHARACTERS], after.text[:TEXT_CHARACTERS] if after else "", dropped,
        [one._asdict() for one in judged.removed], added,
    )  # fmt: skip
    return row, judged.kept


def surveyed(use: Use, records: Sequence[Record]) -> Ruled:
    """What a survey rules about a sample alone."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "shards"
        folder.mkdir()
        with writing(folder, 0) as writer:
            writer.open(KEPT)
            for record in records:
                if use.concerns(record):
                    writer.put(KEPT, record)
            writer.finish()
        inner = Path(scratch) / "survey"
        inner.mkdir()
        (path,) = made(use).rulings([shard_path(folder, 0, KEPT)], here, inner)
        return Ruled(read_rulings(path))


def here(
    task: Callable[[Any], Any],
    items: Sequence[Any],
    done: Callable[[Any], None] = lambda result: None,
) -> list[Any]:
    """An `Each` in this process."""
    return [task(item) for item in items]
