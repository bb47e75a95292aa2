"""Trains a policy on rewards: it answers, the answers are scored, and the loop learns from them.

Each step samples answers with the live weights (`updates` > 1: some steps share one sample), scores
them, and takes a step of the algorithm in losses.py. `exact` computes log-probabilities in training
with the sampler's bits, so that the ratio of the first update is exactly 1. What each step sampled
stands as numbers in log/rollouts.jsonl.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from pydantic import Field

from groundup.core import (
    Artifact,
    ConfigError,
    DataError,
    Draft,
    Sample,
    Sampling,
    device,
    hash_file,
    record,
)
from groundup.corpus import split_paths
from groundup.generate import Engine, ExactForward
from groundup.kernels import LossSum
from groundup.model import Transformer, load_to_train, save
from groundup.train import (
    MicroBatch,
    OptimConfig,
    RunIdentity,
    SpikeConfig,
    TrainingConfig,
    TrainingData,
    TrainingRun,
    TrainingTask,
    produce_alone,
    shuffled_indices,
    with_usual_optim,
)

from ..direct.batches import PADDING, target_logprobs
from ..finetune import check_decoder
from ..form import load_chat_format
from .losses import PolicyLossConfig, Tokens, policy_loss
from .rewards import Reward, RewardConfig, read_tasks
from .rollouts import RolloutPlan, Rollouts, sample_rollouts

NATIVE_OPTIM = OptimConfig(
    muon_learning_rate=1e-3, learning_rate=1e-4, embedding_learning_rate=5e-3
)
"""For a model that was trained here."""
IMPORTED_OPTIM = OptimConfig(
    matrix_optimizer="adamw", learning_rate=1e-6, embedding_learning_rate=1e-6, epsilon=1e-8
)
"""For an imported model; the rate is TRL's."""
ROLLOUTS, SOME_TASKS = "rollouts.jsonl", 50


class PolicyConfig(TrainingConfig):
    """How to train on rewards."""

    loss: PolicyLossConfig = PolicyLossConfig()
    """Which algorithm, and its constants."""
    rewards: RewardConfig = RewardConfig()
    """What is rewarded."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    prompts: int = Field(default=8, ge=1)
    """Tasks of a sample."""
    answers: int = Field(default=8, ge=2)
    """Answers to each."""
    updates: int = Field(default=1, ge=1)
    """Optimizer steps on each sample."""
    max_tokens: int = Field(default=64, ge=1)
    """Tokens of an answer."""
    exact: bool = False
    """Whether the training's log-probabilities have the sampler's bits: float32 on CPUs."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the tasks that are answered before and after, and never trained on."""
    optim: OptimConfig = NATIVE_OPTIM
    """Optimizer and schedule; the defaults of an imported model are matrix_optimizer=adamw and
    learning_rate=1e-6."""
    spikes: SpikeConfig = SpikeConfig(policy="off")
    """Off: the loss of a policy is no measure of its quality and has no level."""
    tasks_digest: str = ""
    """Hash of the tasks; set by the stage."""


def reinforce(config: PolicyConfig, model: Artifact, tasks: Path, out: Path) -> Artifact:
    """Train a chat model on tasks whose answers a program can check; a stopped run resumes.

    model  a tuned model that answers some of the tasks rightly, however rarely
    tasks  JSON lines with prompt and answer, the right one or a list of such

    Raises DataError for what is no task, ConfigError for settings that do not fit.
    """
    if config.dropout:
        raise ConfigError("A policy trains without dropout, as it samples; omit it.")
    if config.exact and config.precision not in ("auto", "float32"):
        raise ConfigError(f"exact is of float32; precision={config.precision!r} came with it.")
    if config.exact:
        config = config.model_copy(update={"precision": "float32"})
    samples, reward = read_tasks(tasks), Reward.of(config.rewards)
    config = with_usual_optim(config, model, NATIVE_OPTIM, IMPORTED_OPTIM)
    config = config.model_copy(update={"tasks_digest": hash_file(tasks)})
    check_decoder(model, config.max_tokens)
    split = split_paths([each.id for each in samples], config.held_out, 0.0, config.seed)
    train, held_out = (
        [each for each in samples if split[each.id] == name] for name in ("train", "validation")
    )
    if not held_out or len(train) < config.prompts:
        raise DataError(
            f"{len(samples)} tasks are too few for prompts={config.prompts} and held-out ones."
        )
    identity = RunIdentity(
        objective=config.loss.name, settings=config.hashed_values(), parents={"model": model}
    )
    write = partial(_train_and_save, config, identity, (train, held_out), reward)
    return produce_alone(config, out, write, stage="reinforce", identity=identity)


