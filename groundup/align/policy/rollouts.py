"""Rollouts: answers that the live model samples, with their rewards and advantages.

Sampled at temperature 1 from all ids, by the engine that serves, whose log-probabilities on the
native stack are those of `ExactForward`. What is sampled depends on the weights, the seed and the
step alone. Rollouts are kept until the run ends, so a killed run reads them again.
"""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from groundup.core import Generation, Sample, Sampling, write_bytes, write_text
from groundup.generate import Engine
from groundup.train import MicroBatch

from ..packing import PADDING, RenderedAnswer, pack_groups
from .forks import fork_rows
from .losses import PolicyLossConfig, advantages, token_advantages, whiten
from .rewards import Reward


class RolloutPlan(NamedTuple):
    """How many answers are sampled, and how long they may be."""

    answers: int
    """To each prompt."""
    max_tokens: int
    row_tokens: int
    """Positions of a packed row."""
    seed: int
    forks: bool = False
    """Whether answers to one prompt may share it in training."""


class Rollouts(NamedTuple):
    """The answers of a step, those to one prompt beside each other."""

    answers: list[RenderedAnswer]
    rewards: np.ndarray
    """(prompts, answers)."""
    ended: np.ndarray
    """(prompts, answers) whether the model ended the answer itself."""
    beta: float = 0.0
    """Weight of the divergence."""

    @property
    def divergence(self) -> float:
        """From the model before training, nats of an answer; 0 without a reference."""
        change = [float((e.sampled - e.reference).sum()) for e in self.answers if e.reference.any()]
        return float(np.mean(change)) if change else 0.0

    @property
    def distinct(self) -> float:
        """Share of different answers among those to one prompt."""
        texts = [each.ids[each.is_answer].tobytes() for each in self.answers]
        prompts, count = self.rewards.shape
        groups = [texts[at * count : (at + 1) * count] for at in range(prompts)]
        return sum(len(set(group)) for group in groups) / len(texts)

    def numbers(self) -> dict[str, float]:
        """What is recorded of a step."""
        tokens = np.array([each.is_answer.sum() for each in self.answers])
        nats = sum(float(each.sampled.sum()) for each in self.answers)
        divergence = {"divergence": self.divergence, "beta": self.beta} if self.beta else {}
        groups = self.rewards if self.rewards.shape[1] > 1 else self.rewards.T  # one of all
        return divergence | {
            "reward": float(self.rewards.mean()),
            "reward deviation": float(groups.std(1).mean()),
            "length": float(tokens.mean()), "ended": float(self.ended.mean()),
            "distinct": self.distinct,
            "entropy": -nats / max(1, tokens.sum()),  # an estimate: mean of -log p of what it says
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """Keep them in a file, which appears whole or not."""
        buffer = io.BytesIO()
        columns = {
            f"{name}_{n}": getattr(each, name)
            for n, each in enumerate(self.answers)
            for name in RenderedAnswer._fields
        }
        np.savez(buffer, rewards=self.rewards, ended=self.ended, beta=self.beta, **columns)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> "Rollouts":
        """What `write` kept."""
        with np.load(path, allow_pickle=False) as file:
            rewards, ended, beta = file["rewards"], file["ended"], float(file["beta"])
            answers = [
                RenderedAnswer(*(file[f"{name}_{n}"] for name in RenderedAnswer._fields))
                for n in range(rewards.size)
            ]
        return cls(answers, rewards, ended, beta)

    def batch(self, loss: PolicyLossConfig, plan: RolloutPlan) -> MicroBatch:
        """In rows, with the weights that divide an algorithm's sum."""
        shared = (self.answers, plan.answers, plan.row_tokens)
        forked = fork_rows(*shared) if plan.forks else None
        packed = forked or pack_groups([[each] for each in self.answers], plan.row_tokens)
        weights = packed.weights
        if loss.name in ("dapo", "ppo"):
            weights = (packed.targets != PADDING).float()
        if loss.name == "dr_grpo":
            weights = weights * plan.max_tokens
        return packed._replace(weights=weights)


Reference = Callable[[Sequence[RenderedAnswer], int], list[RenderedAnswer]]
"""Answers with the log-probabilities of the model before training, in rows of so many positions."""
TokenValues = Callable[[Sequence[RenderedAnswer]], list[np.ndarray]]
"""The value of each token of each answer, (T,) each."""


def sample_rollouts(
    engine: Engine, tasks: Sequence[Sample], step: int, plan: RolloutPlan, *, reward: Reward,
    loss: PolicyLossConfig, reference: Reference | None = None,
    token_values: TokenValues | None = None, keep: Path | None = None,
) -> Rollouts:  # fmt: skip
    """Sample answers to some tasks and score them.

    loss          with the weight that the divergence has now
    reference     of the model before training, if its divergence counts
    token_values  of PPO's value head
    keep          where the answers stand before they are scored; read if they do
    """
    repeated = [task for task in tasks for _ in range(plan.answers)]
    prompts = [engine.prompt_ids(task.conversation) for task in repeated]
    seeds = np.random.default_rng([plan.seed, step]).integers(2**31, size=len(prompts)).tolist()
    sampling = Sampling(temperature=1.0, max_tokens=plan.max_tokens)
    if keep is not None and keep.is_file():
        kept = json.loads(keep.read_text("utf-8"))
        said = [Generation(text, tuple(ids), tuple(nats), why) for text, ids, nats, why in kept]
    else:
        said = engine.continue_ids(prompts, sampling, seeds, shows_progress=False)
        if keep is not None:
            write_text(keep, json.dumps([[*vars(each).values()][:4] for each in said]))
    made = list[RenderedAnswer]()
    for prompt, answer in zip(prompts, said, strict=True):
        begins = len(prompt)
        ids = np.array([*prompt, *answer.ids])
        sampled = np.array([0.0] * begins + list(answer.logprobs), np.float32)
        is_answer = np.arange(len(ids)) >= begins
        made.append(RenderedAnswer(ids, is_answer, np.zeros_like(sampled), sampled))
    if reference is not None:
        made = reference(made, plan.row_tokens)
    rewards = reward.of_answers(repeated, said, plan.answers).reshape(len(tasks), plan.answers)
    ended = np.array([each.finish_reason == "stop" for each in said]).reshape(rewards.shape)
    if token_values is None:
        made = _with_answers_advantages(made, rewards, loss)
    else:
        made = _with_tokens_advantages(made, rewards.flatten(), token_values(made), loss)
    return Rollouts(made, rewards, ended, loss.beta)


def _with_answers_advantages(
    made: list[RenderedAnswer], rewards: np.ndarray, loss: PolicyLossConfig
) -> list[RenderedAnswer]:
    scored = torch.from_numpy(rewards).float()
    if loss.beta and loss.is_penalised:
        change = [float((each.sampled - each.reference).sum()) for each in made]
        scored = scored - loss.beta * torch.tensor(change).view(scored.shape)
    gains = advantages(scored, loss.name).flatten().numpy()
    return [each._replace(advantage=np.array(gain)) for each, gain in zip(made, gains, strict=True)]


def _with_tokens_advantages(
    made: list[RenderedAnswer], rewards: np.ndarray, values: list[np.ndarray],
    loss: PolicyLossConfig,
) -> list[RenderedAnswer]:  # fmt: skip
    """With PPO's advantages, and with values and returns for its value head."""
    gains, found = list[np.ndarray](), list[RenderedAnswer]()
    for each, score, value in zip(made, rewards, values, strict=True):
        own = each.is_answer
        of_tokens = -loss.beta * (each.sampled - each.reference)[own].astype(np.float64)
        of_tokens[-1:] += score
        gains.append(token_advantages(of_tokens, value[own], loss))
        returns = np.zeros_like(value)
        returns[own] = gains[-1] + value[own]
        found.append(each._replace(values=value, returns=returns))
    for at, gain in enumerate(whiten(gains)):
        advantage = np.zeros(len(found[at].ids))
        advantage[found[at].is_answer] = gain
        found[at] = found[at]._replace(advantage=advantage)
    return found
