"""Preferences from files: pairs of answers, or single answers that are good or bad.

Rows are TRL's, as JSON lines; texts, or lists of messages with role and content:

    {"prompt": …, "chosen": …, "rejected": …}       a pair; without a prompt, what both begin with
    {"prompt": …, "completion": …, "label": true}   a single answer

Other columns are ignored. A row that cannot be used is kept aside with its reason. All rows of a
prompt are in one split.
"""

import json
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

from .layouts import KeptRows, digest_of, keep_rows, read_answer, read_prompt

SPLITS = ("train", "validation")


class Preference(NamedTuple):
    """A pair of answers to a prompt, or one answer: then `rejected` is empty or `chosen` is."""

    prompt: Conversation
    chosen: str
    """The better or a good answer; empty if the only answer is bad."""
    rejected: str
    """The worse or a bad answer; empty if the only answer is good."""

    @property
    def is_pair(self) -> bool:
        """Whether it compares two answers."""
        return bool(self.chosen and self.rejected)

    def conversation(self, answer: str) -> Conversation:
        """The prompt with an answer."""
        return (*self.prompt, Message("assistant", answer))

    def to_json(self) -> str:
        """One line of JSON."""
        answers = {"chosen": self.chosen, "rejected": self.rejected}
        if not self.is_pair:
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
        write=lambda draft: write_preferences(draft, config, keep_rows(files, parse_preference)),
    )  # fmt: skip


def read_preferences(artifact: Artifact, split: str) -> list[Preference]:
    """The preferences of a split, in order."""
    text = artifact.file(f"{split}.jsonl").read_text(encoding="utf-8")
    lines = text.split("\n")  # splitlines() would also split at U+2028 within a text
    return [parse_preference(json.loads(line)) for line in lines if line]


def write_preferences(draft: Draft, config: PreferencesConfig, found: KeptRows[Preference]) -> None:
    """Write preferences by split, and what was left out; DataError if a split would be empty."""
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
        pairs = sum(each.is_pair for each in own)
        draft.numbers[name] = {"pairs": pairs, "single": len(own) - pairs}
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
    if missing := {"chosen", "rejected"} - row.keys():
        raise DataError(f"It has no {' and no '.join(sorted(missing))}.")
    sides = row["chosen"], row["rejected"]
    if row.get("prompt") is None:  # what both begin with
        row, sides = _split_prompt(*sides)
    prompt = read_prompt(row["prompt"])
    chosen, rejected = map(read_answer, sides, ("chosen", "rejected"))
    if chosen == rejected:
        raise DataError("Its chosen answer equals the rejected one.")
    return Preference(prompt, chosen, rejected)


def _split_prompt(chosen: Any, rejected: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """The common beginning of two conversations or texts, and what follows in each."""
    if type(chosen) is not type(rejected) or not isinstance(chosen, list | str):
        raise DataError("Its chosen and rejected are of different kinds.")
    pairs = zip(chosen, rejected, strict=False)
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return {"prompt": chosen[:common]}, (chosen[common:], rejected[common:])