@dataclass
class PolicyRun:
    """What a run samples from and scores with."""

    config: PolicyConfig
    draft: Draft
    tasks: Sequence[Sample]
    reward: Reward
    engine: Engine
    """Of the live weights."""
    exact: ExactForward | None
    reference: Transformer | None
    """The model before training, if its divergence counts."""

    def batch(self, step: int) -> MicroBatch:
        """The packed answers of a step."""
        return self.rollouts(step // self.config.updates).batch(self.config.loss, self.plan)

    @property
    def plan(self) -> RolloutPlan:
        """How many answers are sampled, and how rows are packed."""
        config, context = self.config, self.engine.model.config.context_length
        return RolloutPlan(config.answers, config.max_tokens, context, config.seed)

    def rollouts(self, number: int) -> Rollouts:
        """A sample: read if the run was killed after it, else drawn now."""
        path = self.draft.scratch / "rollouts" / f"{number}.npz"
        if path.is_file():
            return Rollouts.read(path)
        made = sample_rollouts(
            self.engine, self._tasks_of(number), number, self.plan, reward=self.reward,
            loss=self.config.loss, reference=self.reference,
        )  # fmt: skip
        path.parent.mkdir(exist_ok=True)
        made.write(path)
        numbers = {"step": number * self.config.updates} | made.numbers()
        with open(self.draft.log / ROLLOUTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(numbers) + "\n")
        return made

    def _tasks_of(self, number: int) -> list[Sample]:
        """The tasks of a sample, in another order each epoch."""
        config, count = self.config, len(self.tasks)
        chosen = shuffled_indices(number, config.prompts, count, config.seed)
        return [self.tasks[at] for at in chosen]

    def loss(self, model: Transformer, batch: MicroBatch, routing: object = None) -> LossSum:
        """The algorithm's sum over a micro-batch, and what divides it."""
        assert batch.documents is not None and batch.reference is not None, "see pack_groups"
        assert batch.sampled is not None and batch.advantages is not None, "see pack_groups"
        is_answer = batch.targets != PADDING
        if self.exact is None:
            policy = target_logprobs(model, batch, self.engine.tokenizer.vocab_size)
        else:
            policy = self.exact.log_probs(
                batch.ids, batch.targets.clamp(min=0), documents=batch.documents, wanted=is_answer
            )[is_answer]
        _, answer = torch.unique(batch.documents[is_answer], return_inverse=True)
        tokens = Tokens(
            policy, batch.sampled[is_answer], batch.reference[is_answer],
            batch.advantages[is_answer], answer,
        )  # fmt: skip
        total = policy_loss(tokens, self.config.loss)
        return LossSum(total, batch.weights.sum(dtype=torch.float64))

    def mean_reward(self, tasks: Sequence[Sample]) -> float:
        """Mean reward of the most likely answers of the live model."""
        sampling = Sampling(max_tokens=self.config.max_tokens)
        said = self.engine.generate([each.conversation for each in tasks], sampling)
        return round(float(self.reward.of_answers(tasks, said).mean()), 4)


def _train_and_save(
    config: PolicyConfig, identity: RunIdentity, splits: tuple[list[Sample], list[Sample]],
    reward: Reward, draft: Draft,
) -> None:  # fmt: skip
    base, (train, held_out) = identity.parents["model"], splits
    model = load_to_train(base.path).to(device.default_device())
    opened = Engine.open(base.path)
    engine = Engine(model, opened.tokenizer, end_ids=opened.end_ids, template=opened.template)
    policy = PolicyRun(
        config, draft, train, reward, engine,
        exact=ExactForward(model, vocab_size=opened.tokenizer.vocab_size) if config.exact else None,
        reference=copy.deepcopy(model).requires_grad_(False) if config.loss.beta else None,
    )  # fmt: skip
    scores = {"before": policy.mean_reward(held_out), "tasks": len(held_out)}
    record.log(f"Held-out tasks before: {scores['before']:.3f}")
    some = [len(engine.prompt_ids(each.conversation)) for each in train[:SOME_TASKS]]
    tokens = config.prompts * config.answers * (sum(some) // len(some) + config.max_tokens)
    data = TrainingData(
        policy.batch, config.steps, lambda step: step * tokens, lambda step: config.max_tokens
    )
    task = TrainingTask(model, model, policy.loss, data, config.loss.name, is_compiled=False)
    run = TrainingRun(draft, config, task, identity._replace(model=model.config.to_dict()))
    run.train_to_end()
    trained = run.final_model()
    policy.engine = Engine(
        trained, opened.tokenizer, end_ids=opened.end_ids, template=opened.template
    )
    scores["after"] = policy.mean_reward(held_out)
    record.log(f"Held-out tasks after: {scores['after']:.3f}")
    rows = record.read_metrics(draft.log / ROLLOUTS)
    if not any(row["reward deviation"] for row in rows):
        record.log("Nothing was learnt: all answers to each prompt had the same reward; give tasks "
                   "that the model answers rightly now and then, or other rewards.")  # fmt: skip
    draft.numbers["held_out"] = scores
    save(trained, draft.path, base.path, chat=True)
    form = load_chat_format(base.path, "")
    form.save(draft.path, base.path, list(opened.end_ids))
