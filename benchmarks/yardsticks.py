"""Yardsticks: what must stay equal while the package is repaired, renamed and made smaller.

    python benchmarks/yardsticks.py corpora [--keep]       three prepared corpora, by digest
    python benchmarks/yardsticks.py demo RUN [--keep]      a demo's verdicts and losses
    python benchmarks/yardsticks.py headlines [--keep]     eight kept ratios of this class

Without --keep each compares with tests/fixtures/yardsticks and exits with 1 where it differs. The
material of the corpora (Ant's manual, pages and source of this project; Apache-2.0) is a fixture
too, so digests depend on nothing installed. Parity with lm-eval and Transformers has fixtures of
its own: tests/fixtures/lm_eval, results/parity.json.
"""

import argparse
import hashlib
import json
import tarfile
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.table import RESULTS, machine_class
from groundup.core import Artifact, write_json
from groundup.corpus import SPLITS, prepare, read_split_records
from groundup.evaluate import read_report
from groundup.measure import read_verdict

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "yardsticks"
PIPELINES = ("manual", "handbook", "code")
HEADLINES = {
    "attention": ["attention, window 256 of 8,192 tokens, flash causal"],
    "lm_eval": ["evaluation: choice, float32, peer's batch 4"],
    "measures_speed": ["ROUGE-L"],
    "tokenizer": ["training", "encoding, one core"],
    "train": ["training 13.8 M, 8 x 256, bfloat16"],
    "word2vec": ["skip-gram"],
}
"""Results whose first row beginning or ending with these words is a headline."""
VERDICTS = ("verdict-base", "verdict", "verdict-names", "verdict-int8")
SPEEDS = ("seconds", "per second", "_per_second", "mfu")
RELATIVE = 0.10
"""How far a demo's losses may lie from the kept ones: seeds are equal, roundings are not."""


def corpora(names: Sequence[str] = PIPELINES) -> dict[str, Any]:
    """Prepare each corpus of the fixture and digest what it holds, in any order of documents."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        with tarfile.open(FIXTURES / "material.tar.xz") as archive:
            archive.extractall(home, filter="data")
        found = {}
        for name in names:
            pipeline = home / f"{name}.toml"
            pipeline.write_bytes((FIXTURES / f"{name}.toml").read_bytes())
            found[name] = corpus_digest(prepare(pipeline, home / name, workers=1))
    return found


def corpus_digest(corpus: Artifact) -> dict[str, Any]:
    """Counts, licences and one digest a split of what a person or a model would read."""
    counters = json.loads(corpus.file("counters.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {"dropped": dict(sorted(counters["reasons"].items()))}
    for split in SPLITS:
        records = list(read_split_records(corpus, split))
        lines = sorted(f"{record.path}\0{record.text}" for record in records)
        licences = Counter(record.metadata.get("licence", "none") for record in records)
        found[split] = {
            "documents": len(records),
            "characters": sum(len(record.text) for record in records),
            "licences": dict(sorted(licences.items())),
            "sha256": hashlib.sha256("\0\0".join(lines).encode()).hexdigest(),
        }
    return found


def demo(run: Path) -> dict[str, Any]:
    """A demo's verdicts and its models' losses, by the tokens of its step."""
    numbers = {}
    for stage in ("base", "chat", "int8", "xz"):
        manifest = json.loads((run / stage / "manifest.json").read_text(encoding="utf-8"))
        numbers[stage] = {
            name: value
            for name, value in sorted(manifest["numbers"].items())
            if isinstance(value, float) and not name.endswith(SPEEDS)
        }
    text = read_report(Artifact.open(run / "evaluations" / "base-text")).tasks[0].measures[0]
    numbers["base text"] = {"bits per byte": getattr(text.result, "estimate", None)}
    verdicts = {name: read_verdict(Artifact.open(run / name)).outcome for name in VERDICTS}
    tokens = json.loads((run / "step.json").read_text(encoding="utf-8"))["tokens"]
    return {f"{tokens:,} tokens": {
        "machine": machine_class(), "outcome": verdicts, "numbers": numbers,
    }}  # fmt: skip


def headlines() -> dict[str, Any]:
    """The kept ratios of the headline rows that this class of machine measured."""
    found = {}
    for stem, works in HEADLINES.items():
        kept = json.loads((RESULTS / f"{stem}.json").read_text(encoding="utf-8"))
        rows = [row for row in kept.get("rows", []) if row["machine"] == machine_class()]
        for work in works:
            row = next((row for row in rows if work in row["work"]), None)
            name = f"{row['work']} / {row['peer_name']}" if row else f"{work}: not measured here"
            found[f"{stem}: {name}"] = round(row["ratio"], 3) if row else None
    speed = json.loads((RESULTS / "corpus_speed.json").read_text(encoding="utf-8"))["headline"]
    is_here = speed["machine"] == machine_class()
    found["corpus_speed: documents a CPU second / datatrove"] = (
        speed["times_datatrove"]["documents_per_cpu_second"] if is_here else None
    )
    return found


def differences(kept: Any, now: Any, relative: float = 0.0, at: str = "") -> list[str]:
    """Each value that differs, one line a value; floats may differ by a relative amount."""
    if isinstance(kept, dict) and isinstance(now, dict):
        keys = sorted({*kept, *now})
        inner = (differences(kept.get(k), now.get(k), relative, f"{at}.{k}") for k in keys)
        return [line for lines in inner for line in lines]
    numbers = isinstance(kept, float) and isinstance(now, float)
    if kept == now or numbers and abs(now - kept) <= relative * max(abs(kept), 1e-9):
        return []
    return [f"{at[1:]}: kept {kept}, now {now}"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["corpora", "demo", "headlines"])
    parser.add_argument("run", type=Path, nargs="?", help="folder of the demo")
    parser.add_argument("--keep", action="store_true", help="write the fixture")
    return parser.parse_args()


def main() -> int:
    given = parse()
    if given.what == "demo" and not (given.run and (given.run / "verdict").is_dir()):
        raise SystemExit(
            "expected the folder of a demo, such as runs/tiny; make it with `make demo`."
        )
    now = demo(given.run) if given.what == "demo" else globals()[given.what]()
    place = FIXTURES / f"{given.what}.json"
    if given.what == "demo" and place.is_file():  # the other steps stay as they are
        now = json.loads(place.read_text(encoding="utf-8")) | now
    if given.keep:
        write_json(place, now)
        return 0
    if not place.is_file():
        raise SystemExit(f"{place} is not there yet; keep one with --keep on a quiet machine.")
    kept = json.loads(place.read_text(encoding="utf-8"))
    relative = {"corpora": 0.0, "demo": RELATIVE, "headlines": 0.03}[given.what]
    wrong = differences(kept, now, relative)
    print("\n".join(wrong) or f"{given.what}: equal")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
