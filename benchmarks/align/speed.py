"""Tuning beside TRL: fine-tuning, DPO and GRPO of one small Llama, speed and memory of both.

    make oracles                          # TRL (Apache-2.0) in an environment of its own
    python -m benchmarks.align.speed [--works sft dpo grpo] [--rounds 5] [--every]

Each side is a process that runs its own stage or trainer, and waits between steps while the other
computes. Both begin with the same random weights of 13.8 M, read the same conversations, pairs or
prompts, and take steps of AdamW on equally much: 6 x 512 tokens, 16 pairs, or 8 answers of 64
tokens to each of 8 prompts. What is computed once for all steps, DPO's reference, is computed again
for each round's pairs and counts. TRL runs without gradient checkpointing, in the setting that was
fastest here; --every races all of SETTINGS. Results are kept of a run of all works without it.
Memory is the largest resident set after the first steps. Takes ten minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from operator import truediv
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from benchmarks import table
from benchmarks.align.speed_sides import ROWS, Setting
from benchmarks.train.train import SIZES, our_shape
from groundup.align import (
    ImportExamplesConfig,
    PreferencesConfig,
    import_examples,
    import_preferences,
)
from groundup.core import Config, device, produce
from groundup.model import Transformer, save

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER, PAGES = ROOT / "models" / "house-14m", ROOT / "docs"
WORKS = {"sft": "fine-tuning", "dpo": "DPO", "grpo": "GRPO"}
UNITS = {"sft": "conversations/s", "dpo": "pairs/s", "grpo": "answers/s"}
STEPS = {"sft": 4, "dpo": 2, "grpo": 1}  # of a round; one more before the first
PRELOADED = {"tcmalloc": "libtcmalloc_minimal.so.4", "jemalloc": "libjemalloc.so.2"}
PLAIN = (("per_device_train_batch_size", 16),)
SORTED = (*PLAIN, ("train_sampling_strategy", "group_by_length"))
PACKED = (("packing", True), ("per_device_train_batch_size", ROWS))
ALLOCATORS = ("tcmalloc", "ours", "jemalloc", "system")
DTYPES = [Setting(dtype, "tcmalloc") for dtype in ("bfloat16", "float32", "pure")]
SETTINGS = {
    "sft": [Setting("bfloat16", "tcmalloc", each) for each in (SORTED, PLAIN, PACKED)],
    "dpo": [*DTYPES[:1], *(Setting("bfloat16", each) for each in ALLOCATORS[1:]), *DTYPES[1:]],
    "grpo": DTYPES,
}
"""By work, the fastest first."""


class Side:
    """A worker process."""

    def __init__(self, work: str, folder: Path, setting: Setting | None) -> None:
        self.name, self.steps = setting.name if setting else "ours", STEPS[work]
        self.peak, self.cpu, self.seconds, self.parts = 0, list[float](), 0.0, Counter[str]()
        threads = str(device.available_cores())
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1",
                       "OMP_NUM_THREADS": threads}  # fmt: skip
        allocator = setting.allocator if setting else "ours"
        if allocator == "ours":
            environment["GLIBC_TUNABLES"] = device.ALLOCATOR
        elif allocator in PRELOADED:
            environment["LD_PRELOAD"] = PRELOADED[allocator]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as we do
        python = str(peer_python()) if setting else sys.executable
        command = [python, "-m", "benchmarks.align.speed_sides", work, str(folder)]
        command += [json.dumps(setting)] if setting else []
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True,
        )  # fmt: skip
        self.ask(1)

    def ask(self, steps: int) -> tuple[float, float, float, int, dict[str, float]]:
        """Let it take some steps: units, seconds, seconds of processors, peak bytes, parts."""
        assert self.process.stdin and self.process.stdout
        print(steps, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            self.log.seek(0)
            raise SystemExit(f"speed.py: `{self.name}` ended early.\n{self.log.read()[-4000:]}")
        return json.loads(line)

    def __call__(self) -> float:
        """Units a second of one round."""
        units, seconds, cpu, self.peak, parts = self.ask(self.steps)
        self.cpu.append(units / cpu)
        self.seconds += seconds
        self.parts.update(parts)
        return units / seconds


def peer_python() -> Path:
    """The interpreter that has TRL."""
    return ROOT / os.environ.get("ORACLES", ".oracles") / "trl" / "bin" / "python"


def measured(work: str, folder: Path, settings: list[Setting], rounds: int) -> tuple[Any, Any]:
    """Rows and notes of a work."""
    ask = "from importlib.metadata import version; print(version('trl'))"
    version = subprocess.run([peer_python(), "-c", ask], capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory(dir=folder) as own:
        for name in ("model", "examples", "preferences", "tasks.jsonl"):
            (Path(own) / name).symlink_to(folder / name)
        sides = {s.name: s for s in (Side(work, Path(own), each) for each in (None, *settings))}
        speeds = table.alternate(sides, rounds)
        for side in sides.values():
            side.process.communicate()  # ends as its input does
    rows, notes, named = [], {}, f"{WORKS[work]}, 13.8 M"
    for name, side in sides.items():
        shares = {
            part: f"{value / side.seconds:.0%}"
            for part, value in side.parts.items()
            if value > 0.001 * side.seconds
        }
        notes[f"{named}, {name}, share of time"] = shares
        if name == "ours":
            continue
        peer = table.Peer(name, version.strip())
        rows.append(table.compare(named, UNITS[work], speeds["ours"], speeds[name], peer))
        peaks = [[each.peak / 2**20] for each in (sides["ours"], side)]
        rows.append(
            table.compare(f"{named}, peak memory", "MiB", *peaks, peer, less_is_better=True)
        )
        cpu = round(median(map(truediv, sides["ours"].cpu, side.cpu)), 2)
        notes[f"{named}, {name}, ratio by processor time"] = cpu
    return rows, notes


def write_inputs(folder: Path) -> None:
    """A model of random weights, conversations, pairs and prompts of the project's pages."""
    draw = Random(0)
    pages = "\n".join(p.read_text("utf-8") for p in sorted(PAGES.rglob("*.md")))
    words = [word for word in pages.split(" ") if word]

    def text(fewest: int, most: int) -> str:
        count, start = draw.randint(fewest, most), draw.randrange(len(words) - most)
        return " ".join(words[start : start + count])

    def chat(draft: Any) -> None:
        shape = our_shape(SIZES["14M"]).model_copy(update={"context_length": 1024})
        save(Transformer(shape, seed=0), draft.path, TOKENIZER, chat=True)
        template = (TOKENIZER / "chat_template.jinja").read_text("utf-8")
        draft.file("chat_template.jinja").write_text(template, "utf-8")

    produce(folder / "model", kind="model", stage="import", version=1, config=Config(), parents={},
            write=chat)  # fmt: skip
    rows = {
        "sft": [{"prompt": text(5, 30), "completion": text(8, 110)} for _ in range(600)],
        "dpo": [{"prompt": text(5, 30), "chosen": text(8, 110), "rejected": text(8, 110)}
                for _ in range(300)],
        "tasks": [{"prompt": text(10, 30), "answer": text(8, 40)} for _ in range(100)],
    }  # fmt: skip
    for name, own in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in own))
    import_examples(ImportExamplesConfig(), [folder / "sft.jsonl"], folder / "examples")
    import_preferences(PreferencesConfig(), [folder / "dpo.jsonl"], folder / "preferences")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides alternate")
    parser.add_argument("--every", action="store_true", help="all settings of TRL; keep nothing")
    given = parser.parse_args()
    if not peer_python().exists():
        raise SystemExit("speed.py needs TRL; run: make oracles")
    rows, notes = [], {}
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        for work in given.works:
            settings = SETTINGS[work] if given.every else SETTINGS[work][:1]
            found, told = measured(work, Path(folder), settings, given.rounds)
            rows, notes = rows + found, notes | told
            print(
                *(f"{row.work}: {row.ratio:.2f} times {row.peer_name}" for row in found), sep="\n"
            )
    if given.every or {*given.works} < {*WORKS}:
        table.show("align_speed", rows, notes)
    else:
        table.report("align_speed", rows, {table.machine_class(): notes})


if __name__ == "__main__":
    main()
