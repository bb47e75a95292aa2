"""Speed and memory of the corpus engine: 1 and 10 times the input; pool, Daft and Daft on Ray.

    python -m benchmarks.corpus.engine [--megabytes 8] [--workers 2] [--runners pool,daft,ray]

Input is made with a fixed seed: lines of words, one record each, in files of 1 MB, so that the
engine's own work (reading, judging, Arrow, Parquet, hashing) is what takes the time. Two steps: one
counts words and cuts a word, one drops short records. Memory is the largest sum of the resident
sizes of all processes of a run and of its largest process, looked at ten times a second; pages that
processes share are counted in each.
"""

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config
from groundup.corpus.engine.executors import open_executor
from groundup.corpus.engine.job import JobInput
from groundup.corpus.engine.run import RunPlan, run_plan
from groundup.corpus.engine.specs import StepSpec
from groundup.documents import (
    Record,
    SourceMap,
    StepResult,
    TextEdit,
    record_id,
)

ROOT = Path(__file__).resolve().parents[2]

HERE = "benchmarks.corpus.engine"
SHARD_FILES = 2
MARKED = re.compile(r"\bspam\b ?")


class Part(NamedTuple):
    path: str
    start: int
    end: int
    bytes: int


class Nothing(Config):
    """No settings."""


class Lines:
    """A record a line."""

    def __init__(self, config: Nothing) -> None:
        self.config = config

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record]:
        with open(root / part.path, encoding="utf-8") as file:
            for number, line in enumerate(file):
                path, text = f"{part.path}#{number}", line[:-1]
                map = SourceMap.identity(text)
                yield Record(record_id(source, path), source, path, "text", text, map)


class Cut:
    """Cuts a word wherever it stands and counts words."""

    def __init__(self, config: Nothing) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        edits = tuple(TextEdit(*match.span(), "marked") for match in MARKED.finditer(record.text))
        return StepResult(edits=edits, metadata={"words": record.text.count(" ") + 1})


class Short:
    """Drops records of fewer than 40 words."""

    def __init__(self, config: Nothing) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        words = record.metadata["words"]
        return StepResult("too short", words) if words < 40 else StepResult()


def write_input(root: Path, megabytes: int) -> None:
    """Files of 1 MB: lines of 20 to 400 words of a vocabulary of 5,000, one word in 200 marked."""
    chance = random.Random(0)
    words = [
        "".join(chance.choices("etaoinshrdlu", k=chance.randrange(2, 10))) for _ in range(5000)
    ]
    words += ["spam"] * 25
    lines: list[str] = []
    for number in range(megabytes):
        size, lines = 0, []
        while size < 1_000_000:
            lines.append(" ".join(chance.choices(words, k=chance.randrange(20, 400))) + "\n")
            size += len(lines[-1])
        (root / f"{number:05d}.txt").write_text("".join(lines))


def plan_of(root: Path) -> RunPlan:
    """The benchmark's plan over a folder."""
    parts = [Part(p.name, 0, 0, p.stat().st_size) for p in sorted(root.glob("*.txt"))]
    reader = StepSpec("00 read", f"{HERE}:Lines")
    origins = tuple(
        JobInput("lines", str(root), reader, tuple(parts[at : at + SHARD_FILES]))
        for at in range(0, len(parts), SHARD_FILES)
    )
    return RunPlan(
        origins, (StepSpec("01 cut", f"{HERE}:Cut"), StepSpec("02 short", f"{HERE}:Short"))
    )


def child(root: str, out: str, name: str, workers: int) -> None:
    """One run, whose figures go to stdout as JSON."""
    with open_executor(name, workers) as each:
        each(os.path.basename, ["a"] * 2 * workers)  # workers and clusters are up before the clock
        started = time.perf_counter()
        ran = run_plan(plan_of(Path(root)), Path(out), each)
        seconds = time.perf_counter() - started
    records = sum(done.counters["00 read|in"] for done in ran.jobs[0])
    digest = hashlib.sha256()
    for path in sorted(Path(out).rglob("*.parquet")):
        digest.update(path.read_bytes())
    print(json.dumps({"records": records, "seconds": seconds, "digest": digest.hexdigest()[:12]}))


def measure(root: Path, name: str, workers: int) -> dict[str, float | str]:
    """One run in processes of its own, its memory looked at."""
    import psutil

    with tempfile.TemporaryDirectory() as scratch:
        call = f"from {HERE} import child; child(*{(str(root), scratch + '/out', name, workers)})"
        process = subprocess.Popen(
            [sys.executable, "-c", call], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        peak = {"all_mb": 0.0, "largest_mb": 0.0}
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.1):
                sizes = []
                for one in family(psutil.Process(process.pid)):
                    try:
                        sizes.append(one.memory_info().rss / 1e6)
                    except psutil.Error:
                        continue
                peak["all_mb"] = max(peak["all_mb"], sum(sizes))
                peak["largest_mb"] = max([peak["largest_mb"], *sizes])

        thread = threading.Thread(target=look)
        thread.start()
        said = process.communicate()[0]
        ended.set()
        thread.join()
    return json.loads(said.splitlines()[-1]) | {k: round(v, 1) for k, v in peak.items()}


def family(process: "psutil.Process") -> list["psutil.Process"]:  # noqa: F821
    """A process and all below it."""
    import psutil

    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runners", default="pool,daft,ray")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {chosen.workers} workers")
    print("runner    MB   records  records/s   peak MB (all, largest)  digest")
    for name in chosen.runners.split(","):
        for times in (1, 10) if name == "pool" else (1,):
            with tempfile.TemporaryDirectory() as root:
                write_input(Path(root), times * chosen.megabytes)
                got = measure(Path(root), name, chosen.workers)
            rate = got["records"] / got["seconds"]
            print(
                f"{name:6}{times * chosen.megabytes:6}{got['records']:10,}{rate:11,.0f}"
                f"{got['all_mb']:12,.0f}{got['largest_mb']:8,.0f}      {got['digest']}",
                flush=True,
            )


if __name__ == "__main__":
    main()
