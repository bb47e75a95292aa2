"""Cleaning of conversations: what is not to be trained on, each with its reason.

A conversation is left out if it is too long, an answer speaks "as an AI language model", its
language is not wanted, it repeats what a test set asks or answers, or question and answer nearly
are those of one before.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field

from groundup.core import Artifact, Config, Conversation, DataError
from groundup.corpus import (
    SPLITS,
    UNDETERMINED,
    IdentifyConfig,
    SampleMatcher,
    identify_language,
    near_duplicates,
    split_paths,
)
from groundup.documents import find_disclaimers
from groundup.measure import read_samples

from .exchanges import is_refusal
from .layouts import KeptRow, KeptRows

EXCUSE = re.compile(
    r"\W*(?:i'm|i am|sorry)[^.!?\n]{0,20}?,? but i "
    r"(?:can't|cannot|can not|won't|am not able|am unable|must decline)"
    r"|\W*i (?:can't|cannot|can not|won't) (?:help|assist|fulfil|comply|provide|answer)",
    re.IGNORECASE,
)
"""How assistants of others refuse, at the beginning of an answer."""
LANGUAGE = IdentifyConfig()
MAX_SIBLINGS = 50
"""Answers of a group of questions that a further one is compared with."""
Row = TypeVar("Row", bound=Hashable)


class CleaningConfig(Config):
    """What is left out, and how the rest is split."""

    max_characters: int = Field(default=20_000, ge=1)
    """Of a conversation, all messages together; longer ones are left out."""
    keep_boilerplate: bool = False
    """Whether answers that speak "as an AI language model", or refuse in words like "I'm sorry, but
    I cannot", are kept."""
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...] = ()
    """Codes of the languages that are kept, such as ["en"]; so is what is too short to tell. Empty:
    all. Needs the extra `corpus`."""
    near_duplicate_threshold: float = Field(default=0.8, ge=0, le=1)
    """Similarity from which two questions (Jaccard, runs of 5 words) are in one split, and of which
    one is left out if the answers (Jaccard, words) are as similar; 0: equal ones alone."""
    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the questions that are held out for validation."""
    seed: int = 0
    """Of the split."""
    files_digest: str = ""
    """Hash of the files; set by the stage."""


class Cleaner:
    """Says why conversations are left out."""

    def __init__(self, config: CleaningConfig, exclude: Sequence[Path] | None = None) -> None:
        """Read the test sets that nothing may repeat; they are parents of a stage."""
        opened = [Artifact.open(path, "testset") for path in exclude or ()]
        self.config, self.parents = config, {f"testset_{n}": each for n, each in enumerate(opened)}
        self.samples = [sample for testset in opened for sample in read_samples(testset)]
        self.matcher = SampleMatcher(self.samples) if self.samples else None
        self.asked = {
            plain_words(turn.content)
            for sample in self.samples for turn in sample.conversation if turn.role == "user"
        }  # fmt: skip

    def check(self, messages: Conversation, answers: Sequence[str]) -> None:
        """Raise DataError saying why a conversation is left out.

        answers  what is to be trained on, of which none may speak as an AI model
        """
        if sum(len(message.content) for message in messages) > self.config.max_characters:
            raise DataError("It is too long.")
        if not self.config.keep_boilerplate:
            if any(map(find_disclaimers, answers)):
                raise DataError("It speaks as an AI model.")
            if any(map(EXCUSE.match, answers)):
                raise DataError("It refuses as assistants of others do.")
        if kind := self.overlap(messages):
            raise DataError(f"It {kind} a test set.")
        if self.config.languages:
            found = conversation_language(messages)
            if found not in (UNDETERMINED, *self.config.languages):
                raise DataError(f"Its language is {found}.")

    def overlap(self, messages: Conversation) -> str:
        """How a conversation repeats a test set's samples; empty if it does not."""
        for turn in messages if self.matcher else ():
            if turn.role == "user" and plain_words(turn.content) in self.asked:
                return "asks a question of"
            found = self.matcher.find(turn.content, turn.role == "user") if self.matcher else []
            if turn.role != "system" and found:
                is_near = any(kind == "near" for _, kind in found)
                return "nearly asks a question of" if is_near else "copies a text of"
        return ""


def split_rows(
    found: KeptRows[Row], config: CleaningConfig, texts: Callable[[Row], tuple[str, str]],
    question: Callable[[Row], str], test_share: float = 0.0,
) -> dict[str, list[KeptRow[Row]]]:  # fmt: skip
    """The kept rows of each split; near duplicates are left out. DataError if a split is empty.

    texts     question and answer of a row, by which it may nearly be another
    question  what two rows of different splits never share
    """
    found.require_some()
    leaders = question_groups(found, texts, config.near_duplicate_threshold)
    groups = [question(each) for each in leaders]
    split = split_paths(groups, config.validation_share, test_share, config.seed)
    rows = {name: list[KeptRow[Row]]() for name in (SPLITS if test_share else SPLITS[:2])}
    for row, group in zip(found.kept, groups, strict=True):
        rows[split[group]].append(row)
    if empty := [name for name, own in rows.items() if not own]:
        raise DataError(
            f"{len(found.kept)} usable rows with {len(split)} questions leave none for {empty[0]}; "
            f"give more ({len(found.rejected)} were left out). {found.reasons}".rstrip()
        )
    return rows


def question_groups(
    rows: KeptRows[Row], texts: Callable[[Row], tuple[str, str]], threshold: float
) -> list[Row]:
    """The first row of the group of each kept row, after near duplicates are left out.

    Rows whose questions are equal or nearly so are one group, which splits do not divide; of a
    group, a row is left out if its answer, too, has nearly the words of one before that is not of
    the same line, as pairs of a ranking are.

    texts  question and answer of a row
    """
    questions, answers = zip(*(texts(each.row) for each in rows.kept), strict=True)
    first = {plain_words(text): number for number, text in reversed([*enumerate(questions)])}
    leaders = [first[plain_words(text)] for text in questions]

    def leader(number: int) -> int:
        while leaders[number] != number:
            leaders[number] = number = leaders[leaders[number]]
        return number

    for one, other, _ in near_duplicates(questions, threshold) if threshold else ():
        low, high = sorted((leader(one), leader(other)))
        leaders[high] = low
    groups = [leader(number) for number in range(len(leaders))]
    kept = dict[int, list[tuple[str, set[str]]]]()
    dropped = set[int]()
    for number, group in enumerate(groups) if threshold else ():
        words, before = set(plain_words(answers[number]).split()), kept.setdefault(group, [])
        place, near = rows.kept[number].place, before[:MAX_SIBLINGS]
        if any(place != at and len(words & w) >= threshold * len(words | w) for at, w in near):
            dropped.add(number)
        else:
            before.append((place, words))
    first_rows = [rows.kept[group].row for n, group in enumerate(groups) if n not in dropped]
    rows.reject(dropped, "It nearly is there twice.")
    return first_rows


def refuses(answer: str) -> bool:
    """Whether an answer refuses, in our words or as assistants of others do."""
    return is_refusal(answer) or bool(EXCUSE.match(answer) or find_disclaimers(answer))


def conversation_language(messages: Conversation) -> str:
    """The language of what user and assistant say; `und` if it is too short or mixed to tell."""
    said = "\n\n".join(turn.content for turn in messages if turn.role != "system")
    return identify_language(said, LANGUAGE).language


def plain_words(text: str) -> str:
    """A text's words in small letters, without signs."""
    return " ".join(re.findall(r"\w+", text.lower()))
