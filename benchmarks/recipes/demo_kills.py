"""A run that is killed again and again ends with the same bytes as one left alone.

    python -m benchmarks.recipes.demo_kills [--kills 20] [--seed 0] [--tokens 2000000] \
        [--depth 2] [--epochs 0.4]

Runs a small `groundup run tiny` undisturbed, then once more in another folder, killed with
`kill -9` and started again with the same command until it completes. Each kill is aimed at one
stage, drawn by its share of the time, and falls at a random moment of it. If a run completes before
the last kill, another one takes the rest. Then every artifact's id and the weights' sha256 are
compared; of the report, which holds times, the key. Exits 1 if anything differs.

Training saves every 15 seconds. Where a stage takes longer, kills fall after a checkpoint too, and
the table names its step: more `--tokens` for base, more `--epochs` for chat.

    --undisturbed DIR   compare with this earlier run of the same flags (it saves a run)
    --out DIR           keep the runs here; by default they are removed once they are equal
"""

import argparse
import datetime
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MANIFEST, hash_file, record, write_json

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "corpus", "tokenizer", "tokens", "base", "examples", "chat", "int8", "manual", "index",
    "questions", "names", "xz", "evaluations/base-text", "evaluations/chat-answers",
    "evaluations/chat-names", "evaluations/int8-text", "evaluations/int8-answers", "compared",
    "verdict-base", "verdict", "verdict-names", "verdict-int8", "report",
)  # fmt: skip
MODELS = ("base", "chat", "int8")
FINISHED = (0, 3)
"""Done, or done with failed gates, as a model must that has seen so little."""
STARTUP_SECONDS = 5.0
"""Imports and checks of what is complete, in which a kill may fall too."""
POLL_SECONDS = 0.003


class Kill(NamedTuple):
    """One kill and what it left."""

    number: int
    run: int
    """Which run it fell in; the first has all of them unless it completed early."""
    seconds: float
    """Into the run: time under the same command, starts again included."""
    stage: str
    """The first stage that was not complete; `end` after the last."""
    step: int
    """Of the newest checkpoint; 0 if the stage had none."""
    manifests: dict[str, str]
    """Hash of the manifest of every complete stage; it holds times, so making again shows."""
    metrics: list[dict[str, Any]]
    """What the stage had logged before the checkpoint's step; rows hold times as well."""
    resumed: bool = False
    """What was complete was kept to the byte, and training went on from the checkpoint."""


def manifest(out: Path, stage: str) -> Path | None:
    """The manifest of a complete stage; None if it is not complete."""
    if stage == "index":
        current = out / "index" / "ledger" / "current.jsonl"
        found = sorted((out / "index" / "snapshots").glob(f"*/{MANIFEST}"))
        return found[0] if found and current.is_file() else None
    place = out / stage / MANIFEST
    return place if place.is_file() else None


def current(out: Path) -> str:
    """The first stage that is not complete."""
    return next((stage for stage in STAGES if manifest(out, stage) is None), "end")


def seconds_of(out: Path) -> dict[str, float]:
    """How long every stage of a complete run took."""
    return {stage: read(out, stage)["seconds"] for stage in STAGES}


def read(out: Path, stage: str) -> dict[str, Any]:
    """A stage's manifest; an exit that names the stage if there is none."""
    place = manifest(out, stage)
    if place is None:
        raise SystemExit(f"{out} has no complete {stage}; expected a complete run.")
    return json.loads(place.read_text(encoding="utf-8"))


def aims(count: int, lasts: dict[str, float], chance: random.Random) -> list[str]:
    """Which stage each kill is aimed at, in order: as often as by its share of the run's time.

    >>> aims(4, {"short": 1.0, "long": 50.0}, random.Random(0))
    ['long', 'long', 'long', 'long']
    """
    stages = list(lasts)
    return sorted(chance.choices(stages, list(lasts.values()), k=count), key=stages.index)


