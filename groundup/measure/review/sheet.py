"""One reviewer's sheet: the queue of items, the recorded votes and the progress.

Blind: an item has what a person needs to judge, but neither its author nor other reviewers' votes.
Each reviewer gets the same items in a different order, so that fatigue and context effects hit
different items. Independent of terminal and page, which both use it. Every decision is on disk when
`decide` returns, so a reopened sheet resumes where it stopped.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import Conversation, DataError, Judgement, Reason, Sample, digest

from ..judgement import (
    TIE,
    PairAgreement,
    current_votes,
    ranking_vote,
    read_votes,
    record_vote,
    withdraw_vote,
)
from ..stats.interval import Interval, wilson_interval

MAX_REVIEWER_NAME = 100
SAMPLE_ACTIONS = ("accept", "modify", "drop")
DROP_REASONS = (
    "the answer is wrong",
    "more than one answer is right",
    "the source does not say it",
    "the question gives it away",
    "not worth asking",
)
"""Common reasons for dropping a sample, one key each."""
COMPARISON_DROP_REASONS = (
    "no answer is acceptable",
    "the question makes no sense",
    "I cannot tell",
)
"""Common reasons for dropping answers that are compared."""


class ReviewItem(NamedTuple):
    """One item to review, as it is shown."""

    subject: str
    """Id of the sample."""
    kind: str
    """Kind of sample; the stratum when sampling items."""
    conversation: Conversation
    """The question, with earlier turns."""
    answers: tuple[str, ...]
    """The reference answers, or those to compare."""
    passage: str = ""
    """Source text that should support the answer."""
    span: tuple[int, int] | None = None
    """Character range of the answer in the passage."""
    source: str = ""
    """File or title of the passage."""
    names: tuple[str, ...] = ()
    """Names of answers that are compared, recorded with a vote and never shown; else empty."""

    @property
    def drop_reasons(self) -> tuple[str, ...]:
        """Common reasons for dropping it."""
        return COMPARISON_DROP_REASONS if self.names else DROP_REASONS

    @property
    def question(self) -> str:
        """The last user message; empty if there is none."""
        turns = [turn.content for turn in self.conversation if turn.role == "user"]
        return turns[-1] if turns else ""


class ReviewSummary(NamedTuple):
    """Results of one reviewer."""

    who: str
    reviewed: int
    total: int
    """Items on the sheet."""
    accepted: int
    modified: int
    dropped: int
    chosen: int
    """Number of choices and rankings."""
    error: Interval | Reason
    """Share of reviewed samples that were dropped or modified."""
    ties: int = 0
    """Number of those in which some answers are equally good."""

    def __str__(self) -> str:
        """A line or two for a terminal."""
        if isinstance(self.error, Reason) and self.error.code == "compared":
            return (
                f"{self.who} has compared {self.reviewed} of {self.total}: {self.ties} with ties, "
                f"{self.dropped} dropped."
            )
        head = (
            f"{self.who} has reviewed {self.reviewed} of {self.total}: {self.accepted} accepted, "
            f"{self.modified} modified, {self.dropped} dropped."
        )
        if isinstance(self.error, Reason):
            return f"{head}\n{self.error.message}"
        return f"{head}\nNot right as they stood: {format_share(self.error)} of the samples read."


def format_share(share: Interval) -> str:
    """Format a share and its interval in percent.

    >>> format_share(wilson_interval(2, 25))
    '8.0 % [2.2, 25.0]'
    """
    estimate, low, high = (100 * abs(round(number, 6)) for number in share[:3])
    return f"{estimate:.1f} % [{low:.1f}, {high:.1f}]"


def format_agreement(pair: PairAgreement) -> str:
    """Say of two raters how often they agree, and how far beyond chance."""
    if isinstance(pair.kappa, Reason):
        kappa = f"no kappa: {pair.kappa.message[0].lower()}{pair.kappa.message[1:-1]}"
    else:
        kappa = f"kappa {pair.kappa.estimate:.2f} [{pair.kappa.low:.2f}, {pair.kappa.high:.2f}]"
    who = f"{pair.first} and {pair.second} agree on {format_share(pair.share)} of the"
    return f"{who} {pair.subjects} that both judged; {kappa}"


def sample_item(sample: Sample) -> ReviewItem:
    """Convert a test set's sample to an item; other metadata are not shown."""
    data = sample.metadata
    passage = data.get("passage")
    passage = passage if isinstance(passage, str) else ""
    return ReviewItem(
        subject=sample.id,
        kind=str(data.get("kind") or ""),
        conversation=sample.conversation,
        answers=sample.references,
        passage=passage,
        span=_valid_span(passage, data.get("span")),
        source=str(data.get("source") or ""),
    )


def _valid_span(passage: str, span: object) -> tuple[int, int] | None:
    """The span if it is valid in the passage, else None."""
    match span:
        case [int(start), int(end)] if 0 <= start < end <= len(passage):
            return start, end
    return None


