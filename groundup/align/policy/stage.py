"""Trains a policy on rewards: it answers, the answers are scored, and the loop learns from them.

Each step samples answers with the live weights (`updates` > 1: some steps share one sample), scores
them, and takes a step of the algorithm in losses.py. `exact` computes log-probabilities in training
with the sampler's bits, so that the ratio of the first update is exactly 1. What each step sampled
stands as numbers in log/rollouts.jsonl. PPO has a head of values on the policy's states, which is
trained with it and not saved.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import nn

from groundup.adapt import activate_adapter, adapter_sizes, load_adapter
from groundup.core import (
    Artifact,
    ConfigError,
    DataError,
    Draft,
    Sample,
    Sampling,
    Unhashed,
    hash_file,
    record,
)
from groundup.corpus import split_paths
from groundup.generate import Engine, ExactForward, read_end_ids
from groundup.kernels import LossSum
from groundup.measure import read_votes
from groundup.model import Head, HeadConfig, ModelWithHead, Transformer, load, may_fork, supports
from groundup.train import (
    MicroBatch,
    OptimConfig,
    RunIdentity,
    SpikeConfig,
    TrainingData,
    TrainingRun,
    TrainingTask,
    WatchdogConfig,
    produce_alone,
    resolve_precision,
    shuffled_indices,
)

from .. import adapters, packing
from ..feedback.comparisons import MAX_ANSWERS
from ..feedback.deciding import report_votes
from ..feedback.live import LiveQueue, lock_queue, open_queue
from ..finetune import check_model
from ..packing import RenderedAnswer
from ..preferences import SPLITS
from ..reward.model import RewardModel, scores_of
from .losses import PolicyLossConfig, Tokens, adapted_beta, policy_loss, value_losses
from .rewards import OF_REFERENCES, Reward, RewardConfig, read_tasks
from .rollouts import Reference, RolloutPlan, Rollouts, sample_rollouts
from .watch import HeldOut, Watch, WatchConfig

USUAL = adapters.UsualOptim(
    OptimConfig(muon_learning_rate=1e-3, learning_rate=1e-4, embedding_learning_rate=5e-3),
    imported=1e-6, adapter=5e-4, imported_adapter=1e-5,
)  # fmt: skip
"""Of an imported model TRL's rate."""
ROLLOUTS, SOME_TASKS = "rollouts.jsonl", 50


class PolicyConfig(adapters.AdaptableConfig):
    """How to train on rewards."""

    loss: PolicyLossConfig = PolicyLossConfig()
    """Which algorithm, and its constants."""
    rewards: RewardConfig = RewardConfig()
    """What is rewarded."""
    steps: int = Field(default=100, ge=1)
    """Optimizer steps."""
    prompts: int = Field(default=8, ge=1)
    """Tasks of a sample."""
    answers: int = Field(default=8, ge=1, le=1024)
    """Answers to each; two at least where they are compared with each other: not in ppo and
    reinforce."""
    updates: int = Field(default=1, ge=1)
    """Optimizer steps on each sample."""
    max_tokens: int = Field(default=64, ge=1)
    """Tokens of an answer."""
    online: bool = True
    """Whether each sample is drawn from the live weights; else all from those before training, a
    fixed set of answers."""
    watch: WatchConfig = WatchConfig()
    """What ends the run early, with its best weights."""
    exact: bool = False
    """Whether the training's log-probabilities have the sampler's bits: float32 on CPUs."""
    wait_seconds: Annotated[float, Unhashed()] = Field(default=3600.0, ge=0)
    """How long the run waits for people's next vote; then it stops, saved."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the tasks that are answered before and after, and never trained on."""
    optim: OptimConfig = USUAL.native
    """Optimizer and schedule; the defaults of an imported model are matrix_optimizer=adamw and
    learning_rate=1e-6."""
    spikes: SpikeConfig = SpikeConfig(policy="off")
    """Off: the loss of a policy is no measure of its quality and has no level."""
    tasks_digest: str = ""
    """Hash of the tasks, of lexicons and an own scorer; set by the stage."""

    @model_validator(mode="after")
    def check(self) -> "PolicyConfig":
        """Check that groups are groups, and that a divergence that is watched is measured."""
        if self.answers < 2 and self.loss.is_by_group:
            raise ConfigError(
                f"answers={self.answers} came with {self.loss.name}, which compares the answers to "
                "one prompt; give at least 2."
            )
        if self.watch.max_divergence and not self.loss.beta:
            raise ConfigError("watch.max_divergence needs a reference; give loss.beta too.")
        return self


