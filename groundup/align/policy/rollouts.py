"""Rollouts: answers that the live model samples, with their rewards and advantages.

Sampled at temperature 1 from all ids, by the engine that serves, whose log-probabilities on the
native stack are those of `ExactForward`. What is sampled depends on the weights, the seed and the
step alone. Rollouts are kept until the run ends, so a killed run reads them again.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from groundup.core import Sample, Sampling, write_bytes
from groundup.generate import Engine
from groundup.model import Transformer
from groundup.train import MicroBatch

from ..direct.batches import PADDING, RenderedAnswer, pack_groups, with_reference
from .losses import PolicyLossConfig, advantages
from .rewards import Reward


class RolloutPlan(NamedTuple):
    """How many answers are sampled, and how long they may be."""

    answers: int
    """To each prompt."""
    max_tokens: int
    row_tokens: int
    """Positions of a packed row."""
    seed: int


class Rollouts(NamedTuple):
    """The answers of a step, those to one prompt beside each other."""

    answers: list[RenderedAnswer]
    rewards: np.ndarray
    """(prompts, answers)."""
    ended: np.ndarray
    """(prompts, answers) whether the model ended the answer itself."""

    def numbers(self) -> dict[str, float]:
        """What is recorded of a step."""
        tokens = np.array([each.is_answer.sum() for each in self.answers])
        nats = sum(float(each.sampled.sum()) for each in self.answers)
        change = [float((e.sampled - e.reference).sum()) for e in self.answers if e.reference.any()]
        divergence = {"divergence": float(np.mean(change))} if change else {}
        return divergence | {
            "reward": float(self.rewards.mean()),
            "reward deviation": float(self.rewards.std(1).mean()),
            "length": float(tokens.mean()), "ended": float(self.ended.mean()),
            "entropy": -nats / max(1, tokens.sum()),  # an estimate: mean of -log p of what it says
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Keep them in a file, which appears whole or not."""
        buffer = io.BytesIO()
        columns = {
            f"{name}_{n}": getattr(each, name)
            for n, each in enumerate(self.answers)
            for name in ("ids", "is_answer", "reference", "sampled", "advantage")
        }
        np.savez(buffer, rewards=self.rewards, ended=self.ended, **columns)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> "Rollouts":
        """What `write` kept."""
        with np.load(path, allow_pickle=False) as file:
            rewards, ended = file["rewards"], file["ended"]
            answers = [
                RenderedAnswer(
                    file[f"ids_{n}"], file[f"is_answer_{n}"], file[f"reference_{n}"],
                    file[f"sampled_{n}"], float(file[f"advantage_{n}"]),
                )
                for n in range(rewards.size)
            ]  # fmt: skip
        return cls(answers, rewards, ended)

    def batch(self, loss: PolicyLossConfig, plan: RolloutPlan) -> MicroBatch:
        """Packed, with the weights that divide an algorithm's sum."""
        packed = pack_groups([[each] for each in self.answers], plan.row_tokens)
        weights = packed.weights
        if loss.name == "dapo":
            weights = (packed.targets != PADDING).float()
        if loss.name == "dr_grpo":
            weights = weights * plan.max_tokens
        return packed._replace(weights=weights)


def sample_rollouts(
    engine: Engine, tasks: Sequence[Sample], step: int, plan: RolloutPlan, *, reward: Reward,
    loss: PolicyLossConfig, reference: Transformer | None = None,
) -> Rollouts:  # fmt: skip
    """Sample answers to some tasks and score them.

    reference  the model before training, if its divergence counts
    """
    repeated = [task for task in tasks for _ in range(plan.answers)]
    prompts = [engine.prompt_ids(task.conversation) for task in repeated]
    seeds = np.random.default_rng([plan.seed, step]).integers(2**31, size=len(prompts)).tolist()
    sampling = Sampling(temperature=1.0, max_tokens=plan.max_tokens)
    said = engine.continue_ids(prompts, sampling, seeds, shows_progress=False)
    made = list[RenderedAnswer]()
    for prompt, answer in zip(prompts, said, strict=True):
        begins = len(prompt)
        ids = np.array([*prompt, *answer.ids])
        sampled = np.array([0.0] * begins + list(answer.logprobs), np.float32)
        is_answer = np.arange(len(ids)) >= begins
        made.append(RenderedAnswer(ids, is_answer, np.zeros_like(sampled), sampled))
    if reference is not None:
        made = with_reference(reference, made, plan.row_tokens)
    shape = len(tasks), plan.answers
    rewards = reward.of_answers(repeated, said).reshape(shape)
    ended = np.array([each.finish_reason == "stop" for each in said]).reshape(shape)
    scored = torch.from_numpy(rewards).float()
    if loss.beta and loss.is_by_answer:
        change = [float((each.sampled - each.reference).sum()) for each in made]
        scored = scored - loss.beta * torch.tensor(change).view(shape)
    gains = advantages(scored, loss.name).flatten().tolist()
    made = [each._replace(advantage=gain) for each, gain in zip(made, gains, strict=True)]
    return Rollouts(made, rewards, ended)
