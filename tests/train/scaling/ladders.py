"""Sweeps whose truth is known: runs of a real ladder with losses drawn around a law."""

from pathlib import Path

import numpy as np

from groundup.core import Artifact, Config, produce, write_json
from groundup.train.scaling.sweep import (
    CURVE_POINTS,
    FILE,
    STAGE,
    LossCurve,
    SweepConfig,
    SweepRun,
    ladder_runs,
)

TRUTH = {"E": 1.8, "A": 120.0, "B": 330.0, "alpha": 0.35, "beta": 0.37}
VOCABULARY = 8192
LADDER = SweepConfig(
    shapes=((2, 64), (2, 128), (3, 192), (4, 256), (6, 320)),
    budgets=(6e12, 1.2e13, 2.4e13, 4.8e13),
    min_steps=50,
)  # fmt: skip


class Nothing(Config):
    """An input that is only there to be one."""


def law(parameters, tokens):
    """Loss by the truth."""
    n, d = np.asarray(parameters, float), np.asarray(tokens, float)
    t = TRUTH
    return t["E"] + t["A"] / n ** t["alpha"] + t["B"] / d ** t["beta"]


def synthetic(noise: float = 0.0, seed: int = 0, ladder: SweepConfig = LADDER) -> list[SweepRun]:
    """The ladder's runs with losses by the law times exp(noise); curves by the law too."""
    rng, found = np.random.default_rng(seed), []
    for each in ladder_runs(ladder, VOCABULARY):
        size, config = each.size, each.config
        away = np.exp(noise * rng.standard_normal())
        tokens = np.geomspace(config.batch_tokens * 8, config.tokens, CURVE_POINTS)
        curve = LossCurve(tokens.tolist(), (law(size.computing, tokens) * away).tolist())
        loss = float(law(size.computing, config.tokens) * away)
        found.append(SweepRun(
            each.name, size.layers, size.width, size.embedding, size.non_embedding, size.output,
            size.flops_per_token, each.budget, config.tokens, each.flops, loss, loss / 2.5, 1e11,
            curve,
        ))  # fmt: skip
    return found


def input_artifact(out: Path, kind: str) -> Artifact:
    """An input of a sweep that holds nothing."""
    return produce(
        out, kind=kind, stage="made", version=1, config=Nothing(), parents={},
        write=lambda draft: write_json(draft.file("x.json"), kind),
    )  # fmt: skip


def swept(folder: Path, noise: float = 0.003, seed: int = 0, ladder: SweepConfig = LADDER):
    """A sweep's report of such runs, in the format that the stage writes."""
    inputs = {name: input_artifact(folder / name, name) for name in ("tokens", "tokenizer")}
    runs = synthetic(noise, seed, ladder)

    def write(draft):
        rows = [run._asdict() | {"curve": run.curve._asdict()} for run in runs]
        write_json(draft.file(FILE), {"vocab_size": VOCABULARY, "runs": rows})

    return produce(folder / "sweep", kind="report", stage=STAGE, version=1, config=ladder,
                   parents=inputs, write=write)  # fmt: skip
