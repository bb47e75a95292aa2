"""Memory of the surveys by the number of records: who holds what while millions are compared.

    python -m benchmarks.corpus.memory [--thousands 100 1000 3000] [--workers 2]

A survey's tables grow with records and not with their texts, so texts here are a line of 16 made-up
words and three million of them are soon made; as pages of 3,500 characters they would be 10 GB. One
in ten is the same as an earlier one or differs from it in one word, so that something is found. The
surveys run one after another in the engine's pool: duplicate ids, dedup.exact, dedup.minhash and
web.site_lines (a site is a hundred records). Twenty times a second each process is looked at;
told are the peaks of the parent and of the largest worker, shared pages and those of mapped files
included, and what of them is the processes' own. Each size has a process of its own.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import write_json
from groundup.corpus.dedup.exact import ExactConfig, ExactDedup, UniqueIds, UniqueIdsConfig
from groundup.corpus.dedup.minhash import MinHashConfig, MinHashDedup
from groundup.corpus.engine.executors import WorkerPool
from groundup.corpus.quality.sites import SiteLines, SiteLinesConfig

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks/results/corpus_memory.json"
SHARD_RECORDS = 20_000
WORDS, VOCABULARY = 16, 50_000
SITE_RECORDS = 100
SURVEYS = {
    "duplicate ids": (UniqueIds, UniqueIdsConfig),
    "dedup.exact": (ExactDedup, ExactConfig),
    "dedup.minhash": (MinHashDedup, MinHashConfig),
    "web.site_lines": (SiteLines, SiteLinesConfig),
}


def texts(shard: int, count: int) -> Iterator[str]:
    """Yield lines of made-up words, one in ten after another of the same shard."""
    words = [f"w{number:x}" for number in range(VOCABULARY)]
    chance = np.random.default_rng(shard)
    rows = chance.integers(0, VOCABULARY, (count, WORDS))
    for row in range(10, count, 10):
        rows[row] = rows[row - 1 - row // 10 % 2]
        rows[row, 0] += row // 10 % 2  # every second copy has another first word
    for row in (rows % VOCABULARY).tolist():
        yield " ".join(map(words.__getitem__, row))


def write_shards(folder: Path, records: int) -> list[Path]:
    """Shards with the columns that surveys read."""
    import pyarrow
    import pyarrow.parquet as parquet

    paths = []
    for shard in range(-(-records // SHARD_RECORDS)):
        count = min(SHARD_RECORDS, records - shard * SHARD_RECORDS)
        names = [f"{shard}/{row}" for row in range(count)]
        table = {
            "id": [hashlib.blake2b(n.encode(), digest_size=16).hexdigest() for n in names],
            "source": ["made"] * count,
            "path": [f"{shard}/{row // SITE_RECORDS}/{row}" for row in range(count)],
            "text": list(texts(shard, count)),
            "metadata": ["{}"] * count,
        }
        paths.append(folder / f"{shard:05d}.parquet")
        parquet.write_table(pyarrow.table(table), paths[-1], row_group_size=1_000)
    return paths


class Watch:
    """Peaks of this process and of its children, by what it is doing."""

    def __init__(self) -> None:
        self.doing = ""
        self.peaks: dict[str, dict[str, float]] = {}
        threading.Thread(target=self.look, daemon=True).start()

    def look(self) -> None:
        """Look at every process, for ever."""
        import psutil

        me = psutil.Process()
        while True:
            found: dict[str, float] = {}
            for one in [me, *me.children()]:
                try:
                    used = one.memory_info()
                except psutil.Error:
                    continue
                who = "parent" if one is me else "worker"
                for name, size in (("", used.rss), (" own", used.rss - used.shared)):
                    found[who + name] = max(found.get(who + name, 0), round(size / 1e6))
            peaks = self.peaks.setdefault(self.doing, {})
            for name, size in found.items():
                peaks[name] = max(peaks.get(name, 0), size)
            time.sleep(0.05)


def measured(records: int, workers: int) -> dict[str, Any]:
    """Peaks of every survey over so many records, and what each found."""
    with tempfile.TemporaryDirectory() as folder, WorkerPool(workers) as each:
        shards = write_shards(Path(folder), records)
        watch, told = Watch(), {}
        for name, (survey, config) in SURVEYS.items():
            watch.doing, start = name, time.perf_counter()
            scratch = Path(folder) / name
            scratch.mkdir()
            survey(config()).rulings(shards, each, scratch)
            report = scratch / "report.json"
            dropped = json.loads(report.read_text())["dropped"] if report.exists() else 0
            told[name] = {"seconds": round(time.perf_counter() - start, 1), "dropped": dropped}
        watch.doing = "end"
        return {name: told[name] | watch.peaks[name] for name in told}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--thousands", type=int, nargs="*", default=[100, 1_000, 3_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one", type=int, metavar="RECORDS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one, arguments.workers)))
        return
    rows = {}
    for thousands in arguments.thousands:
        flags = ["--one", str(thousands * 1_000), "--workers", str(arguments.workers)]
        command = [sys.executable, "-m", "benchmarks.corpus.memory", *flags]
        said = subprocess.run(command, check=True, capture_output=True)
        rows[thousands * 1_000] = json.loads(said.stdout.splitlines()[-1])
        for name, row in rows[thousands * 1_000].items():
            print(f"{thousands * 1_000:10,} {name:15} {row}", flush=True)
        write_json(RESULT, {"date": time.strftime("%Y-%m-%d"), "records": rows})


if __name__ == "__main__":
    main()