def sample_items(items: Sequence[ReviewItem], number: int, seed: int = 0) -> list[ReviewItem]:
    """Stratified sample of the items by kind, the same for every reviewer.

    0, or more than there are, returns all. Quotas are rounded by largest remainder, but a kind is
    omitted only if there are more kinds than items to draw.
    """
    if not 0 < number < len(items):
        return list(items)
    generator = np.random.default_rng(seed)
    strata: dict[str, list[int]] = {}
    for index in generator.permutation(len(items)):
        strata.setdefault(items[index].kind, []).append(int(index))
    sizes = np.array([len(indices) for indices in strata.values()])
    quota = sizes * number / len(items)
    counts = np.minimum(np.maximum(np.floor(quota), 1 if len(sizes) <= number else 0), sizes)
    while counts.sum() != number:
        step = 1 if counts.sum() < number else -1
        may_change = (counts < sizes) if step > 0 else (counts > 1)
        counts[np.argmax(np.where(may_change, step * (quota - counts), -np.inf))] += step
    chosen = [i for group, n in zip(strata.values(), counts, strict=True) for i in group[: int(n)]]
    return [items[index] for index in sorted(chosen)]


def _shuffle_answers(item: ReviewItem, who: str, salt: str) -> ReviewItem:
    """The answers of a comparison in an order of the reviewer's own; other items as they are."""
    order = sorted(item.names, key=lambda name: digest([who, salt, item.subject, name]))
    texts = dict(zip(item.names, item.answers, strict=False))
    if not order:
        return item
    return item._replace(answers=tuple(texts[name] for name in order), names=tuple(order))


def reviewer_name(text: str) -> str:
    """Strip and validate a reviewer's name; DataError if it is invalid."""
    name = text.strip()
    if not name or not name.isprintable() or len(name) > MAX_REVIEWER_NAME:
        what = f"1 to {MAX_REVIEWER_NAME} printable characters"
        raise DataError(f"A reviewer's name has {what}; got {name[:40]!r}.")
    return name


class ReviewSheet:
    """One reviewer's items and votes, stored in the ledger of a folder."""

    def __init__(
        self, folder: Path, items: Sequence[ReviewItem], who: str, salt: str = "",
        takes: Callable[[str], bool] = lambda subject: True,
    ) -> None:  # fmt: skip
        """Read the reviewer's earlier votes.

        salt   varies the order, such as a test set's id
        takes  whether an item may be shown now, where reviewers share the items
        """
        self.folder, self.who, self.takes = Path(folder), who, takes
        self.is_timed = True  # False if decisions come from a file
        self.skipped: set[str] = set()
        shuffled = sorted(items, key=lambda item: digest([who, salt, item.subject]))
        self.items = {item.subject: _shuffle_answers(item, who, salt) for item in shuffled}
        self.decided: dict[str, Judgement] = {}
        for vote in current_votes(read_votes(self.folder)):
            if vote.who == who and vote.subject in self.items:
                self._remember_latest(vote)
        self.queue = [subject for subject in self.items if subject not in self.decided]
        self.shown, self.shown_at = "", 0.0

    def _remember_latest(self, vote: Judgement) -> None:
        """Hold a vote as its item's latest one in memory; `decide` writes it."""
        self.decided.pop(vote.subject, None)
        self.decided[vote.subject] = vote

    @property
    def progress(self) -> tuple[int, int]:
        """Number of decided items, and of all items."""
        return len(self.decided), len(self.items)

    @property
    def current(self) -> ReviewItem | None:
        """The next item; None if all are decided, or not to be shown now."""
        subject = next(filter(self.takes, self.queue), "")
        if subject != self.shown:
            self.shown, self.shown_at = subject, time.monotonic()
        return self.items.get(subject)

    def item(self, subject: str) -> ReviewItem:
        """The item with this id; DataError if it is not on the sheet."""
        if subject not in self.items:
            raise DataError(f"There is nothing with the id {subject!r} on this sheet.")
        return self.items[subject]

    def decide(
        self, subject: str, action: str, *, reason: str = "",
        fields: Mapping[str, object] | None = None,
    ) -> Judgement:  # fmt: skip
        """Record a decision durably, replacing an earlier one of this reviewer, and move on.

        accept, drop (needs a reason) or modify (needs `fields`); of answers to compare, drop or
        rank (needs `fields` with an `order` of their positions, such as 2>1=3).
        Raises DataError, recording nothing, if the action does not fit the item.
        """
        item = self.item(subject)
        make_vote = _comparison_vote if item.names else _sample_vote
        vote = make_vote(item, action, reason, fields or {})
        is_seen = self.is_timed and subject == self.shown
        seconds = round(time.monotonic() - self.shown_at, 1) if is_seen else None
        vote = vote._replace(who=self.who, reason=reason.strip(), seconds=seconds)
        before = self.decided.get(subject)
        if before is not None and before.form != vote.form:
            withdraw_vote(self.folder, before)
        vote = record_vote(self.folder, vote)
        self._remember_latest(vote)
        self.queue = [other for other in self.queue if other != subject]
        self.skipped.discard(subject)
        return vote

    def skip(self, subject: str) -> None:
        """Move an undecided item to the end of the queue."""
        self.item(subject)
        if subject in self.queue:
            self.queue.remove(subject)
            self.queue.append(subject)
            self.skipped.add(subject)

    def undo(self) -> ReviewItem | None:
        """Withdraw the latest decision and return its item; None if there is none."""
        if not self.decided:
            return None
        subject, vote = self.decided.popitem()
        withdraw_vote(self.folder, vote)
        self.queue.insert(0, subject)
        return self.items[subject]

    def summary(self) -> ReviewSummary:
        """The results so far."""
        votes = self.decided.values()
        kinds = [vote.value if vote.form == "label" else vote.form for vote in votes]
        accepted, modified, dropped = map(kinds.count, ("accept", "edit", "drop"))
        chosen = kinds.count("choice") + kinds.count("ranking")
        ties = sum(vote.value == TIE or "=" in vote.value for vote in votes if vote.shown)
        none = Reason("nothing_reviewed", "No sample was reviewed yet.")
        if any(item.names for item in self.items.values()):
            none = Reason("compared", "Answers were compared; no sample was reviewed.")
        judged = accepted + modified + dropped
        is_known = judged and none.code != "compared"
        error = wilson_interval(modified + dropped, judged) if is_known else none
        return ReviewSummary(
            self.who, len(kinds), len(self.items), accepted, modified, dropped, chosen, error, ties
        )


