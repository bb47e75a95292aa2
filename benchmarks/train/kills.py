"""A training run that is killed in its saves loses nothing beyond its last checkpoint.

    python -m benchmarks.train.kills [--kills 20] [--seed 0] [--processes 1] [--out DIR]

Trains `groundup pretrain` on this repository's own pages and sources, saving as often as it can,
once undisturbed and once killed with `kill -9` again and again at random moments of its saves: from
the first bytes of the files to after the checkpoint appeared. After each kill, before the run goes
on, every checkpoint must be whole by its hashes, and the newest no older than the newest that had
appeared before the kill. At the end the weights must be those of the undisturbed run, byte for
byte. Exits 1 otherwise.

With `--processes 2` the same steps are trained by processes that share the weights (FSDP2 on gloo),
and each kill hits one of them, or all; the others must end by themselves within 30 s.
"""

import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from groundup import cli
from groundup.core import Artifact, ArtifactError, write_json
from groundup.corpus import CorpusConfig, corpus
from groundup.model import Transformer, from_depth, save_tensors
from groundup.tokenizer import (
    Loader,
    TokenizerConfig,
    TokensConfig,
    encode_corpus,
    open_shards,
    train_tokenizer,
)
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    list_checkpoints,
    save_checkpoints,
    train,
)
from groundup.train.parallel.mesh import Mesh

ROOT = Path(__file__).resolve().parents[2]
PARTIAL = ".partial-*"
POLL_SECONDS = 0.0005
LATE_SECONDS = 30.0
SETTINGS = {
    "depth": 2, "batch_tokens": 2048, "length": 256, "context_length": 256, "validations": 1,
    "checkpoints.every_seconds": 0.0,
}  # fmt: skip


class Kill(NamedTuple):
    """One kill and what it left."""

    number: int
    victim: str
    after_ms: float
    """After a save had begun."""
    before: int
    """Newest checkpoint that had appeared before the kill."""
    step: int
    """Newest checkpoint afterwards."""
    half: bool
    """Whether a half-written one was left."""
    ended_seconds: float
    """Until the last process was gone."""
    trouble: str = ""
    """Empty if all is as it must be."""


def text(folder: Path) -> None:
    """Make tokens of the repository's own pages and sources, and their tokenizer."""
    source = folder / "source"
    for name in ("docs", "groundup/train", "groundup/model", "groundup/core"):
        for path in (ROOT / name).rglob("*"):
            if path.suffix in (".md", ".py"):
                place = source / path.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
    documents = corpus(CorpusConfig(), source, folder / "corpus")
    words = train_tokenizer(TokenizerConfig(vocab_size=2048), documents, folder / "tokenizer")
    encode_corpus(TokensConfig(), documents, words, folder / "tokens")


