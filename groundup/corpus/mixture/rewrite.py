"""Rewriting: paraphrases, and translations there and back, by any LanguageModel.

Answers go to a file of lines as they come, so that a run that was stopped goes on where it was, and
a paid answer is never asked for twice. What is empty, the same, cut off, or far from the length of
its original is written down with its reason and becomes no record. Knows nothing of which model it
is; the caller does, and names it.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import (
    Config,
    ConfigError,
    DataError,
    Generation,
    LanguageModel,
    Message,
    Sampling,
    digest,
    write_text,
)
from groundup.documents import Record

from ..engine.derive import derived

PARAPHRASE = (
    "Say the following text in other words. Keep every fact, name, number and piece of code. "
    "Give the new text alone.\n\n{text}"
)
TRANSLATE = (
    "Translate the following text into {language}. Leave names, numbers and code as they are. "
    "Give the translation alone.\n\n{text}"
)


class RewriteConfig(Config):
    """What is asked, and which answers are taken."""

    model: str
    """Name of the model, kept in every record made."""
    how: Literal["paraphrase", "back_translation"] = "paraphrase"
    """In other words, or into another language and back."""
    language: str = "English"
    """The records' own."""
    through: str = "German"
    """Language of the way there."""
    batch: int = Field(default=8, ge=1)
    """Records that are asked together."""
    max_characters: int = Field(default=6_000, ge=1)
    """Longer records are passed over; our own: about 1,500 tokens, which leave room to answer."""
    max_tokens: int = Field(default=2_048, ge=1)
    """Of an answer."""
    temperature: float = Field(default=0.7, ge=0)
    """Of the answers; our own."""
    min_ratio: float = Field(default=0.5, ge=0)
    """Shortest answer as a share of its original, characters; our own."""
    max_ratio: float = Field(default=2.0, gt=0)
    """Longest answer; our own."""
    seed: int = 0
    """Of the model's random numbers."""


class Rewritten(NamedTuple):
    """An answer."""

    id: str
    """Of the record that was rewritten."""
    text: str
    reason: str = ""
    """Why it makes no record; empty if it does."""


def rewrite(
    model: LanguageModel, records: Iterable[Record], config: RewriteConfig, out: Path
) -> Iterator[Record]:
    """Yield a rewritten record for each that the model rewrote well, in order.

    records  training records; synthetic ones and those that are too long are passed over
    out      the file of answers; one of the same settings is continued

    Raises ConfigError if the file was made with other settings.
    """
    known = opened(out, config)
    fitting = (
        record
        for record in records
        if record.text.strip()
        and len(record.text) <= config.max_characters
        and not record.metadata.get("synthetic")
    )
    while group := list(islice(fitting, config.batch)):
        new = [record for record in group if record.id not in known]
        if new:
            answers = ask(model, new, config)
            write(out, answers)
            known |= {answer.id: answer for answer in answers}
        for record in group:
            answer = known[record.id]
            if not answer.reason:
                metadata = {"model": config.model}
                yield derived(record, answer.text, config.how, metadata=metadata)


def ask(model: LanguageModel, records: Sequence[Record], config: RewriteConfig) -> list[Rewritten]:
    """Put the prompts to the model, each on what the one before gave."""
    prompts = [PARAPHRASE]
    if config.how == "back_translation":
        prompts = [
            TRANSLATE.replace("{language}", language)
            for language in (config.through, config.language)
        ]
    sampling = Sampling(
        max_tokens=config.max_tokens, temperature=config.temperature, seed=config.seed
    )
    found = {record.id: Rewritten(record.id, record.text) for record in records}
    for prompt in prompts:
        going = [one for one in found.values() if not one.reason]
        if not going:
            break
        asked = [(Message("user", prompt.replace("{text}", one.text)),) for one in going]
        for one, answer in zip(going, model.generate(asked, sampling), strict=True):
            found[one.id] = taken(one, answer)
    return [checked(record, found[record.id], config) for record in records]


def taken(one: Rewritten, answer: Generation) -> Rewritten:
    """The text of an answer, or why it is none."""
    text = answer.text.strip()
    reason = "cut off" if answer.finish_reason == "length" else "" if text else "empty"
    return Rewritten(one.id, text, reason)


def checked(record: Record, one: Rewritten, config: RewriteConfig) -> Rewritten:
    """The answer, with the reason if it is not taken."""
    if one.reason:
        return one
    if one.text.split() == record.text.split():
        return one._replace(reason="the same")
    ratio = len(one.text) / len(record.text.strip())
    if not config.min_ratio <= ratio <= config.max_ratio:
        return one._replace(reason=f"{ratio:.2f} times as long")
    return one


def opened(out: Path, config: RewriteConfig) -> dict[str, Rewritten]:
    """The answers of a file, which is begun if it is not there; a line cut short is asked anew."""
    name = digest(config.plain())
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps({"settings": name}) + "\n")
        return {}
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with open(out, "r+b") as file:
            file.truncate(len(whole))
    try:
        head, *rows = (json.loads(line) for line in whole.splitlines())
        if head["settings"] != name:
            raise ConfigError(f"{out} was made with other settings; give another file.")
        return {row["id"]: Rewritten(**row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out} is no file of answers ({error}); give another one.") from None


def write(out: Path, answers: Sequence[Rewritten]) -> None:
    """Add answers to the file, durably."""
    with open(out, "a", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(answer._asdict()) + "\n" for answer in answers)
        file.flush()
        os.fsync(file.fileno())
