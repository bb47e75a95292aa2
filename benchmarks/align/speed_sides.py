"""The sides of benchmarks/align/speed.py: a stage of groundup, or a trainer of TRL, in a process.

Each runs as its users run it, and waits between two steps until it is asked for more.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROWS, LENGTH, PAIRS, PROMPTS, ANSWERS, NEW = 6, 512, 16, 8, 8, 64
RATE, FOREVER = 1e-5, 1_000_000


class Setting(NamedTuple):
    """How TRL computes."""

    dtype: str  # bfloat16: autocast over float32 weights; pure: bfloat16 weights
    allocator: str  # system, ours, tcmalloc, jemalloc
    more: tuple[tuple[str, Any], ...] = ()  # of its configuration

    @property
    def name(self) -> str:
        """Its name in the table."""
        more = (f"{name}={value}" for name, value in self.more)
        return ", ".join(["TRL", self.dtype, self.allocator, *more])


class Turns:
    """Waits for a line `n`, lets n steps pass, and answers with what they took."""

    def __init__(self) -> None:
        self.answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
        self.parts, self.turn, self.asked, self.left = Counter[str](), 0, 0, 0
        self.units = 0.0  # of a step
        self.before: Callable[[int], object] = lambda steps: None
        """What these steps need that was computed before the first."""

    def tick(self) -> None:
        """Between two steps."""
        self.left -= 1
        if self.left > 0:
            return
        if self.asked:
            seconds, cpu = time.perf_counter() - self.started, time.process_time() - self.cpu
            found = [self.asked * self.units, seconds, cpu, peak_bytes(), self.parts]
            print(json.dumps(found), file=self.answers, flush=True)
        if not (line := sys.stdin.readline()):
            os._exit(0)  # in the middle of a run
        self.turn += 1
        if self.turn == 2:  # what warming up took does not count
            Path("/proc/self/clear_refs").write_text("5")
        self.left = self.asked = int(line)
        self.parts.clear()
        self.started, self.cpu = time.perf_counter(), time.process_time()
        self.before(self.asked)
        self.parts["reference"] += time.perf_counter() - self.started

    def timed(self, owner: Any, name: str, part: str) -> None:
        """Count the seconds of a function as those of a part."""
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.parts[part] += time.perf_counter() - started

        setattr(owner, name, call)


def peak_bytes() -> int:
    """Largest resident memory of this process; since `clear_refs` was last written."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def our_side(work: str, folder: Path, turns: Turns) -> None:
    """Run a stage, and wait between its steps."""
    from groundup.align import DirectConfig, FinetuneConfig, PolicyConfig, finetune, reinforce
    from groundup.align.adapters import adamw
    from groundup.align.direct import stage
    from groundup.core import Artifact, device
    from groundup.generate import Engine
    from groundup.train import Optimizer, loop
    from groundup.train.pretrain import run

    device.set_num_threads()
    turns.timed(Optimizer, "step", "optimizer")
    turns.timed(Engine, "continue_ids", "answers")
    turns.timed(loop, "backward", "forward and backward")
    with_reference = stage._with_reference

    def reference(model: Any, compared: Any, config: Any) -> Any:
        turns.before = lambda steps: with_reference(model, compared[: steps * PAIRS], config)
        return with_reference(model, compared, config)

    def waiting(steps: Any, own: Any) -> Any:
        rows = own.draft.numbers.get("rows")
        turns.units = {"dpo": PAIRS, "grpo": PROMPTS * ANSWERS}.get(work) or (
            count_lines(folder / "examples" / "train.jsonl") * ROWS / rows
        )
        turns.tick()
        for step in steps:
            turns.tick()
            yield step

    stage._with_reference = reference
    run.SERVICES = (*run.SERVICES, waiting)
    model, optim, out = Artifact.open(folder / "model"), adamw(RATE), folder / "out"
    if work == "sft":
        config = FinetuneConfig(epochs=FOREVER, max_length=LENGTH, batch_rows=ROWS, optim=optim)
        finetune(config, model, Artifact.open(folder / "examples"), out)
    elif work == "dpo":
        config = DirectConfig(epochs=FOREVER, batch_answers=PAIRS, optim=optim)
        stage.direct(config, model, Artifact.open(folder / "preferences"), out)
    else:
        config = PolicyConfig(
            steps=FOREVER, prompts=PROMPTS, answers=ANSWERS, max_tokens=NEW, optim=optim,
            rewards={"number": 0, "f1": 1},
        )  # fmt: skip
        reinforce(config, model, folder / "tasks.jsonl", out)


