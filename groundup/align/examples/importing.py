"""Conversations of others as examples for fine-tuning: read, cleaned and split.

What is left out is kept aside with its reason: a row in no layout (layouts.py), turns out of order
or empty, one that is there twice, one that is too long, an answer that only refuses as assistants
do ("As an AI language model …"), and one whose question is in a test set.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    Conversation,
    DataError,
    Draft,
    produce,
    record,
    write_text,
)
from groundup.corpus import SPLITS, split_paths
from groundup.measure import read_samples

from .exchanges import ChatExample
from .layouts import digest_of, keep_rows, read_conversation

BOILERPLATE = re.compile(
    r"\bas an? (?:ai|artificial intelligence)(?: language)? (?:model|assistant)\b"
    r"|\bi(?:'m| am) (?:just |only )?an? (?:ai|language model)\b"
    r"|\bals (?:ki|sprachmodell)\b|\ben tant qu'ia\b",
    re.IGNORECASE,
)
"""How assistants of others refuse or excuse themselves."""


class ImportExamplesConfig(Config):
    """How conversations are cleaned and split."""

    max_characters: int = Field(default=20_000, ge=1)
    """Of a conversation, all messages together; longer ones are left out."""
    keep_boilerplate: bool = False
    """Whether answers that speak "as an AI language model" are kept."""
    validation_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for validation."""
    test_share: float = Field(default=0.05, gt=0, lt=1)
    """Share of the conversations for test."""
    seed: int = 0
    """Of the split."""
    files_digest: str = ""
    """Hash of the files; set by the stage."""


def import_examples(
    config: ImportExamplesConfig, files: list[Path], out: Path, *, exclude: list[Path] | None = None
) -> Artifact:
    """Read conversations from files of JSON lines, clean and split them.

    files    rows with messages, conversations (ShareGPT), instruction and output (Alpaca), or
             prompt and completion
    out      directory of the examples; what is left out is in rejected.jsonl, with reasons
    exclude  a test set whose questions no example may ask; may be given again

    Raises DataError for a missing file, and if too few conversations are left.
    """
    config = config.model_copy(update={"files_digest": digest_of(files, "conversations")})
    parents = {f"testset_{n}": Artifact.open(path, "testset") for n, path in
               enumerate(exclude or ())}  # fmt: skip
    return produce(
        out, kind="examples", stage="import-examples", version=1, config=config, parents=parents,
        write=partial(_write_examples, config, files, list(parents.values())),
    )  # fmt: skip


def _write_examples(
    config: ImportExamplesConfig, files: Sequence[Path], testsets: Sequence[Artifact], draft: Draft
) -> None:
    asked = frozenset(
        _plain(turn.content)
        for testset in testsets
        for sample in read_samples(testset)
        for turn in sample.conversation if turn.role == "user"
    )  # fmt: skip
    found = keep_rows(files, partial(_clean, config, asked))
    keys = [_plain(each[-2].content) for each in found.rows]  # same question, same split
    split = split_paths(keys, config.validation_share, config.test_share, config.seed)
    for name in SPLITS:
        own = [each for each, key in zip(found.rows, keys, strict=True) if split[key] == name]
        if not own:
            raise DataError(
                f"{len(found.rows)} conversations leave none for {name}; give more "
                f"({len(found.rejected)} were left out)."
            )
        examples = [
            ChatExample(f"{name}-{n:05d}", "chat", f"{name}-{n:05d}", each)
            for n, each in enumerate(own)
        ]
        lines = "".join(f"{each.to_json()}\n" for each in examples)
        write_text(draft.file(f"{name}.jsonl"), lines)
        draft.numbers[name] = _balance(own)
    found.write_rejected(draft)
    record.log(f"{len(found.rows)} conversations, {len(found.rejected)} left out; train: "
               f"{draft.numbers['train']}")  # fmt: skip


def _clean(config: ImportExamplesConfig, asked: frozenset[str], row: Any) -> Conversation:
    """A row's conversation; DataError saying why it is left out."""
    messages = read_conversation(row)
    if sum(len(message.content) for message in messages) > config.max_characters:
        raise DataError("It is too long.")
    answers = (message.content for message in messages if message.role == "assistant")
    if not config.keep_boilerplate and any(map(BOILERPLATE.search, answers)):
        raise DataError("It speaks as an AI model.")
    if any(_plain(turn.content) in asked for turn in messages if turn.role == "user"):
        raise DataError("Its question is in a test set.")
    return messages


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _balance(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """How many there are, how long, and of how many turns."""
    turns = Counter(sum(m.role == "user" for m in each) for each in conversations)
    answers = sorted(len(m.content) for each in conversations for m in each
                     if m.role == "assistant")  # fmt: skip
    return {
        "conversations": len(conversations),
        "with_system": sum(each[0].role == "system" for each in conversations),
        "by_questions": {str(count): turns[count] for count in sorted(turns)},
        "answer_characters_median": answers[len(answers) // 2],
        "answer_characters_most": answers[-1],
    }  # fmt: skip