class Run:
    """One run, started again and again; its processes are forked from this one, which has imported
    all that they need."""

    def __init__(self, folder: Path, out: Path, processes: int, steps: int) -> None:
        self.folder, self.out, self.count, self.steps = folder, out, processes, steps
        self.log = out.with_suffix(".log")

    @property
    def checkpoints(self) -> Path:
        """Where they lie."""
        return self.out / ".scratch" if self.count == 1 else self.out

    def start(self) -> list[BaseProcess]:
        """Start every process."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = multiprocessing.get_context("fork")
        processes: list[BaseProcess] = []
        for number in range(self.count):
            process = context.Process(target=self.go, args=(number, port))
            process.start()
            processes.append(process)
        return processes

    def go(self, number: int, port: int) -> None:
        """What a process does: the command, or a share of the work of several."""
        with open(self.log, "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        if self.count > 1:
            work(self, number, port)
        else:
            settings = SETTINGS | {"tokens": self.steps * int(SETTINGS["batch_tokens"])}
            words = ["pretrain", "--out", str(self.out), "--tokens", str(self.folder / "tokens")]
            words += ["--tokenizer", str(self.folder / "tokenizer")]
            words += [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]
            cli.main(words)

    def finish(self) -> None:
        """Run to the end."""
        processes = self.start()
        for process in processes:
            process.join()
        if any(process.exitcode for process in processes):
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise SystemExit(f"The run in {self.out} failed:\n{last}")

    def newest(self) -> int:
        """Step of the newest checkpoint; 0 if there is none."""
        found = self.checkpoints.glob("step-*")
        return max((int(place.name.removeprefix("step-")) for place in found), default=0)

    def weights(self) -> bytes:
        """What the complete run ended with."""
        return (self.out / "model.safetensors").read_bytes()


def kill(run: Run, number: int, chance: random.Random, lasts: float) -> Kill | None:
    """Start, let some checkpoints appear, and kill within a save; None if the run ended before."""
    wanted = run.newest() + chance.randrange(1, 4)
    processes = run.start()
    while run.newest() < wanted or not list(run.checkpoints.glob(PARTIAL)):
        if not any(process.is_alive() for process in processes):
            return None
        time.sleep(POLL_SECONDS)
    after = chance.uniform(0, lasts)
    time.sleep(after)
    victims = processes
    if run.count > 1 and chance.random() < 0.7:
        victims = [chance.choice(processes)]
    before = run.newest()
    for process in victims:
        process.kill()
    killed = time.monotonic()
    late = ""
    for process in processes:
        process.join(max(0.1, killed + LATE_SECONDS - time.monotonic()))
        if process.is_alive():
            late = f"a process went on for more than {LATE_SECONDS:.0f} s"
            process.kill()
            process.join()
    if all(process.exitcode == 0 for process in processes):
        return None
    ended = time.monotonic() - killed
    who = "all" if len(victims) == run.count else f"process {processes.index(victims[0])}"
    half = bool(list(run.checkpoints.glob(PARTIAL)))
    trouble = late or torn(run, before)
    return Kill(number, who, round(1000 * after, 1), before, run.newest(), half,
                round(ended, 2), trouble)  # fmt: skip


def torn(run: Run, before: int) -> str:
    """What is wrong with what a kill left; empty if nothing is."""
    if run.newest() < before:
        return f"checkpoint {before} had appeared and is gone"
    with contextlib.suppress(ArtifactError):
        found = list_checkpoints(run.checkpoints, check=True).checkpoints
        return "; ".join(each.trouble for each in found if each.trouble)
    return ""


def work(run: Run, number: int, port: int) -> None:
    """One of several processes that share the weights."""
    torch.set_num_threads(1)
    count = run.count
    distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=number, world_size=count,
        timeout=datetime.timedelta(seconds=20),
    )  # fmt: skip
    mesh = Mesh(init_device_mesh("cpu", (count,), mesh_dim_names=("data",)))
    model = Transformer(from_depth(2, 2048, 256).config, seed=0)
    for layer in model.layers:
        fully_shard(layer, mesh=mesh.device_mesh)
    fully_shard(model, mesh=mesh.device_mesh)
    for module in (model, *model.layers):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    loader = Loader(open_shards(Artifact.open(run.folder / "tokens"), "train").shards, 8, 256)

    def batches(step: int) -> list[MicroBatch]:
        rows = loader.batch(step)
        own = slice(8 * number // count, 8 * (number + 1) // count)
        ids = torch.from_numpy(rows.ids[own])
        weights, documents = map(torch.from_numpy, (rows.weights[own], rows.documents[own]))
        return [MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)]

    optimizer = Optimizer(model.named_parameters(), OptimConfig(matrix_optimizer="adamw", clip=0.0))
    config = CheckpointConfig(every_seconds=0.0, limit_seconds=20.0)
    parts = {"model": model, "optimizer": optimizer}
    checkpoints = Checkpoints(run.out, parts, config, mesh=mesh)
    start = checkpoints.resume().step
    plan = LoopOptions(run.steps, start, mesh=mesh)
    for _ in save_checkpoints(
        train(model, batches, causal_loss, optimizer, lambda s: 1.0, plan), checkpoints
    ):
        pass
    whole = {name: p.detach().full_tensor() for name, p in model.named_parameters()}
    if number == 0:
        save_tensors(whole, run.out / "model.safetensors")
    distributed.barrier()
    distributed.destroy_process_group()


def report(kills: list[Kill], is_equal: bool, notes: dict[str, Any]) -> bool:
    """Print the kills, put them into results/train_kills.json; return whether all is well."""
    from rich.console import Console
    from rich.table import Table

    from benchmarks.table import RESULTS

    table = Table(title=f"kill -9 in saves  ({notes['machine']}, {notes['date']})")
    for head in ("kill", "victim", "ms into a save", "newest before", "goes on from", "half left",
                 "ended, s", "trouble"):  # fmt: skip
        table.add_column(head, justify="right")
    for each in kills:
        table.add_row(*map(str, each))
    console = Console(width=max(110, Console().width), highlight=False)
    console.print(table)
    troubled = [each for each in kills if each.trouble]
    console.print(f"  weights equal to the undisturbed run's: {'yes' if is_equal else 'NO'}")
    console.print(f"  kills: {len(kills)}, with trouble: {len(troubled)}, within a half-written "
                  f"save: {sum(each.half for each in kills)}")  # fmt: skip
    RESULTS.mkdir(parents=True, exist_ok=True)
    place = RESULTS / "train_kills.json"
    kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {"rows": []}
    told = {"kills": [each._asdict() for each in kills], "equal": is_equal, "notes": notes}
    write_json(place, kept | {f"processes {notes['processes']}": told})
    return is_equal and not troubled


def main() -> None:
    """Run undisturbed, run killed, compare."""
    from benchmarks.table import machine_class

    arguments = parse()
    os.environ["GROUNDUP_COMPILE"] = "0"
    folder = Path(tempfile.mkdtemp(prefix="train-kills-", dir=arguments.out))
    # In a process of its own, so that this one has no threads when it forks.
    making = multiprocessing.get_context("fork").Process(target=text, args=(folder,))
    making.start()
    making.join()
    calm = Run(folder, folder / "undisturbed", arguments.processes, arguments.steps)
    started = time.monotonic()
    calm.finish()
    seconds = time.monotonic() - started
    chance, kills, number = random.Random(arguments.seed), list[Kill](), 0
    is_equal = True
    while len(kills) < arguments.kills:
        number += 1
        run = Run(folder, folder / f"killed-{number}", arguments.processes, arguments.steps)
        while len(kills) < arguments.kills:
            found = kill(run, len(kills) + 1, chance, arguments.lasts)
            if found is None:
                break
            kills.append(found)
            told = f"kill {found.number}: {found.victim}, step {found.step} {found.trouble}"
            print(told.rstrip(), file=sys.stderr, flush=True)
        else:
            run.finish()
        is_equal = is_equal and run.weights() == calm.weights()
    notes = {
        "machine": machine_class(), "date": datetime.date.today().isoformat(),
        "processes": arguments.processes, "steps": arguments.steps, "seed": arguments.seed,
        "runs": number, "seconds undisturbed": round(seconds, 1),
    }  # fmt: skip
    is_well = report(kills, is_equal, notes)
    if is_well:
        shutil.rmtree(folder)
    else:
        print(f"The runs are in {folder}.", file=sys.stderr)
    sys.exit(not is_well)


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--lasts", type=float, default=0.08, help="seconds that a save may take")
    parser.add_argument("--out", type=Path, help="folder for the runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