def count_lines(path: Path) -> int:
    """Rows of a file of JSON lines."""
    return path.read_text(encoding="utf-8").count("\n")


def peer_side(work: str, folder: Path, turns: Turns, setting: Setting) -> None:
    """Run a trainer of TRL, and wait between its steps."""
    import torch
    import trl
    from datasets import Dataset
    from transformers import TrainerCallback

    class Waiting(TrainerCallback):
        """Waits before the first step and after each."""

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            turns.tick()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            turns.tick()

    own = {"sft": {"max_length": LENGTH, "completion_only_loss": True},
           "dpo": {"per_device_train_batch_size": PAIRS},
           "grpo": {"per_device_train_batch_size": PROMPTS * ANSWERS, "num_generations": ANSWERS,
                    "max_completion_length": NEW, "loss_type": "grpo"}}[work]  # fmt: skip
    dtype = "bfloat16" if setting.dtype == "pure" else "float32"
    config = {"sft": trl.SFTConfig, "dpo": trl.DPOConfig, "grpo": trl.GRPOConfig}[work](
        output_dir=str(folder / "peer"), use_cpu=True, bf16=setting.dtype == "bfloat16",
        gradient_checkpointing=False, max_steps=FOREVER, learning_rate=RATE, save_strategy="no",
        report_to="none", disable_tqdm=True, model_init_kwargs={"dtype": dtype},
        **own | dict(setting.more),
    )  # fmt: skip
    rows = Dataset.from_list(peer_rows(work, folder))
    trainer = {"sft": trl.SFTTrainer, "dpo": trl.DPOTrainer, "grpo": trl.GRPOTrainer}[work](
        model=str(folder / "model"), args=config, train_dataset=rows, callbacks=[Waiting()],
        **{"reward_funcs": word_share} if work == "grpo" else {},
    )  # fmt: skip
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps
    turns.units = batch * (len(rows) / len(trainer.train_dataset) if work == "sft" else 1)
    turns.timed(torch.optim.AdamW, "step", "optimizer")
    turns.timed(trainer, "compute_loss", "forward and backward")
    turns.timed(trainer.accelerator, "backward", "forward and backward")
    if work == "grpo":
        turns.timed(trainer, "_generate", "answers")
    trainer.train()


def peer_rows(work: str, folder: Path) -> list[dict[str, Any]]:
    """What our side trains on, as TRL reads it."""
    name = {"sft": "examples/train", "dpo": "preferences/train", "grpo": "tasks"}[work]
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    if work == "sft":
        return [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in rows]
    if work == "dpo":
        sides = ("chosen", "rejected")
        answers = [{s: [{"role": "assistant", "content": r[s]}] for s in sides} for r in rows]
        return [{"prompt": r["prompt"], **own} for r, own in zip(rows, answers, strict=True)]
    return [{"prompt": [{"role": "user", "content": r["prompt"]}], "answer": r["answer"]}
            for r in rows]  # fmt: skip


def word_share(completions: Any, answer: list[str], **kwargs: Any) -> list[float]:
    """A reward: the share of an answer's words that the right one has."""
    said = [each[0]["content"].split() for each in completions]
    right = [set(each.split()) for each in answer]
    return [sum(word in own for word in words) / max(1, len(words))
            for words, own in zip(said, right, strict=True)]  # fmt: skip


if __name__ == "__main__":
    work, folder, *rest = sys.argv[1:]
    if rest:
        peer_side(work, Path(folder), Turns(), Setting(*json.loads(rest[0])))
    else:
        our_side(work, Path(folder), Turns())