class Run:
    """One folder and the command that fills it, as often as it takes."""

    def __init__(self, out: Path, flags: list[str]) -> None:
        self.out = out
        self.command = [sys.executable, "-m", "groundup", "run", "tiny", "--out", str(out), *flags]
        self.log, self.seconds = out.with_suffix(".log"), 0.0

    def start(self) -> subprocess.Popen:
        """Start the command, its words going to a log beside the folder."""
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def finish(self) -> None:
        """Run the command to its end."""
        started = time.monotonic()
        self.ended(self.start().wait())
        self.seconds += time.monotonic() - started

    def ended(self, code: int) -> None:
        """Exit with the log's last lines if the command failed by itself."""
        if code not in FINISHED:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise SystemExit(f"The run in {self.out} ended with code {code}:\n{last}")

    def kill(self, aim: str, within: float) -> bool:
        """Run the command, kill it in or after a stage; False if it ended before."""
        started, process = time.monotonic(), self.start()
        since = None
        while process.poll() is None:
            now = time.monotonic()
            if since is None and passed(current(self.out), aim):
                since = now
            if since is not None and now - since >= within:
                process.kill()
                break
            time.sleep(POLL_SECONDS)
        code = process.wait()
        self.seconds += time.monotonic() - started
        if code == -9:
            return True
        self.ended(code)
        return False


def passed(stage: str, aim: str) -> bool:
    """Whether a run has come to the stage that is aimed at."""
    return stage == "end" or STAGES.index(stage) >= STAGES.index(aim)


def killed(run: Run, number: int, lasts: dict[str, float], chance: random.Random) -> Iterator[Kill]:
    """Kill a run up to so many times, then let it complete; yield each kill as it falls."""
    for count, aim in enumerate(aims(number, lasts, chance)):
        now = current(run.out)
        stage = now if now in lasts and passed(now, aim) else aim
        startup = STARTUP_SECONDS if passed(now, aim) else 0.0
        if not run.kill(aim, chance.uniform(0, startup + lasts[stage])):
            return
        yield left(run, count)
    run.finish()


def left(run: Run, count: int) -> Kill:
    """What a killed run left; its process is gone, so nothing moves."""
    stage = current(run.out)
    complete = {name: manifest(run.out, name) for name in STAGES}
    hashes = {name: hash_file(place) for name, place in complete.items() if place}
    scratch = run.out / stage / ".scratch"
    steps = [int(place.name.removeprefix("step-")) for place in scratch.glob("step-*")]
    step = max(steps, default=0)
    metrics = earlier(scratch / "metrics.jsonl", step) if step else []
    return Kill(count, 0, run.seconds, stage, step, hashes, metrics)


def earlier(metrics: Path, step: int) -> list[dict[str, Any]]:
    """Rows of a metrics file before a step."""
    return [row for row in record.read_metrics(metrics) if row["step"] < step]


def has_resumed(kill: Kill, out: Path) -> bool:
    """Whether what a kill left is in the complete run as it was."""
    places = {name: manifest(out, name) for name in kill.manifests}
    kept = all(place and hash_file(place) == kill.manifests[name] for name, place in places.items())
    if not kill.step:
        return kept
    return kept and earlier(out / kill.stage / "log" / "metrics.jsonl", kill.step) == kill.metrics


def compare(whole: Path, out: Path) -> dict[str, bool]:
    """What of a run equals the undisturbed one's: ids, and the weights' hashes."""
    found = {}
    for stage in STAGES:
        which = "key" if stage == "report" else "id"
        found[f"{stage} {which}"] = read(whole, stage)[which] == read(out, stage)[which]
    for name in MODELS:
        weights = [hash_file(folder / name / "model.safetensors") for folder in (whole, out)]
        found[f"{name}/model.safetensors"] = weights[0] == weights[1]
    return found


