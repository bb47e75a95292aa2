"""Preferences from files: pairs, rankings, single answers that are good or bad, judged steps.

Rows are JSON lines of these columns (TRL's names); a prompt is a text, a list of messages, or what
`messages`, `conversations` (ShareGPT) or `instruction` and `input` (Alpaca) say; an answer is a
text or a message:

    prompt, chosen, rejected       a pair; without a prompt, what both begin with; a `margin`, or
                                   `score_chosen` and `score_rejected`, say by how much
    prompt, completions, scores    a ranking of several (or `ranks`, 1 the best): each two of
                                   different score are a pair, the difference is its margin
    prompt, completion, label      a single answer, good or bad; or messages and a label
    prompt, completions, labels    steps of one answer, each right or not

An artifact of kind `preferences` has `train.jsonl` and `validation.jsonl`, whose rows are of three
forms, with `prompt` as a list of messages, answers as texts and `source`, the file or data set:

    {"prompt": …, "chosen": …, "rejected": …, "margin": 2.0}    without a margin if it is 0
    {"prompt": …, "completion": …, "label": true}
    {"prompt": …, "completions": ["…", …], "labels": [true, …]}

All rows of a prompt are in one split. A row that cannot be used is in `rejected.jsonl` with its
reason: see examples/cleaning.py.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, Conversation, DataError, Draft, Message, produce, record

from .examples.balance import balance_of, preference_row
from .examples.cleaning import Cleaner, CleaningConfig, plain_words, split_rows
from .examples.layouts import (
    KeptRows,
    check_calls,
    digest_of,
    keep_rows,
    read_answer,
    read_messages,
    read_row_prompt,
    read_texts,
    write_rows,
)

SPLITS = ("train", "validation")
MAX_MARGIN = 1e6
"""Beyond it float32 loses the scores beside it."""


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

    def to_dict(self) -> dict[str, Any]:
        """A row of an artifact."""
        answers: dict[str, Any] = {"chosen": self.chosen, "rejected": self.rejected}
        if self.margin:
            answers["margin"] = self.margin
        if self.steps:
            answers = {"completions": self.steps, "labels": self.labels}
        elif not self.is_pair:
            answers = {"completion": self.chosen or self.rejected, "label": bool(self.chosen)}
        return {"prompt": [message._asdict() for message in self.prompt]} | answers


class PreferencesConfig(CleaningConfig):
    """How preferences are cleaned and split."""


def import_preferences(
    config: PreferencesConfig, files: list[Path], out: Path, *, exclude: list[Path] | None = None
) -> Artifact:
    """Read preferences from files of JSON lines, clean them and hold some out.

    files    rows with prompt, chosen and rejected; completions and scores or ranks; completion
             and label; or completions and labels, which are steps
    out      directory of the preferences; what cannot be used is in rejected.jsonl, with reasons
    exclude  a test set whose questions and answers no row may repeat; may be given again

    Raises DataError for a missing file, and if no row can be used or a split would be empty.
    """
    config = config.model_copy(update={"files_digest": digest_of(files, "preferences")})
    clean = partial(_clean, cleaner := Cleaner(config, exclude))
    return produce(
        out, kind="preferences", stage="preferences", version=2, config=config,
        parents=cleaner.parents,
        write=lambda draft: write_preferences(draft, config, keep_rows(files, clean)),
    )  # fmt: skip


def read_preferences(artifact: Artifact, split: str) -> list[Preference]:
    """The preferences of a split, in order."""
    with open(artifact.file(f"{split}.jsonl"), encoding="utf-8") as lines:
        return [parse_preference(json.loads(line)) for line in lines]


def write_preferences(draft: Draft, config: PreferencesConfig, found: KeptRows[Preference]) -> None:
    """Write preferences by split, and what was left out; DataError if a split would be empty."""
    dump = partial(json.dumps, ensure_ascii=False)
    splits = split_rows(found, config, _texts, lambda row: dump(row.prompt))
    for name, own in splits.items():
        rows = [each.row.to_dict() | {"source": each.source} for each in own]
        write_rows(draft.path / f"{name}.jsonl", rows)
        numbers = balance_of(map(preference_row, rows), languages=False)
        kinds = Counter(numbers["kinds"])
        single = kinds["good"] + kinds["bad"]
        counts = {"pairs": kinds["pair"], "single": single, "stepwise": kinds["stepwise"]}
        draft.numbers[name] = counts | numbers
    found.write_rejected(draft)
    train, held_out = (draft.numbers[name] for name in SPLITS)
    record.log(f"{train['pairs']} pairs, {train['single']} single and {train['stepwise']} stepwise "
               f"answers to train on, {held_out['rows']} held out, "
               f"{len(found.rejected)} rows left out.")  # fmt: skip


def _clean(cleaner: Cleaner, row: Any) -> Sequence[Preference]:
    """What a row says; DataError saying why it is left out."""
    found = parse_row(row)
    for each in found:
        good = "\n".join(each.steps) or each.chosen
        cleaner.check(each.conversation(good or each.rejected), [good])
    return found


def _texts(row: Preference) -> tuple[str, str]:
    asked = (turn.content for turn in row.prompt if turn.role == "user")
    worse = (f"worse_{word}" for word in plain_words(row.rejected).split())  # as of another rater
    return "\n".join(asked), " ".join((*row.steps, row.chosen, *worse))


def parse_row(row: Any) -> Sequence[Preference]:
    """Read one row, of which a ranking has several pairs.

    >>> row = {"prompt": "2+2?", "completions": ["4", "5", "6"], "scores": [1, 0, 0]}
    >>> [(pair.chosen, pair.rejected) for pair in parse_row(row)]
    [('4', '5'), ('4', '6')]

    Raises DataError saying what is wrong with it.
    """
    if not isinstance(row, dict):
        raise DataError("It is no object.")
    is_ranking = "completions" in row and {"scores", "ranks"} & row.keys()
    found = list(_ranked_pairs(row)) if is_ranking else [parse_preference(row)]
    for each in found:
        check_calls(each.conversation(each.chosen), row)  # the worse one may call anything
    return found


def parse_preference(row: Mapping[str, Any]) -> Preference:
    """Read a row of an artifact, or one of a file that is no ranking; errors as of `parse_row`."""
    if row.get("chosen") is not None and row.get("completion") is not None:
        raise DataError("It has both chosen and completion; expected a pair or one answer.")
    if "completions" in row:
        return _parse_steps(row)
    if "completion" in row or "label" in row and "chosen" not in row:
        prompt, answer = _prompt_and_answer(row)
        label = row.get("label")
        if not isinstance(label, bool):
            raise DataError(f"Its label is {label!r}; expected true or false.")
        return Preference(prompt, *((answer, "") if label else ("", answer)))
    if missing := {"chosen", "rejected"} - row.keys():
        raise DataError(f"It has no {' and no '.join(sorted(missing))}.")
    sides, margin = (row["chosen"], row["rejected"]), _margin(row)
    if not {"prompt", "messages", "conversations", "instruction"} & row.keys():
        prompt, sides = _split_prompt(*sides)
        row = {**row, "prompt": prompt}
    prompt = read_row_prompt(row)
    chosen, rejected = map(read_answer, sides, ("chosen", "rejected"))
    if chosen == rejected:
        raise DataError("Its chosen answer equals the rejected one.")
    return Preference(prompt, chosen, rejected, margin)


def _prompt_and_answer(row: Mapping[str, Any]) -> tuple[Conversation, str]:
    """A single answer: in a column of its own, or the last of a list of messages."""
    name = "conversations" if "conversations" in row else "messages"
    if "completion" in row or name not in row:
        answer = row.get("completion", row.get("output"))
        return read_row_prompt(row), read_answer(answer, "completion")
    turns = read_messages(row[name], name)
    if not turns or turns[-1].role != "assistant":
        raise DataError(f"Its {name} have no answer at the end.")
    rest = [message._asdict() for message in turns[:-1]]
    return read_row_prompt(dict(row) | {name: rest}), read_answer(turns[-1].content, name)


def _margin(row: Mapping[str, Any]) -> float:
    value = row.get("margin")
    if value is None and {"score_chosen", "score_rejected"} <= row.keys():
        better, worse = _numbers([row["score_chosen"], row["score_rejected"]], "scores", 2)
        value = better - worse
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise DataError(f"Its margin is {value!r:.60}; expected a number.")
    margin = _numbers([value or 0.0], "margin", 1)[0]
    if margin > MAX_MARGIN:
        raise DataError(f"Its margin is {margin:g}; expected at most {MAX_MARGIN:g}.")
    if margin < 0:
        raise DataError(f"Its margin is {margin:g}, so its rejected answer is the better one.")
    return margin


def _ranked_pairs(row: Mapping[str, Any]) -> Iterator[Preference]:
    """Each two answers of a ranking that are not equally good."""
    prompt, name = read_row_prompt(row), "scores" if "scores" in row else "ranks"
    texts = _completions(row)
    if {"scores", "ranks"} <= row.keys():
        raise DataError("It has scores and ranks; expected one of the two.")
    values = _numbers(row[name], name, len(texts))
    if len(set(texts)) < len(texts) or len(set(values)) < 2:
        raise DataError("Its completions are equal, or equally good.")
    sign = 1.0 if name == "scores" else -1.0
    order = sorted(zip(texts, values, strict=True), key=lambda each: -sign * each[1])
    for (better, high), (worse, low) in combinations(order, 2):
        if high != low:
            yield Preference(prompt, better, worse, sign * (high - low))


def _parse_steps(row: Mapping[str, Any]) -> Preference:
    steps, labels = _completions(row), row.get("labels")
    given = labels if isinstance(labels, list) else []
    if len(given) != len(steps) or not all(isinstance(label, bool) for label in given):
        raise DataError(f"Its {len(steps)} steps need as many labels, true or false; a ranking has "
                        "scores or ranks.")  # fmt: skip
    return Preference(read_row_prompt(row), "", "", 0.0, steps, tuple(given))


def _completions(row: Mapping[str, Any]) -> tuple[str, ...]:
    listed = row["completions"]
    if not isinstance(listed, list) or not listed:
        raise DataError("It has no lists of completions and of labels, scores or ranks.")
    return read_texts(listed, "completions")


def _numbers(values: Any, name: str, count: int) -> list[float]:
    """Finite numbers; DataError if they are none, or not as many."""
    is_listed = isinstance(values, list) and len(values) == count
    if not is_listed or not all(type(x) in (int, float) and math.isfinite(x) for x in values):
        raise DataError(f"Its {name} is {values!r:.60}; expected {count} finite.")
    return [float(each) for each in values]


def _split_prompt(chosen: Any, rejected: Any) -> tuple[Any, tuple[Any, Any]]:
    """The common beginning of two conversations or texts, and what follows in each."""
    if type(chosen) is not type(rejected) or not isinstance(chosen, list | str):
        raise DataError("Its chosen and rejected are of different kinds.")
    pairs = zip(chosen, rejected, strict=False)
    common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return chosen[:common], (chosen[common:], rejected[common:])