def _comparison_vote(
    item: ReviewItem, action: str, reason: str, fields: Mapping[str, object]
) -> Judgement:  # fmt: skip
    if action not in ("rank", "drop"):
        raise DataError(f"Answers that are compared are decided by rank or drop; got {action!r}.")
    if action == "drop":
        return _sample_vote(item, action, reason, fields)
    tiers = parse_order(str(fields.get("order", "")), len(item.names))
    scores = {item.names[at]: float(-rank) for rank, tier in enumerate(tiers) for at in tier}
    return ranking_vote("", item.subject, {name: scores[name] for name in item.names}, "")


def parse_order(text: str, count: int) -> list[list[int]]:
    """The positions, from 0, of `count` answers that are numbered from 1, best first.

    `=` alone makes all equal; a single one that is left out comes last.

    >>> parse_order("2>1=3", 3), parse_order("1", 2), parse_order("=", 2)
    ([[1], [0, 2]], [[0], [1]], [[0, 1]])

    Raises DataError for anything else.
    """
    every, text = range(count), "".join(text.split())
    if text == "=":
        return [list(every)]
    if not re.fullmatch(r"[0-9]{1,2}([>=][0-9]{1,2})*", text):
        raise DataError(f"Rank the answers by their numbers, best first, as in 2>1; got {text!r}.")
    tiers = [[int(number) - 1 for number in tier.split("=")] for tier in text.split(">")]
    ranked = [at for tier in tiers for at in tier]
    missing = sorted({*every} - {*ranked})
    if len(ranked) > len({*ranked}) or not {*ranked} <= {*every} or len(missing) > 1:
        raise DataError(f"Rank each of the answers 1 to {count} once, as in 2>1; got {text!r}.")
    return [*tiers, missing] if missing else tiers


def _sample_vote(
    item: ReviewItem, action: str, reason: str, fields: Mapping[str, object]
) -> Judgement:  # fmt: skip
    if action not in SAMPLE_ACTIONS:
        raise DataError(f"A sample is decided by {', '.join(SAMPLE_ACTIONS)}; got {action!r}.")
    if action == "drop" and not reason.strip():
        raise DataError("Dropping a sample needs a reason.")
    if action != "modify":
        return Judgement("", "", item.subject, "label", action)
    value = json.dumps(_changed_fields(item, fields), ensure_ascii=False)
    return Judgement("", "", item.subject, "edit", value)


def _changed_fields(item: ReviewItem, fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that differ from the item's: question and references.

    Raises DataError if nothing differs, a text is empty, or a field is unknown.
    """
    question = fields.get("question", item.question)
    references = fields.get("references", list(item.answers))
    if unknown := fields.keys() - {"question", "references"}:
        raise DataError(f"Only question and references can be modified; got {sorted(unknown)}.")
    if not isinstance(question, str) or not isinstance(references, list | tuple):
        raise DataError("The question must be a text and the references a list of texts.")
    texts = [question, *references]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise DataError("A modified question or answer must not be empty; drop the sample instead.")
    changed: dict[str, object] = {}
    if question.strip() != item.question.strip():
        changed["question"] = question.strip()
    if [text.strip() for text in references] != [text.strip() for text in item.answers]:
        changed["references"] = [text.strip() for text in references]
    if not changed:
        raise DataError("Nothing was changed; accept the sample as it is.")
    return changed
