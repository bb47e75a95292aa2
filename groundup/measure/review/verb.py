"""The verb `groundup testset review`: samples in a terminal or a page, and what was found.

Votes go to the test set's ledger, outside its id: the sealed samples stay as they are, and a new
test set without the dropped and with the mended ones is made from them afterwards.
"""

import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from groundup.core import Artifact, ConfigError, Judgement, Reason, record, user_name

from ..judgement import Agreement, agreement, standing, votes
from ..testset import read_card, read_samples
from .server import ReviewServer
from .sheet import Item, Sheet, Summary, drawn, reviewer_name, sample_item
from .terminal import review_in_terminal


def review_testset(
    testset: Artifact, *, who: str = "", sample: int = 0, seed: int = 0, disputed: bool = False,
    page: bool = False, port: int = 0, results: bool = False,
) -> "Summary | Results":  # fmt: skip
    """Accept, mend or drop the samples of a test set, blind and one at a time.

    who       the reviewer's name, recorded with every vote; git's user.name if it is left out
    sample    review so many, drawn by kind, instead of all
    seed      seed of the drawn samples; the same seed gives every reviewer the same ones
    disputed  only the samples on which earlier reviewers disagree
    page      review in a browser, on this machine alone, instead of the terminal
    port      port of the page; 0 takes a free one
    results   review nothing: show what was found so far and how the reviewers agree
    """
    if sample < 0:
        raise ConfigError(f"--sample {sample} must be 0 for all samples, or how many to review.")
    items = [sample_item(each) for each in read_samples(testset)]
    if results:
        return results_of(testset, items)
    if disputed:
        wanted = set(agreement(decisions(votes(testset.path))).disputed)
        items = [item for item in items if item.subject in wanted]
    items, who = drawn(items, sample, seed), reviewer(who)

    def sheet_of(name: str) -> Sheet:
        return Sheet(testset.path, items, name, testset.id)

    with suppress(KeyboardInterrupt):
        if page:
            title = str(read_card(testset).get("name", ""))
            serve(ReviewServer(title, sheet_of, who, port))
        else:
            review_in_terminal(sheet_of(who))
    return sheet_of(who).summary()


def serve(server: ReviewServer) -> None:
    """Serve until Ctrl-C."""
    record.say(f"Review at {server.url}")
    record.say("The address is a secret of this machine. Ctrl-C ends; votes are on disk at once.")
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def reviewer(given: str) -> str:
    """The reviewer's name: as given, or git's, or the user's.

    Raises DataError if it is empty or does not fit one line.
    """
    return reviewer_name(given.strip() or git_name() or user_name())


def git_name() -> str:
    """`user.name` of git's configuration; empty without git or a name."""
    try:
        found = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()


class Results(NamedTuple):
    """What all reviewers found."""

    reviewers: tuple[Summary, ...]
    agreement: Agreement
    """On accept, mend and drop."""

    def __str__(self) -> str:
        """A few lines a reviewer, then how they agree."""
        if not self.reviewers:
            return "Nobody has reviewed a sample yet."
        lines = [str(each) for each in self.reviewers]
        for pair in self.agreement.pairs:
            kappa = pair.kappa.code if isinstance(pair.kappa, Reason) else str(pair.kappa)
            lines.append(
                f"{pair.first} and {pair.second} agree on {pair.share} of {pair.subjects}; "
                f"kappa {kappa}"
            )
        if self.agreement.disputed:
            lines.append(f"Disputed: {', '.join(self.agreement.disputed)} (--disputed shows them)")
        return "\n".join(lines)


def results_of(testset: Artifact, items: list[Item]) -> Results:
    """Every reviewer's summary, and the agreement between them."""
    given = decisions(votes(testset.path))
    people = list(dict.fromkeys(vote.who for vote in given))
    sheets = [Sheet(testset.path, items, who, testset.id) for who in people]
    return Results(tuple(sheet.summary() for sheet in sheets), agreement(given))


def decisions(given: Iterable[Judgement]) -> list[Judgement]:
    """Standing votes on samples as labels: accept, mend or drop."""
    return [
        vote._replace(form="label", value="mend") if vote.form == "edit" else vote
        for vote in standing(given)
        if vote.form in ("label", "edit")
    ]
