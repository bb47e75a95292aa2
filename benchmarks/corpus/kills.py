"""`groundup prepare` ends with the same bytes however often it is killed and whoever does the work.

    python -m benchmarks.corpus.kills PAGES [--pages 300] [--kills 20] [--seed 0]

Real pages (web_pages.py) in WARC files go through main text, language, Gopher's, C4's and FineWeb's
filters and MinHash, a survey. First undisturbed with 2 workers; then in another folder, where the
command and all its workers are killed (SIGKILL to the process group) at random moments of its
progress and the same command is started again, until there were so many kills; a run that completes
before them is followed by a new one. Then with 1 and 4 workers, Daft and Daft on a local Ray.
Compared: the artifact's id and the sha256 of every file but the manifest, which holds times. Exits
1 if any differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.corpus.speed import chosen, write_warcs
from benchmarks.corpus.speed import pipeline as pipeline_of
from groundup.core import MANIFEST, hash_file, write_json

ROOT = Path(__file__).resolve().parents[2]

RESULT = ROOT / "benchmarks/results/corpus_kills.json"
SHARDS = 8
RUNNERS = {
    "1 worker": ["--workers", "1"],
    "4 workers": ["--workers", "4"],
    "Daft": ["--runner", "daft", "--workers", "2"],
    "Ray": ["--runner", "ray", "--workers", "2"],
}


class Corpus(NamedTuple):
    """What must be equal."""

    id: str
    files: dict[str, str]
    """Path to sha256."""


def corpus(out: Path) -> Corpus:
    """A complete corpus."""
    files = {
        path.relative_to(out).as_posix(): hash_file(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    return Corpus(json.loads((out / MANIFEST).read_text())["id"], files)


def start(pipeline: Path, out: Path, flags: list[str]) -> "subprocess.Popen[bytes]":
    """Start the command in a process group of its own."""
    command = [sys.executable, "-m", "groundup", "prepare", str(pipeline), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(pipeline.with_suffix(".log"), "ab") as log:
        return subprocess.Popen(
            [*command, *flags], stdout=log, stderr=log, env=environment, start_new_session=True
        )


def finish(pipeline: Path, out: Path, flags: list[str]) -> float:
    """Run the command to its end; returns its seconds."""
    began = time.monotonic()
    if code := start(pipeline, out, flags).wait():
        sys.exit(f"{flags} ended with {code}: {pipeline.with_suffix('.log').read_text()[-2000:]}")
    return time.monotonic() - began


def markers(out: Path) -> Counter[str]:
    """What a run has completed: shards, surveys and whole phases, by phase."""
    try:
        found = list((out / ".scratch/phases").rglob("*.done"))
    except OSError:  # a folder went while it was looked at
        return Counter()
    return Counter(path.relative_to(out).parts[2] for path in found)


def killed(
    pipeline: Path, scratch: Path, number: int, chance: random.Random
) -> Iterator[tuple[Path, Counter[str] | None]]:
    """Yield each kill's folder and markers, and None for each completion, till all are done.

    A kill waits for up to three more markers than there were, then up to a second: the same share
    of the work on a busy machine as on an idle one.
    """
    left, run = number, 0
    while left:
        out = scratch / f"killed{run}"
        while left:
            wanted = sum(markers(out).values()) + chance.randrange(4)
            process = start(pipeline, out, ["--workers", "2"])
            while process.poll() is None and sum(markers(out).values()) < wanted:
                time.sleep(0.02)
            try:
                if process.wait(timeout=chance.uniform(0, 1)):
                    sys.exit(pipeline.with_suffix(".log").read_text()[-2000:])
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                left -= 1
                yield out, markers(out)
        finish(pipeline, out, ["--workers", "2"])
        run += 1
        yield out, None


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="PAGES")
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = carried_out(arguments, Path(folder))
    write_json(RESULT, told)
    print(json.dumps({key: told[key] for key in ("equal", "kills", "completions")}))
    sys.exit(not all(told["equal"].values()))


def carried_out(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All runs, and what of them is equal."""
    warcs, pipeline = scratch / "warcs", scratch / "pipeline.toml"
    found = chosen(arguments.directory, arguments.pages)
    write_warcs(warcs, ((address, path.read_bytes()) for address, path in found), 2)
    shard = sum(path.stat().st_size for path in warcs.iterdir()) // SHARDS + 1
    pipeline.write_text(pipeline_of(warcs, shard))
    seconds = finish(pipeline, scratch / "whole", ["--workers", "2"])
    whole = corpus(scratch / "whole")
    print(f"undisturbed: {seconds:.0f} s, {len(whole.files)} files, {whole.id}", flush=True)
    equal: dict[str, bool] = {}
    states: list[dict[str, int]] = []
    chance = random.Random(arguments.seed)
    completions = 0
    for out, left in killed(pipeline, scratch, arguments.kills, chance):
        if left is None:
            completions += 1
            equal[f"after kills, {completions}"] = corpus(out) == whole
        else:
            states.append(dict(sorted(left.items())))
        print(f"{out.name}: {'complete' if left is None else states[-1]}", flush=True)
    for name, flags in RUNNERS.items():
        took = finish(pipeline, scratch / name.replace(" ", "-"), flags)
        equal[name] = corpus(scratch / name.replace(" ", "-")) == whole
        print(f"{name}: {took:.0f} s, {'equal' if equal[name] else 'DIFFERS'}", flush=True)
    return {
        "date": time.strftime("%Y-%m-%d"), "pages": len(found), "id": whole.id,
        "files": len(whole.files), "kills": arguments.kills, "completions": completions,
        "markers_when_killed": states, "equal": equal,
    }  # fmt: skip


if __name__ == "__main__":
    main()
