"""Comparisons: prompts with several answers, which people and models then compare.

Rows are JSON lines; other columns are ignored:

    {"prompt": …, "answers": [ …, … ]}                several answers
    {"prompt": …, "chosen": …, "rejected": …}         a pair, as in preferences.py
    {"prompt": …} or {"prompt": …, "answer": …}       a prompt, and what is right for rewards:
                                                      a model samples the answers

An answer, a source and tests, as in the tasks of `groundup reinforce`, are kept for rewards.

The votes on a comparison lie in the artifact's ledger; its answers are named a, b, … there. A live
queue (live.py) has its comparisons there too.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import (
    Artifact,
    Conversation,
    DataError,
    Draft,
    Judgement,
    Ledger,
    Sampling,
    produce,
    record,
)
from groundup.generate import open_language_model
from groundup.measure import TIE, ReviewItem, is_simulated, pairwise_votes, record_vote

from ..examples.layouts import (
    KeptRows,
    digest_of,
    keep_rows,
    read_prompt,
    read_task_texts,
    read_texts,
    write_rows,
)
from ..preferences import parse_preference
from .asking import Asker, AskingConfig

ROWS, ASKED = "comparisons.jsonl", "ledger/comparisons.jsonl"
MAX_ANSWERS = len(ascii_lowercase)


class AnswerComparison(NamedTuple):
    """Answers to one prompt."""

    prompt: Conversation
    answers: tuple[str, ...]
    """None, while a model has not sampled them."""
    references: tuple[str, ...] = ()
    """Right answers, for rewards."""
    origins: tuple[str, ...] = ()
    """Where each answer comes from, which no rater sees."""
    texts: tuple[tuple[str, str], ...] = ()
    """What rewards of quotes and of code read: see TASK_TEXTS."""
    id: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the answers in votes."""
        return tuple(ascii_lowercase[: len(self.answers)])

    @property
    def item(self) -> ReviewItem:
        """What people see of it."""
        return ReviewItem(self.id, "", self.prompt, self.answers, names=self.names)

    def to_dict(self) -> dict[str, Any]:
        """A row of the file."""
        row = self._asdict() | {"prompt": [message._asdict() for message in self.prompt]}
        del row["texts"]
        return row | ({"texts": dict(self.texts)} if self.texts else {})


class AnswersConfig(AskingConfig):
    """How answers are sampled."""

    answers: int = Field(default=4, ge=2, le=MAX_ANSWERS)
    """To each prompt that has none."""
    temperature: float = Field(default=1.0, gt=0)
    """Of the sampling."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Of the sampling."""
    seed: int = 0
    """Of the sampling."""
    labelled_by: str = ""
    """Who chose in rows with chosen and rejected, recorded as a vote; begins with `simulated:` if
    that was no person; empty: no vote."""
    source: str = ""
    """Hash of the files, and the server; set by the stage."""


def sample_answers(
    config: AnswersConfig, files: list[Path], out: Path, *, model: str = ""
) -> Artifact:
    """Read prompts with several answers, or sample the answers, for people and models to compare.

    files  JSON lines with prompt and answers, prompt, chosen and rejected, or a prompt alone
    model  answers the prompts that have none: a directory (or an adapter's), or http://HOST/v1#NAME

    Raises DataError for a missing file and if no row can be used, EndpointError if a server fails.
    """
    parents = model_parents(model)
    source = " ".join([digest_of(files, "prompts"), *([model] if model and not parents else [])])
    config = config.model_copy(update={"source": source})

    def write(draft: Draft) -> None:
        found = keep_rows(files, lambda row: [parse_comparison(row, samples=bool(model))])
        if any(not row.answers for row in found.rows):
            opened = open_language_model(model, config.endpoint).model
            found = _sample(config, Asker(opened, draft.scratch, config.accept_failures), found)
        for row in write_comparisons(draft, found):
            if config.labelled_by and row.origins == PAIR:
                vote = Judgement(config.labelled_by, "", row.id, "choice", "a", shown=row.names)
                record_vote(draft.path, vote)

    return produce(out, kind="comparisons", stage="preferences-sample", version=1, config=config,
                   parents=parents, write=write)  # fmt: skip


def model_parents(model: str) -> dict[str, Artifact]:
    """The parents of an artifact that a model makes: itself, but for one on a server."""
    kinds = ("model", "adapter")
    return {} if not model or "://" in model else {"model": Artifact.open(model, kinds)}


def model_name(model: str) -> str:
    """The name of a model in votes: its folder's, or the one on a server."""
    return model.rpartition("#")[2] if "://" in model else Path(model).resolve().name


def write_comparisons(draft: Draft, found: KeptRows[AnswerComparison]) -> list[AnswerComparison]:
    """Write the rows with their ids, and what was left out; DataError if there is none."""
    found.require_some()
    rows = [row._replace(id=f"c{number:05d}") for number, row in enumerate(found.rows, 1)]
    write_rows(draft.file(ROWS), (row.to_dict() for row in rows))
    found.write_rejected(draft)
    draft.numbers |= {"comparisons": len(rows), "answers": sum(len(row.answers) for row in rows)}
    record.log(f"{len(rows)} prompts with answers to compare, {len(found.rejected)} rows left out.")
    return rows


