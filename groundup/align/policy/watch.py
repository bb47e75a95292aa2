"""Stops a run before it loses what its rewards do not see.

Now and then the held-out tasks are answered and measured, by other rewards if so configured. The
weights of the best look are kept. Two looks in a row that are worse than the best by more than
chance and `tolerance`, or a sample that exceeds a limit, end the run with the best weights. Every
look is a row of log/watch.jsonl.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from pydantic import Field
from safetensors.torch import load_file, save
from torch import nn

from groundup.adapt import trainable_parameters
from groundup.core import Config, Draft, record, write_bytes, write_text

from .rewards import RewardConfig

LOOKS = 10
"""In a run, unless `every` says otherwise."""
SURE = 2.33
"""Standard errors that a loss exceeds by chance once in a hundred looks."""
WATCH, BEST = "watch.jsonl", "best.safetensors"


class WatchConfig(Config):
    """What ends a run early."""

    every: int = Field(default=0, ge=0)
    """Steps between two looks; 0: ten looks a run."""
    measure: RewardConfig | None = None
    """What held-out answers are measured by; None: what is rewarded."""
    tolerance: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    """How much worse than its best the measure may be."""
    min_entropy: float = Field(default=0.0, ge=0)
    """Nats of a sampled token, below which the policy has collapsed."""
    min_distinct: float = Field(default=0.0, ge=0, le=1)
    """Share of different answers among those to one prompt."""
    max_divergence: float = Field(default=0.0, ge=0)
    """Nats of an answer from the model before training; 0: no limit. Needs loss.beta."""
    max_length: float = Field(default=0.0, ge=0)
    """Tokens of an answer, on average; 0: no limit."""

    def exceeded(self, numbers: Mapping[str, float]) -> str:
        """Which limit a sample exceeds; empty: none."""
        for limit, name in ((self.min_entropy, "entropy"), (self.min_distinct, "distinct")):
            if numbers.get(name, limit) < limit:
                return f"{name} {numbers[name]:.3g} is below {limit:g}"
        for limit, name in ((self.max_divergence, "divergence"), (self.max_length, "length")):
            if limit and numbers.get(name, 0.0) > limit:
                return f"{name} {numbers[name]:.3g} is above {limit:g}"
        return ""


class HeldOut(NamedTuple):
    """What the answers to the held-out tasks are worth."""

    measures: Float64[np.ndarray, " N"]
    """Of each task, in the same order every time."""
    reward: float
    """Their mean by what is trained on."""


class Watch:
    """Looks at a run, and keeps its best weights."""

    def __init__(
        self, config: WatchConfig, draft: Draft, steps: int,
        look: Callable[[], HeldOut], weights: nn.Module,
    ) -> None:  # fmt: skip
        """Read what an earlier part of a stopped run saw.

        look     at the held-out tasks, answered by the live model
        weights  of the live model
        """
        self.config, self.look, self.weights = config, look, weights
        self.log, self.best_file = draft.log / WATCH, draft.scratch / BEST
        self.every = config.every or max(1, steps // LOOKS)
        self.rows: list[dict[str, Any]] = record.read_metrics(self.log) if self.log.exists() else []

    @property
    def stopped(self) -> str:
        """Why the run was ended; empty: it was not."""
        return self.rows[-1].get("stopped", "") if self.rows else ""

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best look."""
        return max(self.rows, key=lambda row: (row["measure"], -row["step"]))

    def is_done(self, step: int, sampled: Callable[[], Mapping[str, float]]) -> bool:
        """Look after this many steps if it is time; whether the run ends here.

        sampled  numbers of the answers that were sampled last
        """
        if step % self.every:
            return False
        numbers = sampled()
        self.rows = [row for row in self.rows if row["step"] < step]
        values, reward = self.look()
        row = {"step": step, "measure": float(values.mean()), "held out": reward,
               "values": values.tolist(), **numbers, "lost": self._loss_of(values)}  # fmt: skip
        again = row["lost"] if self.rows and self.rows[-1]["lost"] else ""
        row["stopped"] = self.config.exceeded(numbers) or again
        self.rows.append(row)
        if self.best is row:
            trained = trainable_parameters(self.weights).items()
            state = {name: weight.detach().contiguous() for name, weight in trained}
            write_bytes(self.best_file, save(state))
        write_text(self.log, "".join(f"{json.dumps(each)}\n" for each in self.rows))
        if row["stopped"]:
            record.log(f"Stopped after step {step}: {row['stopped']}; the weights are those of "
                       f"step {self.best['step']}.")  # fmt: skip
        return bool(row["stopped"])

    def summary(self) -> dict[str, Any]:
        """What stands in the artifact's numbers."""
        first, best, last = self.rows[0], self.best, self.rows[-1]
        return {
            "first": round(first["measure"], 4), "best": round(best["measure"], 4),
            "best_step": best["step"], "last_step": last["step"], "stopped": self.stopped,
        }  # fmt: skip

    def restore_best(self, model: nn.Module) -> None:
        """Give a model the weights of the best look."""
        best = load_file(self.best_file)
        with torch.no_grad():
            for name, weight in trainable_parameters(model).items():
                weight.copy_(best[name])

    def _loss_of(self, values: Float64[np.ndarray, " N"]) -> str:
        """How much worse than the best look the values are; empty: not by more than chance."""
        if not self.rows or len(values) < 2:
            return ""
        best = np.array(self.best["values"])
        lost, error = (best - values).mean(), (best - values).std(ddof=1) / len(values) ** 0.5
        if lost <= max(self.config.tolerance, SURE * error):
            return ""
        return f"the held-out measure fell from {best.mean():.3f} to {values.mean():.3f}"
