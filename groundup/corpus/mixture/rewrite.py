"""Rewriting: paraphrases and back-translations by any LanguageModel.

Answers are appended to a JSON-lines file as they arrive, so that a stopped run resumes and no paid
answer is requested twice. Answers that are empty, unchanged, truncated or far from the original's
length are stored with the reason and do not become records. The caller names the model.
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

from ..engine.derive import make_derived

PARAPHRASE = (
    "Say the following text in other words. Keep every fact, name, number and piece of code. "
    "Give the new text alone.\n\n{text}"
)
TRANSLATE = (
    "Translate the following text into {language}. Leave names, numbers and code as they are. "
    "Give the translation alone.\n\n{text}"
)


class RewriteConfig(Config):
    """What is requested, and which answers are accepted."""

    model: str
    """Name of the model, stored in every new record."""
    method: Literal["paraphrase", "back_translation"] = "paraphrase"
    """Paraphrase, or translate into another language and back."""
    language: str = "English"
    """Language of the records."""
    pivot_language: str = "German"
    """Intermediate language of a back-translation."""
    batch: int = Field(default=8, ge=1)
    """Records per request."""
    max_characters: int = Field(default=6_000, ge=1)
    """Longer records are skipped. Own choice: about 1,500 tokens, to leave room for the answer."""
    max_tokens: int = Field(default=2_048, ge=1)
    """Maximum tokens of an answer."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature. Own choice."""
    min_ratio: float = Field(default=0.5, ge=0)
    """Smallest ratio of the answer's characters to the original's. Own choice."""
    max_ratio: float = Field(default=2.0, gt=0)
    """Largest ratio. Own choice."""
    seed: int = 0
    """Seed of the model's sampling."""


class RewriteAnswer(NamedTuple):
    """An answer to a rewriting request."""

    id: str
    """Id of the rewritten record."""
    text: str
    reason: str = ""
    """Why it does not become a record; empty if it does."""


def _rewrite_records(
    model: LanguageModel, records: Iterable[Record], config: RewriteConfig, out: Path
) -> Iterator[Record]:
    """Yield a new record for each accepted answer, in order.

    records  training records; synthetic and too long ones are skipped
    out      the file of answers; a file of the same settings is resumed

    Raises ConfigError if the file has other settings.
    """
    answered = _open_answers(out, config)
    eligible = (
        record
        for record in records
        if record.text.strip()
        and len(record.text) <= config.max_characters
        and not record.metadata.get("synthetic")
    )
    while group := list(islice(eligible, config.batch)):
        unanswered = [record for record in group if record.id not in answered]
        if unanswered:
            answers = _request_rewrites(model, unanswered, config)
            _append_answers(out, answers)
            answered |= {answer.id: answer for answer in answers}
        for record in group:
            answer = answered[record.id]
            if not answer.reason:
                metadata = {"model": config.model}
                yield make_derived(record, answer.text, config.method, metadata=metadata)


def _request_rewrites(
    model: LanguageModel, records: Sequence[Record], config: RewriteConfig
) -> list[RewriteAnswer]:
    """Run the prompts in turn, each on the answer to the one before."""
    prompts = [PARAPHRASE]
    if config.method == "back_translation":
        prompts = [
            TRANSLATE.replace("{language}", language)
            for language in (config.pivot_language, config.language)
        ]
    sampling = Sampling(
        max_tokens=config.max_tokens, temperature=config.temperature, seed=config.seed
    )
    results = {record.id: RewriteAnswer(record.id, record.text) for record in records}
    for prompt in prompts:
        pending = [result for result in results.values() if not result.reason]
        if not pending:
            break
        requests = [(Message("user", prompt.replace("{text}", result.text)),) for result in pending]
        for result, answer in zip(pending, model.generate(requests, sampling), strict=True):
            results[result.id] = _read_answer(result, answer)
    return [_check_answer(record, results[record.id], config) for record in records]


def _read_answer(previous: RewriteAnswer, answer: Generation) -> RewriteAnswer:
    """The text of an answer, or why there is none."""
    text = answer.text.strip()
    reason = "cut off" if answer.finish_reason == "length" else "" if text else "empty"
    return RewriteAnswer(previous.id, text, reason)


def _check_answer(record: Record, answer: RewriteAnswer, config: RewriteConfig) -> RewriteAnswer:
    """The answer, with the reason if it is rejected."""
    if answer.reason:
        return answer
    if answer.text.split() == record.text.split():
        return answer._replace(reason="the same")
    ratio = len(answer.text) / len(record.text.strip())
    if not config.min_ratio <= ratio <= config.max_ratio:
        return answer._replace(reason=f"{ratio:.2f} times as long")
    return answer


def _open_answers(out: Path, config: RewriteConfig) -> dict[str, RewriteAnswer]:
    """Read the answers of a file, or create it; an incomplete last line is removed."""
    name = digest(config.to_dict())
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, json.dumps({"settings": name}) + "\n")
        return {}
    data = out.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if len(complete) < len(data):
        with open(out, "r+b") as file:
            file.truncate(len(complete))
    try:
        header, *rows = (json.loads(line) for line in complete.splitlines())
        if header["settings"] != name:
            raise ConfigError(f"{out} was made with other settings; give another file.")
        return {row["id"]: RewriteAnswer(**row) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out} is not a file of answers ({error}); give another one.") from None


def _append_answers(out: Path, answers: Sequence[RewriteAnswer]) -> None:
    """Append answers to the file and sync it."""
    with open(out, "a", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(answer._asdict()) + "\n" for answer in answers)
        file.flush()
        os.fsync(file.fileno())
