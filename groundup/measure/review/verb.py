"""The verb `groundup testset review`: review samples in a terminal or browser, or show results.

Votes go to the test set's ledger, outside its id: the sealed samples stay unchanged, and
`groundup testset apply` creates a new test set from the votes.
"""

import json
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from groundup.core import Artifact, ConfigError, Judgement, record, user_name

from ..judgement import Agreement, current_votes, rater_agreement, read_votes
from ..testset import read_card, read_samples
from .sheet import (
    ReviewItem,
    ReviewSheet,
    ReviewSummary,
    format_agreement,
    reviewer_name,
    sample_item,
    sample_items,
)


def review_testset(
    testset: Artifact, *, who: str = "", sample: int = 0, seed: int = 0, disputed: bool = False,
    page: bool = False, port: int = 0, results: bool = False,
) -> "ReviewSummary | ReviewResults":  # fmt: skip
    """Accept, modify or drop the samples of a test set, blind and one at a time.

    If stdin is no terminal, each of its lines decides one sample: `a` accepts it, `d REASON` drops
    it, `m question=TEXT answer=TEXT` modifies one or both, `s` skips it, `u` undoes the last
    decision, `h` lists the keys, `q` ends.

    who       the reviewer's name, recorded with every vote; default: git's user.name
    sample    number of samples to review, stratified by kind; unreviewed ones come first
    seed      seed of the sampling; the same seed gives every reviewer the same samples
    disputed  only the samples on which earlier reviewers disagree
    page      review in a browser on this machine instead of the terminal
    port      port of the page; 0 for a free one
    results   only show the results so far and the reviewers' agreement
    """
    if sample < 0:
        raise ConfigError(f"--sample {sample} must be 0 for all samples, or how many to review.")
    items = [sample_item(each) for each in read_samples(testset)]
    if results:
        return _collect_results(testset, items)
    if disputed:
        subjects = set(rater_agreement(_votes_as_labels(read_votes(testset.path))).disputed)
        items = [item for item in items if item.subject in subjects]
    read = set(read_card(testset).get("review", {}).get("read_samples", ()))
    items = _sample_unreviewed_first(items, read, sample, seed)
    title = str(read_card(testset).get("name", ""))
    return run_review(
        lambda name: ReviewSheet(testset.path, items, name, testset.id), who,
        title=title, port=port if page else None,
    )  # fmt: skip


def run_review(
    open_sheet: Callable[[str], ReviewSheet], who: str, *, title: str, port: int | None = None,
    compares: bool = False, waits: Callable[[], bool] = lambda: False,
) -> ReviewSummary:  # fmt: skip
    """Review in the terminal, or on a page at a port, until all is decided or the reviewer ends.

    who       empty: git's user.name, or the system's user
    compares  whether answers are compared, instead of samples reviewed
    waits     waits for more once all is decided, in the terminal; whether more came
    """
    from .server import ReviewServer  # imports http.server
    from .terminal import open_reviewer_input, review_in_terminal  # imports rich

    who = _resolve_reviewer(who)
    with suppress(KeyboardInterrupt):
        if port is None:
            keyboard, is_going_on = open_reviewer_input(), True
            while is_going_on:
                review_in_terminal(sheet := open_sheet(who), keyboard)
                is_going_on = sheet.current is None and waits()
        else:
            with ReviewServer(title, open_sheet, who, port, compares=compares) as server:
                record.log(f"Review at {server.url}")
                record.log("Keep the address secret. Ctrl-C ends; every vote is on disk at once.")
                server.serve_forever()
    return open_sheet(who).summary()


def _sample_unreviewed_first(
    items: list[ReviewItem], read: set[str], number: int, seed: int
) -> list[ReviewItem]:
    """Sample unreviewed items first, then reviewed ones if there are too few."""
    fresh = [item for item in items if item.subject not in read]
    if not 0 < number < len(items) or not fresh:
        return sample_items(items, number, seed)
    if (missing := number - len(fresh)) <= 0:
        return sample_items(fresh, number, seed)
    return fresh + sample_items([item for item in items if item.subject in read], missing, seed)


def _resolve_reviewer(name: str) -> str:
    return reviewer_name(name.strip() or _git_name() or user_name())


def _git_name() -> str:
    """`user.name` of git's configuration; empty without git or a name."""
    try:
        result = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()


class ReviewResults(NamedTuple):
    """Results of all reviewers."""

    reviewers: tuple[ReviewSummary, ...]
    agreement: Agreement
    """On accept, modify and drop."""
    changed: tuple[Judgement, ...] = ()
    """Every current vote that dropped or modified a sample."""

    def __str__(self) -> str:
        """A few lines per reviewer, then their agreement."""
        if not self.reviewers:
            return "Nobody has reviewed a sample yet."
        lines = [str(each) for each in self.reviewers]
        lines += map(format_agreement, self.agreement.pairs)
        if self.agreement.disputed:
            lines.append(f"Disputed: {', '.join(self.agreement.disputed)} (--disputed shows them)")
        return "\n".join([*lines, *map(_format_change, self.changed)])


def _format_change(vote: Judgement) -> str:
    if vote.form == "edit":
        edits = ", ".join(f"{name}: {new}" for name, new in json.loads(vote.value).items())
        reason = f" ({vote.reason})" if vote.reason else ""
        return f"{vote.who} modified {vote.subject}: {edits}{reason}"
    return f"{vote.who} dropped {vote.subject}: {vote.reason or 'no reason given'}"


def _collect_results(testset: Artifact, items: list[ReviewItem]) -> ReviewResults:
    decided = _votes_as_labels(read_votes(testset.path))
    people = list(dict.fromkeys(vote.who for vote in decided))
    sheets = [ReviewSheet(testset.path, items, who, testset.id) for who in people]
    changed = [
        vote for vote in current_votes(read_votes(testset.path))
        if vote.form == "edit" or (vote.form, vote.value) == ("label", "drop")
    ]  # fmt: skip
    return ReviewResults(
        tuple(sheet.summary() for sheet in sheets), rater_agreement(decided), tuple(changed)
    )


def _votes_as_labels(given: Iterable[Judgement]) -> list[Judgement]:
    """Current votes on samples as labels: accept, modify or drop."""
    return [
        vote._replace(form="label", value="modify") if vote.form == "edit" else vote
        for vote in current_votes(given)
        if vote.form in ("label", "edit")
    ]