def report(kills: list[Kill], compared: list[dict[str, bool]], notes: dict[str, Any]) -> bool:
    """Print the kills and what differs; keep them; return whether all is equal."""
    from rich.console import Console
    from rich.table import Table

    from benchmarks.table import RESULTS

    table = Table(title=f"kill -9  ({notes['machine']}, {notes['date']})", title_justify="left")
    for head in ("kill", "run", "seconds into it", "stage", "goes on from", "resumed"):
        table.add_column(head, justify="left" if head == "stage" else "right")
    for k in kills:
        start = f"step {k.step}" if k.step else "the stage's start"
        start = "the end" if k.stage == "end" else start
        table.add_row(
            str(k.number), str(k.run), f"{k.seconds:.1f}", k.stage, start,
            "yes" if k.resumed else "NO",
        )  # fmt: skip
    console = Console(width=max(100, Console().width), highlight=False)
    console.print(table)
    differing = sorted({name for each in compared for name, same in each.items() if not same})
    equal = sum(same for each in compared for same in each.values())
    everything = sum(map(len, compared))
    console.print(f"  equal to the undisturbed run: {equal} of {everything}"
                  + (f"; differing: {', '.join(differing)}" if differing else ""))  # fmt: skip
    for key, value in notes.items():
        console.print(f"  {key}: {value}")
    columns = ("number", "run", "seconds", "stage", "step", "resumed")
    told = [{name: getattr(k, name) for name in columns} for k in kills]
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {"rows": [], "kills": told, "equal": compared, "notes": notes}
    write_json(RESULTS / "demo_kills.json", content)
    return not differing and all(k.resumed for k in kills)


def main() -> None:
    """Run undisturbed, run killed, compare."""
    from benchmarks.table import machine_class

    arguments = parse()
    flags = [f"--{name}={getattr(arguments, name)}" for name in ("tokens", "depth", "epochs")]
    folder = (arguments.out or Path(tempfile.mkdtemp(prefix="kills-"))).resolve()
    if (folder / "undisturbed").exists() or (folder / "killed-1").exists():
        raise SystemExit(f"{folder} holds runs already; choose another --out.")
    folder.mkdir(parents=True, exist_ok=True)
    whole, alone = arguments.undisturbed, None
    if whole is None:
        calm = Run(folder / "undisturbed", flags)
        calm.finish()
        whole, alone = calm.out, calm.seconds
    lasts, chance = seconds_of(whole), random.Random(arguments.seed)
    kills, compared, seconds = list[Kill](), [], []
    while len(kills) < arguments.kills or not compared:
        run = Run(folder / f"killed-{len(compared) + 1}", flags)
        fallen = []
        for kill in killed(run, arguments.kills - len(kills), lasts, chance):
            number, which = len(kills) + len(fallen) + 1, len(compared) + 1
            fallen.append(kill._replace(number=number, run=which, seconds=round(kill.seconds, 2)))
            print(f"kill {number} in {kill.stage}", file=sys.stderr, flush=True)
        kills += [kill._replace(resumed=has_resumed(kill, run.out)) for kill in fallen]
        compared.append(compare(whole, run.out))
        seconds.append(round(run.seconds, 1))
    notes = {
        "machine": machine_class(), "date": datetime.date.today().isoformat(),
        "flags": " ".join(flags), "seed": arguments.seed, "compiled": compiled(whole),
        "seconds undisturbed": alone and round(alone, 1), "seconds killed": seconds,
    }  # fmt: skip
    passed_all = report(kills, compared, notes)
    if passed_all and arguments.out is None:
        shutil.rmtree(folder)
    elif not passed_all:
        print(f"The runs are in {folder}.", file=sys.stderr)
    sys.exit(not passed_all)


def compiled(out: Path) -> bool:
    """Whether a run trained with compiled blocks."""
    return bool(read(out, "base")["numbers"]["compiled"])


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--tokens", type=int, default=2_000_000, help="training tokens of the base")
    parser.add_argument("--depth", type=int, default=2, help="layers")
    parser.add_argument("--epochs", type=float, default=0.4, help="of the chat model")
    parser.add_argument("--undisturbed", type=Path, help="a complete run of the same flags")
    parser.add_argument("--out", type=Path, help="folder that keeps the runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
