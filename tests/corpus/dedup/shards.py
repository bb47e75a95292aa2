"""Shards of small records, and who calls tasks."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet

from groundup.corpus.engine.shards import read_step_results
from groundup.documents import Record, SourceMap, StepResult, record_id, record_schema, to_batch
from tests.train.parallel.processes import CONTEXT

VOCABULARY = [f"word{chr(97 + n % 26)}{n}" for n in range(2_000)]


def record(name: str, text: str, source: str = "s") -> Record:
    return Record(record_id(source, name), source, name, "text", text, SourceMap.identity(text))


def write(records: Sequence[Record], folder: Path, shards: int = 2) -> list[Path]:
    """Deal the records out to shards."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for at in range(shards):
        path = folder / f"part-{at}.parquet"
        table = pyarrow.Table.from_batches([to_batch(records[at::shards])], schema=record_schema())
        parquet.write_table(table, path, row_group_size=7)
        paths.append(path)
    return paths


def here(task, items):
    return [task(item) for item in items]


def pooled(task, items):
    with CONTEXT.Pool(2) as pool:
        return pool.map(task, items)


def survey(step, records: Iterable[Record], folder: Path, shards: int = 2, each=here):
    """Rulings by id of a survey over records."""
    paths = write(list(records), folder / "shards", shards)
    found: dict[str, StepResult] = {}
    for path in step.decide(paths, each, folder / "scratch"):
        found |= read_step_results(path)
    return found


def dropped(rulings: dict[str, StepResult]) -> dict[str, str]:
    return {name: ruling.reason for name, ruling in rulings.items() if ruling.reason}


def words(seed: int, count: int = 200) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def edited(text: str, changes: int, seed: int = 0) -> str:
    parts, chance = text.split(), random.Random(seed)
    for place in chance.sample(range(len(parts)), changes):
        parts[place] = f"changed{chance.random():.9f}".replace(".", "x")
    return " ".join(parts)


def family(seed: int) -> list[Record]:
    """Some texts with their close and distant relatives, two sources."""
    found = []
    for number in range(8):
        base = words(100 * seed + number, 150)
        found += [record(f"{number}/base", base), record(f"{number}/same", base + "\n", "other")]
        found += [record(f"{number}/{n}", edited(base, n, n), "other") for n in (1, 2, 3, 5, 9, 60)]
    return found
