"""A reader and steps for the engine's tests: one record a line, some of which misbehave."""

import os
import re
import signal
import time
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config
from groundup.corpus.engine.shards import read_shard, write_step_results
from groundup.corpus.mixture import make_derived
from groundup.documents import (
    PASS,
    Record,
    Rejected,
    SourceMap,
    StepResult,
    TextEdit,
    printable_path,
    record_id,
)


class Part(NamedTuple):
    path: str
    start: int
    end: int
    bytes: int


class LinesConfig(Config):
    """None."""


class Lines:
    """Every line of a file is a record; one that begins with `!` cannot be read."""

    def __init__(self, config: LinesConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        files = sorted(root.rglob("*.txt"))
        return [Part(f.relative_to(root).as_posix(), 0, 0, f.stat().st_size) for f in files]

    def read(self, root, part, source):
        if printable_path(part.path) != part.path:
            yield Rejected(printable_path(part.path), "name not UTF-8")
            return
        for number, line in enumerate((root / part.path).read_text().splitlines()):
            path = f"{part.path}#{number}"
            if line == "raise":
                raise ValueError("this file is broken")
            if line == "hang in reading":
                time.sleep(60)
            if line.startswith("!"):
                yield from [Rejected(path, "not a line", line)] * line.count("!")
                continue
            name = line.split()[1] if line.startswith("id ") else path
            if line == "surrogate":
                line = "half \ud800 of it"
            map = SourceMap.identity(line) if line.isprintable() else SourceMap(line, ())
            yield Record(record_id(source, name), source, path, "text", line, map)


WRONG = {
    "wrong reason": StepResult(5),
    "wrong ruling": "dropped",
    "wrong edit": StepResult(edits=((0, 1, "cut"),)),
    "wrong span": StepResult(spans=(("heading", 0, 1, ""),)),
    "wrong put": StepResult(edits=(TextEdit(0, 1, "cut", replacement=None),)),
    "wrong value": StepResult("x", "much"),
    "wrong size": StepResult("x", 10**400),
    "wrong half": StepResult("half \ud800"),
    "wrong metadata": StepResult(metadata=[1]),
}
"""What a faulty step may return."""


class TidyConfig(Config):
    """Settings."""

    word: str = "bad"
    """Removed wherever it stands."""
    short: int = 3
    """Fewest characters."""


class Tidy:
    """Cuts a word, drops what is short, and does what hostile records ask for."""

    def __init__(self, config: TidyConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text = record.text
        if text == "hang":
            "a".join("b" for _ in iter(int, 1))
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if text.startswith("die once ") and not Path(text.split()[2]).exists():
            Path(text.split()[2]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "fail":
            raise RuntimeError("no idea")
        if text.startswith("wrong "):
            return WRONG[text]
        if len(text) < self.config.short:
            return StepResult("too short", float(len(text)))
        found = re.finditer(re.escape(self.config.word), text)
        edits = tuple(TextEdit(*match.span(), "bad word") for match in found)
        return StepResult(edits=edits, metadata={"length": len(text)})


class SlowConfig(Config):
    """Settings."""

    seconds: float = 0.002
    """For each record."""


class Slow:
    """Takes its time."""

    def __init__(self, config: SlowConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        time.sleep(self.config.seconds)
        return PASS


class SameTextConfig(Config):
    """None."""


class SameText:
    """A survey: of equal texts the one with the smallest id stays."""

    def __init__(self, config: SameTextConfig) -> None:
        self.config = config

    def decide(self, shards, each, scratch):
        first: dict[str, str] = {}
        for texts in each(texts_of, shards):
            for text, name in texts:
                first[text] = min(name, first.get(text, name))
        paths = []
        for shard in shards:
            rows = [
                (record.id, StepResult("same text", details=first[record.text]))
                for record in read_shard(shard)
                if first[record.text] != record.id
            ]
            paths.append(write_step_results(scratch / shard.name, rows))
        return paths


def texts_of(shard):
    return [(record.text, record.id) for record in read_shard(shard)]


class TwiceConfig(Config):
    """None."""


class Twice:
    """A derivation: the text in capitals."""

    def __init__(self, config: TwiceConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> list[Record]:
        return [make_derived(record, record.text.upper(), "twice")]
