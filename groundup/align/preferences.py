"""Preferences from files: pairs of answers, single answers, or steps that are good or bad.

Rows are TRL's, as JSON lines; texts, or lists of messages with role and content:

    {"prompt": …, "chosen": …, "rejected": …}       a pair; without a prompt, what both begin with
    {"prompt": …, "completion": …, "label": true}   a single answer
    {"prompt": …, "completions": […], "labels": [true, …]}       the steps of an answer, as texts

A pair may have a "margin": how much better its chosen answer is, for reward models. Other columns
are ignored. A row that cannot be used is kept aside with its reason. All rows of a prompt are in
one split.
"""

import json
import math
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    Conversation,
    DataError,
    Draft,
    Message,
    produce,
    record,
    write_text,
)
from groundup.corpus import split_paths

from .layouts import digest_of, keep_rows, read_answer, read_prompt

SPLITS = ("train", "validation")


class Preference(NamedTuple):
    """A pair of answers to a prompt, or one answer: then `rejected` is empty or `chosen` is.

    An answer of which each step was judged is neither: it has `steps` alone.
    """

    prompt: Conversation
    chosen: str
    """The better or a good answer; empty if the only answer is bad."""
    rejected: str
    """The worse or a bad answer; empty if the only answer is good."""
    margin: float = 0.0
    """How much better the chosen answer of a pair was said to be."""
    steps: tuple[str, ...] = ()
    """One line or more each."""
    labels: tuple[bool, ...] = ()
    """Whether each step is right."""

    @property
    def is_pair(self) -> bool:
        """Whether it compares two answers."""
        return bool(self.chosen and self.rejected)

    def conversation(self, answer: str) -> Conversation:
        """The prompt with an answer."""
        return (*self.prompt, Message("assistant", answer))

    def to_json(self) -> str:
        """One line of JSON."""
        answers: dict[str, Any] = {"chosen": self.chosen, "rejected": self.rejected}
        if self.margin:
            answers["margin"] = self.margin
        if self.steps:
            answers = {"completions": self.steps, "labels": self.labels}
        elif not self.is_pair:
            answers = {"completion": self.chosen or self.rejected, "label": bool(self.chosen)}
        prompt = [message._asdict() for message in self.prompt]
        return json.dumps({"prompt": prompt} | answers, ensure_ascii=False)


class PreferencesConfig(Config):
    """How preferences are split."""

    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the prompts that are held out."""
    seed: int = 0
    """Of the split."""
    files_digest: str = ""
    """Hash of the files; set by the stage."""


def import_preferences(config: PreferencesConfig, files: list[Path], out: Path) -> Artifact:
    """Read preferences from files of JSON lines, and hold some out.

    files  with columns prompt, chosen and rejected, or prompt, completion and label
    out    directory of the preferences; what cannot be used is in rejected.jsonl, with reasons

    Raises DataError for a missing file, and if no row can be used or a split would be empty.
    """
    config = config.model_copy(update={"files_digest": digest_of(files, "preferences")})
    return produce(
        out, kind="preferences", stage="preferences", version=1, config=config, parents={},
        write=lambda draft: _write_preferences(draft, config, files),
    )  # fmt: skip


def read_preferences(artifact: Artifact, split: str) -> list[Preference]:
    """The preferences of a split, in order."""
    lines = artifact.file(f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [parse_preference(json.loads(line)) for line in lines]


def _write_preferences(draft: Draft, config: PreferencesConfig, files: Sequence[Path]) -> None:
    found = keep_rows(files, parse_preference)
    kept = found.rows
    prompts = [json.dumps(each.prompt, ensure_ascii=False) for each in kept]
    split = split_paths(prompts, config.validation_share, 0.0, config.seed)
    for name in SPLITS:
        own = [each for each, prompt in zip(kept, prompts, strict=True) if split[prompt] == name]
        if not own:
            raise DataError(
                f"{len(kept)} usable rows with {len(split)} prompts leave none for {name}; "
                f"give more ({len(found.rejected)} were left out)."
            )
        write_text(draft.path / f"{name}.jsonl", "".join(f"{each.to_json()}\n" for each in own))
        pairs, stepwise = sum(each.is_pair for each in own), sum(bool(each.steps) for each in own)
        draft.numbers[name] = {
            "pairs": pairs,
            "single": len(own) - pairs - stepwise,
            "stepwise": stepwise,
        }
    found.write_rejected(draft)
    train, held_out = (draft.numbers[name] for name in SPLITS)
    record.log(f"{train['pairs']} pairs and {train['single']} single answers to train on, "
               f"{held_out['pairs']} and {held_out['single']} held out, "
               f"{len(found.rejected)} rows left out.")  # fmt: skip


def parse_preference(row: Any) -> Preference:
    """Read one row.

    >>> parse_preference({"prompt": "2+2?", "chosen": "4", "rejected": "5"}).chosen
    '4'

    Raises DataError saying what is wrong with it.
    """
    if not isinstance(row, dict):
        raise DataError("It is no object.")
    if "completion" in row:
        prompt, answer = (
            read_prompt(row.get("prompt")),
            read_answer(row["completion"], "completion"),
        )
        if not isinstance(row.get("label"), bool):
            raise DataError(f"Its label is {row.get('label')!r}; expected true or false.")
        return Preference(prompt, *((answer, "") if row["label"] else ("", answer)))
    if "completions" in row:
        return _parse_steps(row)
    if missing := {"chosen", "rejected"} - row.keys():
        raise DataError(f"It has no {' and no '.join(sorted(missing))}.")
    sides = row["chosen"], row["rejected"]
    if row.get("prompt") is None:  # what both begin with
        begin, sides = _split_prompt(*sides)
        row = row | begin
    prompt = read_prompt(row["prompt"])
    chosen, rejected = map(read_answer, sides, ("chosen", "rejected"))
    if chosen == rejected:
        raise DataError("Its chosen answer equals the rejected one.")
    margin = row.get("margin") or 0.0
    if not isinstance(margin, int | float) or not math.isfinite(margin):
        raise DataError(f"Its margin is {margin!r}; expected a number.")
    return Preference(prompt, chosen, rejected, float(margin))


def _parse_steps(row: dict[str, Any]) -> Preference:
    steps, labels = row["completions"], row.get("labels")
    if not isinstance(steps, list) or not steps or not isinstance(labels, list):
        raise DataError("It has no lists of completions and of labels.")
    if len(steps) != len(labels) or not all(isinstance(label, bool) for label in labels):
        raise DataError(f"Its {len(steps)} steps need as many labels, true or false.")
    texts = tuple(read_answer(step, "completions") for step in steps)
    return Preference(read_prompt(row.get("prompt")), "", "", 0.0, texts, tuple(labels))


def _split_prompt(chosen: Any, rejected: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """The common beginning of two conversations or texts, and what follows in each."""
    if type(chosen) is not type(rejected) or not isinstance(chosen, list | str):
        raise DataError("Its chosen and rejected are of different kinds.")
    pairs = zip(chosen, rejected, strict=False)
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return {"prompt": chosen[:common]}, (chosen[common:], rejected[common:])
