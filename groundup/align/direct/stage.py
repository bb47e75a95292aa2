"""Trains a model on preferences without a reward model: DPO and its kin, and KTO.

The reference is the model before training: what it gives each answer is computed once, before the
first step, so no second model is in memory. Prompt and answers are rendered by the model's chat
template, packed, and only tokens of answers count.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from groundup.core import Artifact, DataError, Draft, record
from groundup.model import Transformer
from groundup.train import (
    MicroBatch,
    OptimConfig,
    RunIdentity,
    TrainingRun,
    TrainingTask,
    batch_to_device,
    produce_alone,
    resolve_precision,
)

from ..adapters import (
    AdaptableConfig,
    UsualOptim,
    adamw,
    chat_format,
    is_adapted,
    load_trainable,
    save_trained,
    with_adapter,
)
from ..finetune import check_decoder
from ..form import ChatFormat, read_template
from ..packing import (
    Group,
    PreferenceTrainingConfig,
    RenderedAnswer,
    join_rows,
    pack_groups,
    training_data,
    with_reference,
)
from ..preferences import SPLITS, Preference, read_preferences
from .losses import PreferenceLossConfig
from .objectives import BAD, GOOD, OTHER, KtoObjective, PairObjective, answer_logprobs

USUAL = UsualOptim(
    OptimConfig(muon_learning_rate=2e-3, learning_rate=2e-4, embedding_learning_rate=1e-2),
    imported=adamw(1e-6), adapter=adamw(5e-4), imported_adapter=adamw(1e-5),
)  # fmt: skip
"""Of an imported model TRL's rate."""


class DirectConfig(PreferenceTrainingConfig, AdaptableConfig):
    """How to train on preferences."""

    loss: PreferenceLossConfig = PreferenceLossConfig()
    """Which loss, and its constants."""
    optim: OptimConfig = USUAL.native
    """Optimizer and schedule; the defaults of an imported model are matrix_optimizer=adamw and
    learning_rate=1e-6."""


def direct(
    config: DirectConfig, model: Artifact, preferences: Artifact, out: Path, adapter: str = ""
) -> Artifact:
    """Train a chat model on preferences; a stopped run resumes from its last checkpoint.

    model        a tuned model, whose answers are near those that are compared
    preferences  pairs of answers, or for kto also single ones: `groundup preferences import`
    adapter      train an adapter alone: a new lora, prefix or bottleneck, or on from the directory
                 of one that `groundup finetune` trained

    Raises DataError if too few preferences fit, ConfigError for a setting that does not.
    """
    config, own = with_adapter(config, adapter, model, USUAL)
    config = config.model_copy(update={"template": read_template(config.template)})
    check_decoder(model, config.max_length)
    identity = RunIdentity(
        objective=config.loss.name, settings=config.hashed_values(),
        shards={"train": preferences.files["train.jsonl"]["sha256"]},
        parents={"model": model, "preferences": preferences} | own,
    )  # fmt: skip
    write = partial(_train_and_save, config, identity)
    kind = "adapter" if is_adapted(config, own) else "model"
    return produce_alone(config, out, write, stage="direct", identity=identity, kind=kind)


class ComparedAnswers(NamedTuple):
    """What a loss compares: chosen and rejected; or an answer and one to another prompt."""

    answers: Group
    is_good: bool = True
    """Whether a single answer is good."""


Compared = Sequence[ComparedAnswers]


def _train_and_save(config: DirectConfig, identity: RunIdentity, draft: Draft) -> None:
    parents, source = identity.parents, identity.parents["preferences"]
    model = load_trainable(config, parents)
    form = chat_format(parents, config.template)
    form.check_fit(model.config.vocab_size)
    splits = [_compared(config, read_preferences(source, name), form, name) for name in SPLITS]
    if config.loss.has_reference:
        splits = [_with_reference(model, split, config) for split in splits]
    draft.numbers |= {"preferences": len(splits[0])}
    sizes = [sum(a.length for a in each.answers) for each in splits[0]]
    data = training_data(config, splits[0], splits[1], partial(_make_batch, config), sizes)
    pairs, single = PairObjective(config.loss), KtoObjective(config.loss)
    is_kto = config.loss.name == "kto"
    task = TrainingTask(
        model, model, single if is_kto else pairs, data, config.loss.name, is_compiled=False,
        gradients=single.gradients if is_kto else None,
    )  # fmt: skip
    run = TrainingRun(draft, config, task, identity._replace(model=model.config.to_dict()))
    run.train_to_end()
    trained = run.final_model()
    if not is_kto:
        draft.numbers["held_out"] = preferred(trained, data.held_out[""], config.loss)
        share, margin, count = draft.numbers["held_out"].values()
        record.log(f"Held-out pairs: {share:.1%} of {count} preferred, by {margin:.3f} nats.")
    ends = {answer.end for each in splits[0] for answer in each.answers}
    stops = sorted(ends & set(form.tokenizer.specials.values()))
    save_trained(trained, draft, parents, form, stops, adapted=is_adapted(config, parents))