def reinforce(
    config: PolicyConfig, model: Artifact, tasks: Path, out: Path, adapter: str = "", *,
    reward: list[Path] | None = None, queue: Path | None = None,
) -> Artifact:  # fmt: skip
    """Train a chat model on what is rewarded; a stopped run resumes.

    model    a tuned model that answers some of the tasks well, however rarely
    tasks    JSON lines with prompt and answer, the right one or a list of such; with reward models
             alone a prompt will do
    adapter  train an adapter alone: a new lora, prefix or bottleneck, or on from the directory of
             one that `groundup finetune` trained
    reward   reward model of `groundup reward`; several are an ensemble. With one, what a program
             can check counts if it is set, such as rewards.number=1
    queue    directory in which people compare each prompt's answers while the run waits, by
             `groundup preferences review`; made if it is not there. Other rewards as above

    Raises DataError for what is no task, ConfigError for settings that do not fit, RunStopped if
    people give no vote in wait_seconds.
    """
    config, own = adapters.with_adapter(config, adapter, model, USUAL)
    if config.exact and adapters.is_adapted(config, own):
        raise ConfigError("exact needs the model's own layers; omit it, or adapter.")
    if config.dropout:
        raise ConfigError("A policy trains without dropout, as it samples; omit it.")
    if config.exact and config.precision not in ("auto", "float32"):
        raise ConfigError(f"exact is of float32; precision={config.precision!r} came with it.")
    if config.exact:
        config = config.model_copy(update={"precision": "float32"})
    if queue and queue.resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"--queue {queue} is inside --out; give a folder beside it.")
    config, judges, rewarded = _open_rewards(config, reward or (), queue)
    samples = _read_rewardable(tasks, rewarded)
    own_code = [name for side in rewarded for name in side.parts if "#" in name]
    lexicons = [each.lexicon for each in (config.rewards, config.watch.measure) if each]
    content = " ".join([*map(hash_file, filter(None, (tasks, *lexicons))), *own_code])
    config = config.model_copy(update={"tasks_digest": content})
    check_model(model, config.max_tokens)
    split = split_paths([each.id for each in samples], config.held_out, 0.0, config.seed)
    train, held_out = ([each for each in samples if split[each.id] == name] for name in SPLITS)
    if not held_out or len(train) < config.prompts:
        count = f"{len(samples)} tasks are too few"
        raise DataError(f"{count} for prompts={config.prompts} and held-out ones.")
    votes = {"queue": open_queue(queue, model)} if queue else {}
    identity = RunIdentity(
        objective=config.loss.name, settings=config.hashed_values(),
        parents={"model": model} | own | judges | votes,
    )  # fmt: skip
    write = partial(_train_and_save, config, identity, (train, held_out), rewarded)
    kind = "adapter" if adapters.is_adapted(config, own) else "model"
    with lock_queue(queue) if queue else nullcontext():  # tells reviewers that more may come
        return produce_alone(config, out, write, stage="reinforce", identity=identity, kind=kind)


def _read_rewardable(tasks: Path, rewarded: tuple[Reward, Reward]) -> list[Sample]:
    """The tasks, each with what its rewards need."""
    needs_answer = any({*OF_REFERENCES} & each.parts.keys() for each in rewarded)
    samples = read_tasks(tasks, needs_answer=needs_answer)
    if "quoted" in rewarded[0].parts and not any("source" in each.metadata for each in samples):
        raise DataError(f"rewards.quoted needs a source, and no task of {tasks} has one.")
    for each in rewarded:
        each.check_tasks(samples)
    return samples


