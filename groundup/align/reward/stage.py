"""Trains a reward model on preferences: of pairs of answers, or of steps that are right or wrong.

The base is a tuned model; its output embedding is replaced by a head. How well it orders held-out
pairs is told with an interval, beside the plainest baseline (the longer answer is better), and
apart for pairs whose better answer is the longer one, and the shorter. Its probabilities are held
against how often they are right.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from groundup.core import Artifact, Conversation, DataError, Draft, device, record
from groundup.kernels import LossSum
from groundup.measure import auroc, calibration, rate
from groundup.model import Head, ModelWithHead, load_to_train, save_with_head
from groundup.train import (
    MicroBatch,
    OptimConfig,
    RunIdentity,
    TrainingRun,
    TrainingTask,
    produce_alone,
    with_usual_optim,
)

from .. import packing
from ..adapters import adamw
from ..direct.stage import USUAL
from ..finetune import fit_to
from ..form import ChatFormat, check_fit, load_chat_format
from ..preferences import SPLITS, read_preferences
from .model import (
    ANSWER_HEAD,
    RIGHT,
    STEP_HEAD,
    right_probabilities,
    scored_answer,
    scored_steps,
    scores_of,
)


class RewardModelConfig(packing.PreferenceTrainingConfig):
    """How to train a reward model."""

    of: Literal["answers", "steps"] = "answers"
    """Whether whole answers are scored, learnt from pairs, or each step, learnt from its label."""
    centring: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    """Weight c of the square of a pair's sum of scores, which keeps scores around 0."""
    optim: OptimConfig = USUAL.native
    """Optimizer and schedule; the defaults of an imported model are matrix_optimizer=adamw and
    learning_rate=2e-5."""


def reward(
    config: RewardModelConfig, model: Artifact, preferences: Artifact, out: Path
) -> Artifact:
    """Train a reward model on preferences; a stopped run resumes from its last checkpoint.

    model        a tuned model, such as the one that the rewards shall train
    preferences  pairs of answers, or for of=steps rows with steps: `groundup preferences import`

    Raises DataError if too few preferences fit, ConfigError for a setting that does not.
    """
    config = with_usual_optim(config, model, USUAL.native, adamw(2e-5))
    config = fit_to(model, config)
    identity = RunIdentity(
        objective=f"reward of {config.of}", settings=config.hashed_values(),
        shards={"train": preferences.files["train.jsonl"]["sha256"]},
        parents={"model": model, "preferences": preferences},
    )  # fmt: skip
    write = partial(_train_and_save, config, identity)
    return produce_alone(config, out, write, stage="reward", identity=identity)


Scored = Sequence[packing.ScoredText]
"""A pair, the better answer first; or one answer with steps."""


def pair_losses(
    chosen: Float[Tensor, " P"], rejected: Float[Tensor, " P"], margin: Float[Tensor, " P"],
    centring: float,
) -> Float[Tensor, " P"]:  # fmt: skip
    """Nats of each pair."""
    centre = (chosen + rejected).square()
    return -logsigmoid(chosen - rejected - margin) + centring * centre


class RewardObjective(NamedTuple):
    """The loss of pairs or steps, summed over a micro-batch's."""

    config: RewardModelConfig

    def __call__(self, module: ModelWithHead, batch: MicroBatch, routing: object = None) -> LossSum:
        """Nats of a micro-batch, and its number of pairs or steps."""
        assert batch.advantages is not None, "see pack_groups"
        scores, weight = scores_of(module, batch), batch.weights.sum(dtype=torch.float64)
        scored = batch.targets != packing.PADDING
        if self.config.of == "steps":
            losses = cross_entropy(scores.float(), batch.targets[scored], reduction="sum")
            return LossSum(losses, weight)
        margin = batch.advantages[scored][::2]
        losses = pair_losses(scores[::2], scores[1::2], margin, self.config.centring)
        return LossSum(losses.sum(), weight)


def _train_and_save(config: RewardModelConfig, identity: RunIdentity, draft: Draft) -> None:
    base, source = identity.parents["model"], identity.parents["preferences"]
    body = load_to_train(base.path).to(device.default_device())
    form = load_chat_format(base.path, config.template)
    check_fit(form.tokenizer, body.config.vocab_size, base.path)
    train, held_out = (_read_scored(config, source, form, name, draft) for name in SPLITS)
    head = ANSWER_HEAD if config.of == "answers" else STEP_HEAD
    module = ModelWithHead(body, Head(head, body.config.width).to(body.head.device))
    data = packing.training_data(config, train, held_out, partial(_make_batch, config))
    name = f"reward of {config.of}"
    task = TrainingTask(body, module, RewardObjective(config), data, name, is_compiled=False)
    run = TrainingRun(draft, config, task, identity._replace(model=body.config.to_dict()))
    run.train_to_end()
    module.model = run.final_model()
    draft.numbers |= {"preferences": len(train)}
    draft.numbers["held_out"] = measure_reward(module.eval(), config, held_out)
    record.log(describe_measures(draft.numbers["held_out"]))
    save_with_head(module, draft.path, base.path, chat=True)
    stops = form.stop_ids(int(text.ids[-1]) for each in train for text in each)
    form.save(draft.path, base.path, stops)