def read_comparisons(artifact: Artifact) -> list[AnswerComparison]:
    """The comparisons, in order."""
    lines = artifact.file(ROWS).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    rows += [entry.content for entry in Ledger(artifact.path / ASKED).read()]
    lists = ("answers", "references", "origins")
    return [
        AnswerComparison(
            read_prompt(row["prompt"]), *(tuple(row[n]) for n in lists),
            texts=tuple(row.get("texts", {}).items()), id=row["id"],
        )
        for row in rows
    ]  # fmt: skip


PAIR = ("chosen", "rejected")


def parse_comparison(row: Any, samples: bool = False) -> AnswerComparison:
    """Read one row.

    samples  whether a prompt may be without answers

    >>> parse_comparison({"prompt": "2+2?", "answers": ["4", "5", "four"]}).names
    ('a', 'b', 'c')

    Raises DataError saying what is wrong with it.
    """
    if not isinstance(row, dict):
        raise DataError("It is no object.")
    if {"chosen", "rejected"} & row.keys():
        if "answers" in row:
            raise DataError("It has answers and a chosen one; expected one of the two.")
        pair = parse_preference(row)
        return _with_right(AnswerComparison(pair.prompt, (pair.chosen, pair.rejected)), row, PAIR)
    prompt, answers = read_prompt(row.get("prompt")), row.get("answers")
    if answers is None and samples:
        return _with_right(AnswerComparison(prompt, ()), row)
    if answers is None:
        raise DataError("It has no answers; give them, or a --model that samples them.")
    texts, origins = (read_texts(row.get(name) or [], name) for name in ("answers", "origins"))
    if not 2 <= len(texts) <= MAX_ANSWERS:
        raise DataError(f"Answers to compare are 2 to {MAX_ANSWERS}; it has {len(texts)}.")
    if len({*texts}) < len(texts):
        raise DataError("Two of its answers are equal.")
    if len(origins) not in (0, len(texts)):
        raise DataError("Its origins are not one for each answer.")
    return _with_right(AnswerComparison(prompt, texts), row, origins)


def _with_right(
    comparison: AnswerComparison, row: dict[str, Any], origins: tuple[str, ...] = ()
) -> AnswerComparison:
    """A comparison with what its row says for rewards."""
    references = read_texts(row.get("answer") or [], "answer")
    texts = tuple(read_task_texts(row).items())
    return comparison._replace(references=references, origins=origins, texts=texts)


def _sample(
    config: AnswersConfig, asker: Asker, found: KeptRows[AnswerComparison]
) -> KeptRows[AnswerComparison]:
    """The rows with answers that the model sampled; equal ones count once."""
    prompts = {at: row.prompt for at, row in enumerate(found.rows) if not row.answers}
    sampled = {at: dict[str, None]() for at in prompts}  # a set that keeps the order
    for number in range(config.answers):
        sampling = Sampling(
            temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens,
            seed=config.seed + number,
        )  # fmt: skip
        for at, answer in asker.ask(f"answer {number + 1}", prompts, sampling).items():
            sampled[at][answer] = None
    rows, few = dict(enumerate(found.rows)), f"Its {config.answers} sampled answers are all equal."
    for at, answers in sampled.items():
        if len(answers) > 1:
            origins = ("model",) * len(answers)
            rows[at] = rows[at]._replace(answers=tuple(answers), origins=origins)
        else:
            reject(found, rows.pop(at), asker.failed.get(at, few))
    return found.with_rows(rows)


def votes_by_subject(votes: Iterable[Judgement]) -> dict[str, list[Judgement]]:
    """The votes on each comparison, or on each pair of answers."""
    found = dict[str, list[Judgement]]()
    for vote in votes:
        found.setdefault(vote.subject, []).append(vote)
    return found


def counting_votes(votes: Sequence[Judgement]) -> list[Judgement]:
    """Those of people where there are any, else all; none if half of them drop the comparison."""
    counted = [vote for vote in votes if not is_simulated(vote.who)] or [*votes]
    drops = sum(vote.form == "label" for vote in counted)
    return [] if 2 * drops >= len(counted) else counted


def pair_winners(votes: Iterable[Judgement]) -> dict[tuple[str, ...], str]:
    """What more of the votes on a comparison chose of each two answers, or a tie."""
    by_pair = votes_by_subject(pairwise_votes(votes))
    return {own[0].shown: majority(own) for own in by_pair.values()}


def majority(votes: Sequence[Judgement]) -> str:
    """What most of the votes on a pair chose, which may be a tie; a tie too if two lead."""
    (best, most), *others = Counter(vote.value for vote in votes).most_common(2)
    return TIE if others and others[0][1] == most else best


def reject(found: KeptRows[Any], row: AnswerComparison, reason: str) -> None:
    """Keep a row aside with its reason."""
    line = json.dumps(row.to_dict(), ensure_ascii=False)
    place = row.id or row.prompt[-1].content[:80]
    found.rejected.append({"place": place, "reason": reason, "row": line})