def _open_rewards(
    config: PolicyConfig, paths: Sequence[Path], queue: Path | None = None
) -> tuple[PolicyConfig, dict[str, Artifact], tuple[Reward, Reward]]:
    """What is rewarded and what is watched, with the reward models as parents.

    With those or a queue, what a program can check counts only if it is set.
    """
    if queue is not None and not 2 <= (count := config.answers) <= MAX_ANSWERS:
        raise ConfigError(f"People compare 2 to {MAX_ANSWERS} answers; answers={count} came.")
    judges = {f"reward {n}": Artifact.open(path, "model") for n, path in enumerate(paths, 1)}
    models, people = [RewardModel.open(each.path).score for each in judges.values()], None
    if queue is not None:
        people = LiveQueue(queue, config.wait_seconds).wins
        patient = WatchdogConfig(floor_seconds=1e9, limit_seconds=1e9)  # a step waits for people
        config = config.model_copy(update={"watchdog": patient})
    if (judges or people) and "number" not in config.rewards.model_fields_set:
        rewards = config.rewards.model_copy(update={"number": 0.0})
        config = config.model_copy(update={"rewards": rewards})
    rewarded = measured = Reward.of(config.rewards, models, people)
    if (measure := config.watch.measure) is not None:
        own = models if "model" in measure.model_fields_set else []  # they may be what is misled
        measured = Reward.of(measure, own)
    elif not rewarded.parts and not rewarded.models:
        raise ConfigError(
            "People compare answers and measure none alone; set what the held-out tasks are "
            "measured by, such as watch.measure.number=1."
        )
    return config, judges, (rewarded, measured)


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
    reference: Reference | None
    """Of the model before training, if its divergence counts."""
    values: ModelWithHead | None = None
    """The live model with PPO's head of values."""
    sampler: Engine | None = None
    """What answers: the live weights, or without `online` those before training."""

    def check_lengths(self, tasks: Sequence[Sample]) -> None:
        """Raise DataError naming a task whose prompt leaves no room for an answer."""
        context = self.engine.model.config.context_length
        for task in tasks:
            if (length := len(self.engine.prompt_ids(task.conversation))) >= context:
                raise DataError(
                    f"The prompt of the task in line {task.id} has {length} tokens and the context "
                    f"{context}, which leaves none for the answer; shorten it, or leave it out."
                )

    def batch(self, step: int) -> MicroBatch:
        """The packed answers of a step."""
        return self.rollouts(step).batch(self.config.loss, self.plan)

    @property
    def plan(self) -> RolloutPlan:
        """How many answers are sampled, and how rows are packed."""
        config, context = self.config, self.engine.model.config.context_length
        is_forked = not config.exact and may_fork(self.engine.model)
        return RolloutPlan(config.answers, config.max_tokens, context, config.seed, is_forked)

    def data(self) -> TrainingData:
        """What the loop reads."""
        config, engine = self.config, self.engine
        some = [len(engine.prompt_ids(each.conversation)) for each in self.tasks[:SOME_TASKS]]
        tokens = config.prompts * config.answers * (sum(some) // len(some) + config.max_tokens)
        return TrainingData(
            self.batch, config.steps, lambda step: step * tokens, lambda step: config.max_tokens,
            is_trained_on=False,
        )  # fmt: skip

    def rollouts(self, step: int) -> Rollouts:
        """A step's sample: read if the run was killed after it, else drawn now."""
        config, model, number = self.config, self.engine.model, step // self.config.updates
        path = self.draft.scratch / "rollouts" / f"{number}.npz"
        if path.is_file():
            return Rollouts.read(path)
        path.parent.mkdir(exist_ok=True)
        was_training, keep = model.training, path.with_suffix(".json")
        was_killed = keep.is_file()
        model.eval()  # an adapter may have dropout
        chosen = shuffled_indices(number, config.prompts, len(self.tasks), config.seed)
        made = sample_rollouts(
            self.sampler or self.engine, [self.tasks[at] for at in chosen], number, self.plan,
            reward=self.reward, loss=self._loss_at(number), reference=self.reference,
            token_values=self.token_values if self.values is not None else None, keep=keep,
        )  # fmt: skip
        model.train(was_training)
        numbers, log = {"step": number * config.updates} | made.numbers(), self.draft.log / ROLLOUTS
        rows = record.read_metrics(log) if was_killed and log.exists() else []
        if numbers["step"] not in [row["step"] for row in rows]:
            with open(log, "a", encoding="utf-8") as file:
                file.write(json.dumps(numbers) + "\n")
        made.write(path)  # last: what is read again has its row
        return made

    def _loss_at(self, number: int) -> PolicyLossConfig:
        """The algorithm's constants for a sample: a divergence that is held changes its weight."""
        config, loss = self.config, self.config.loss
        if not loss.target or not number:
            return loss
        last = self.rollouts((number - 1) * config.updates)
        beta = adapted_beta(last.beta, last.divergence, config.prompts * config.answers, loss)
        return loss.model_copy(update={"beta": beta})

    def token_values(self, answers: Sequence[RenderedAnswer]) -> list[np.ndarray]:
        """The value of each token of each answer, now, by PPO's head."""
        assert self.values is not None, "called for PPO alone"
        place, found = self.engine.model.head.device, [np.zeros(len(each.ids)) for each in answers]
        value = partial(scores_of, self.values)
        values = packing.values_of_targets(answers, self.plan.row_tokens, place, value)
        for each, own, given in zip(answers, found, values, strict=True):
            own[each.is_answer] = given
        return found

    def loss(self, model: nn.Module, batch: MicroBatch, routing: object = None) -> LossSum:
        """The algorithm's sum over a micro-batch, and what divides it."""
        assert batch.documents is not None and batch.reference is not None, "see pack_groups"
        assert batch.sampled is not None and batch.advantages is not None, "see pack_groups"
        assert batch.values is not None and batch.returns is not None, "see pack_groups"
        own, loss, body = batch.targets != packing.PADDING, self.config.loss, self.engine.model
        states = packing.answer_states(body, batch) if self.exact is None or self.values else None
        if self.exact is None:
            size = self.engine.tokenizer.vocab_size
            policy = packing.target_logprobs(body, batch, size, states=states)
        else:
            policy = self.exact.log_probs(
                batch.ids, batch.targets.clamp(min=0), documents=batch.documents, wanted=own
            )[own]
        _, answer = torch.unique(batch.documents[own], return_inverse=True)
        columns = (batch.sampled[own], batch.reference[own], batch.advantages[own])
        total = policy_loss(Tokens(policy, *columns, answer), loss)
        if self.values is not None and states is not None:
            values = self.values.head(states[:, None])
            errors = value_losses(values, batch.values[own], batch.returns[own], loss.value_clip)
            total = total + loss.value_weight * errors.sum()
        return LossSum(total, batch.weights.sum(dtype=torch.float64))

    def look(self, tasks: Sequence[Sample], measure: Reward) -> HeldOut:
        """What the most likely answers of the live model are worth."""
        sampling = Sampling(max_tokens=self.config.max_tokens)
        prompts = [self.engine.prompt_ids(each.conversation) for each in tasks]
        said = self.engine.continue_ids(prompts, sampling, shows_progress=False)
        measures = measure.of_answers(tasks, said)
        is_measured = measure is self.reward or not (self.reward.parts or self.reward.models)
        rewards = measures if is_measured else self.reward.of_answers(tasks, said)
        return HeldOut(measures, float(rewards.mean()))


def _train_and_save(
    config: PolicyConfig, identity: RunIdentity, splits: tuple[list[Sample], list[Sample]],
    rewards: tuple[Reward, Reward], draft: Draft,
) -> None:  # fmt: skip
    parents, (train, held_out), (reward, measure) = identity.parents, splits, rewards
    policy = _open_policy(config, parents, train, reward, draft)
    model, look = policy.engine.model, partial(policy.look, held_out, measure)
    watch = Watch(config.watch, draft, config.steps, look, model)
    policy.check_lengths([*train, *held_out])
    task = TrainingTask(
        model, policy.values or model, policy.loss, policy.data(), config.loss.name,
        is_compiled=False,
        is_done=lambda step: watch.is_done(
            step.number + 1, lambda: policy.rollouts(step.number).numbers()
        ),
    )  # fmt: skip
    run = TrainingRun(draft, config, task, identity._replace(model=model.config.to_dict()))
    if not run.resumed.step:
        watch.is_done(0, dict)
    before = watch.rows[0]["held out"]
    record.log(f"Held-out tasks before: {before:.3f}")
    run.train_to_end()
    trained = run.final_model()
    if watch.stopped:
        watch.restore_best(trained)
    policy.engine = _engine_like(policy.engine, trained)
    after = watch.best["held out"] if watch.stopped else look().reward
    record.log(f"Held-out tasks after: {after:.3f}")
    rows = record.read_metrics(draft.log / ROLLOUTS)
    if not any(row["reward deviation"] for row in rows):
        record.log("Nothing was learnt: all answers to each prompt had the same reward; give tasks "
                   "that the model answers rightly now and then, or other rewards.")  # fmt: skip
    scores = {"before": round(before, 4), "after": round(after, 4), "tasks": len(held_out)}
    draft.numbers |= {"held_out": scores, "watch": watch.summary()}
    if "queue" in parents:
        report = report_votes(read_votes(parents["queue"].path))
        draft.numbers["raters"] = [each._asdict() for each in report.raters]
    form, stops = adapters.chat_format(parents), [*policy.engine.end_ids]
    adapters.save_trained(config, trained, draft, parents, form, stops)


def _open_policy(
    config: PolicyConfig, parents: Mapping[str, Artifact], tasks: Sequence[Sample], reward: Reward,
    draft: Draft,
) -> PolicyRun:  # fmt: skip
    """A run at its start."""
    model, form = adapters.load_trainable(config, parents), adapters.chat_format(parents)
    adapter = parents.get("adapter", parents["model"])
    ends = read_end_ids(adapter.path, form.tokenizer, form.template)
    # Answers are drawn in the dtype that training computes in: 16 bits are half again as fast.
    dtype = resolve_precision(config.precision, model.head.device).dtype
    bits = 16 if dtype == torch.bfloat16 and supports(model) else None
    engine = Engine(model, form.tokenizer, end_ids=ends, template=form.template, bits=bits)
    vocab_size = form.tokenizer.vocab_size
    head = Head(HeadConfig(kind="number", pooling="last"), model.config.width).to(model.head)
    run = PolicyRun(
        config, draft, tasks, reward, engine,
        exact=ExactForward(model, vocab_size=vocab_size) if config.exact else None,
        reference=_reference(config, model, parents, vocab_size) if config.loss.beta else None,
        values=ModelWithHead(model, head) if config.loss.name == "ppo" else None,
    )  # fmt: skip
    if not config.online:
        before = load(parents["model"].path)
        if "adapter" in parents:
            load_adapter(before, adapter.path, base=parents["model"].path)
        run.sampler = _engine_like(engine, before.to(model.head.device))
    return run


def _reference(
    config: PolicyConfig, model: Transformer, parents: Mapping[str, Artifact], vocab_size: int
) -> Reference:
    """What the model before training says: a copy, or the same one with its adapter switched."""
    if not adapters.is_adapted(config, parents):
        before = copy.deepcopy(model).requires_grad_(False)
        return partial(packing.with_reference, before, vocab_size=vocab_size)

    name = "reference" if "adapter" in parents else None  # the adapter as it was, or none

    def switched(answers: Sequence[RenderedAnswer], length: int) -> list[RenderedAnswer]:
        if name and name not in [size.name for size in adapter_sizes(model)]:
            load_adapter(model, parents["adapter"].path, name, base=parents["model"].path)
        activate_adapter(model, name)
        try:
            return packing.with_reference(model, answers, length, vocab_size)
        finally:
            activate_adapter(model, adapters.TRAINED)

    return switched


def _engine_like(live: Engine, model: Transformer) -> Engine:
    """An engine like that of the live weights."""
    bits = live.cached.native.bits if supports(model) else None
    return Engine(model, live.tokenizer, end_ids=live.end_ids, template=live.template, bits=bits)