def _read_scored(
    config: RewardModelConfig, source: Artifact, form: ChatFormat, name: str, draft: Draft
) -> list[Scored]:
    """The texts of a split that are scored; those that are too long are left out and named."""
    found, prompts = list[Scored](), list[Conversation]()
    for row in read_preferences(source, name):
        if config.of == "steps" and row.steps:
            found.append([scored_steps(form, row.prompt, row.steps, row.labels, name)])
        if config.of == "answers" and row.is_pair:
            chosen, rejected = map(row.conversation, (row.chosen, row.rejected))
            better = scored_answer(form, chosen, name, row.margin)
            found.append([better, scored_answer(form, rejected, name)])
        prompts += [row.prompt] * (len(found) - len(prompts))
    kept = packing.leave_out_long(draft, name, found, prompts, config.max_length)
    if not kept:
        what = "pair" if config.of == "answers" else "row with steps"
        raise DataError(f"No {name} {what} fits; give more, or shorter ones, or another `of`.")
    return kept


def _make_batch(config: RewardModelConfig, chosen: Sequence[Scored]) -> MicroBatch:
    batch = packing.pack_groups(chosen, config.row_tokens)
    if config.of == "answers":
        return batch
    return batch._replace(weights=(batch.targets != packing.PADDING).float())


def measure_reward(
    module: ModelWithHead, config: RewardModelConfig, held_out: Sequence[Scored]
) -> dict[str, Any]:
    """How well held-out pairs are ordered, or steps told apart."""
    texts = [text for each in held_out for text in each]
    place = next(module.parameters()).device
    found = packing.values_of_targets(texts, config.row_tokens, place, partial(scores_of, module))
    said = np.concatenate(found)
    if config.of == "steps":
        labels = np.concatenate([text.labels[text.labels != packing.PADDING] for text in texts])
        return _step_measures(right_probabilities(said), labels)
    lengths = np.array([text.length for text in texts])
    ahead = said[::2].astype(np.float64) - said[1::2]
    return _pair_measures(ahead, lengths[::2] - lengths[1::2])


def _pair_measures(
    ahead: Float64[np.ndarray, " P"], longer: Int64[np.ndarray, " P"]
) -> dict[str, Any]:
    """Of how far better answers are ahead in score, and by how many tokens they are longer."""

    sure = 1 / (1 + np.exp(-np.abs(ahead)))  # probability of the answer that is put first
    return {
        "pairs": len(ahead), "accuracy": _share(ahead > 0),
        "longer_is_better": round(float(((longer > 0) + (longer == 0) / 2).mean()), 4),
        "accuracy_longer": _share(ahead[longer > 0] > 0),
        "accuracy_shorter": _share(ahead[longer < 0] > 0),
        "margin": round(float(ahead.mean()), 4),
    } | _calibration(sure, ahead > 0)  # fmt: skip


def _step_measures(
    right: Float64[np.ndarray, " S"], labels: Int64[np.ndarray, " S"]
) -> dict[str, Any]:
    """Of the probabilities of steps, and whether they are right."""
    both = 0 < labels.sum() < len(labels)
    return {
        "steps": len(labels), "right": round(float(labels.mean()), 4),
        "accuracy": _share((right > 0.5) == (labels == RIGHT)),
        "auroc": round(auroc(right, labels), 4) if both else None,
    } | _calibration(right, labels)  # fmt: skip


def _share(is_right: Bool[np.ndarray, " _"]) -> list[float] | None:
    """Of what is right, with the bounds of its interval."""
    return [round(x, 4) for x in rate(is_right.astype(float))[:3]] if len(is_right) else None


def _calibration(said: Float64[np.ndarray, " _"], is_right: Any) -> dict[str, float]:
    found = calibration.calibration_error(said, is_right)
    errors = {"calibration_error": found.value, "calibration_error_by_chance": found.by_chance}
    return {name: round(error, 4) for name, error in errors.items()}


def describe_measures(found: dict[str, Any]) -> str:
    """What is measured, as a sentence."""
    share, low, high = found["accuracy"]
    of = f"{share:.1%} [{low:.1%}, {high:.1%}] of {found.get('pairs') or found['steps']}"
    if "steps" in found:
        usual = max(found["right"], 1 - found["right"])
        return f"Held-out steps: {of} told right (always the more frequent label: {usual:.1%})."
    return (f"Held-out pairs: {of} ordered right (the longer answer is better: "
            f"{found['longer_is_better']:.1%}).")  # fmt: skip