def _compared(
    config: DirectConfig, rows: Sequence[Preference], form: ChatFormat, name: str
) -> list[ComparedAnswers]:
    """The answers that the loss compares, rendered; those that are too long are left out."""

    def answers(*texts: tuple[Preference, str]) -> Group:
        return [
            RenderedAnswer.of_chat(form.render(row.conversation(text), name)) for row, text in texts
        ]

    if config.loss.name == "kto":
        single = [(row, text) for row in rows for text in (row.chosen, row.rejected) if text]
        others = [(row, single[n - 1][1]) for n, (row, _) in enumerate(single)]
        found = [
            ComparedAnswers(answers(own, other), own[1] == own[0].chosen)
            for own, other in zip(single, others, strict=True)
        ]
        if len({each.is_good for each in found}) < 2:
            raise DataError(
                f"All {name} answers are of one kind; kto needs good and bad ones: give more, or "
                "hold more out (`preferences import --set validation_share=0.3`)."
            )
    else:
        pairs = [((row, row.chosen), (row, row.rejected)) for row in rows if row.is_pair]
        found = [ComparedAnswers(answers(*pair)) for pair in pairs]
    kept = [each for each in found if max(len(a.ids) for a in each.answers) <= config.max_length]
    if len(kept) < len(found):
        record.log(f"{len(found) - len(kept)} {name} preferences are longer than "
                   f"max_length={config.max_length} and left out.")  # fmt: skip
    if not kept:
        raise DataError(
            f"No {name} preference fits {config.loss.name}; give pairs, or shorter; single answers "
            "are for --set loss.name=kto."
        )
    return kept


def _with_reference(
    model: Transformer, compared: Compared, config: DirectConfig
) -> list[ComparedAnswers]:
    """The same with what the model gives each token now, in the precision of the training."""
    flat = [answer for each in compared for answer in each.answers]
    device_type = model.head.device.type
    with resolve_precision(config.precision, model.head.device).autocast(device_type):
        found = iter(with_reference(model, flat, config.row_tokens))
    return [each._replace(answers=[next(found) for _ in each.answers]) for each in compared]


def _make_batch(config: DirectConfig, chosen: Compared) -> MicroBatch:
    length = config.row_tokens
    if config.loss.name != "kto":
        return pack_groups([each.answers for each in chosen], length)
    sides = [[each.answers[:1] for each in chosen if each.is_good == good] for good in (0, 1)]
    bad = pack_groups(sides[BAD], length, label=BAD)
    good = pack_groups(sides[GOOD], length, first=len(sides[BAD]), label=GOOD)
    other = pack_groups([each.answers[1:] for each in chosen], length, label=OTHER)
    return join_rows([bad, good, other._replace(weights=torch.zeros_like(other.weights))])


def preferred(
    model: Transformer, batches: Sequence[MicroBatch], loss: PreferenceLossConfig
) -> dict[str, float]:
    """Share of pairs whose chosen answer the loss puts above the other, and by how much.

    By the change against the reference, or without one by the mean log-probability, nats.
    """
    model.eval()
    gains = list[float]()
    with torch.no_grad():
        for batch in batches:
            answers = answer_logprobs(model, batch_to_device(batch, model.head.device))
            merit = answers.change if loss.has_reference else answers.mean
            gains += (merit[::2] - merit[1::2]).tolist()
    share = sum(gain > 0 for gain in gains) / len(gains)
    margin = math.fsum(gains) / len(gains)
    return {"preferred": round(share, 4), "margin": round(margin, 4), "pairs": len(gains)}
