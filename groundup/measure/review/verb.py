"""The verb `groundup testset review`: samples in a terminal or a page, and what was found.

Votes go to the test set's ledger, outside its id: the sealed samples stay as they are, and a new
test set without the dropped and with the mended ones is made from them afterwards.
"""

import json
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from groundup.core import Artifact, ConfigError, Judgement, Reason, record, user_name

from ..judgement import Agreement, agreement, standing, votes
from ..testset import read_card, read_samples
from .server import ReviewServer
from .sheet import Item, Sheet, Summary, drawn, percent, reviewer_name, sample_item
from .terminal import review_in_terminal


def review_testset(
    testset: Artifact, *, who: str = "", sample: int = 0, seed: int = 0, disputed: bool = False,
    page: bool = False, port: int = 0, results: bool = False,
) -> "Summary | Results":  # fmt: skip
    """Accept, mend or drop the samples of a test set, blind and one at a time.

    Where stdin is no terminal each of its lines decides one sample: `a` accepts it, `d REASON`
    drops it, `m question=TEXT answer=TEXT` mends one or both, `s` skips it, `u` takes the last
    decision back, `h` tells the keys, `q` ends.

    who       the reviewer's name, recorded with every vote; git's user.name if it is left out
    sample    review so many, drawn by kind, instead of all; what an earlier review read comes last
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
    read = set(read_card(testset).get("review", {}).get("read_samples", ()))
    items, who = drawn_unread(items, read, sample, seed), reviewer(who)

    def sheet_of(name: str) -> Sheet:
        return Sheet(testset.path, items, name, testset.id)

    with suppress(KeyboardInterrupt):
        if page:
            title = str(read_card(testset).get("name", ""))
            serve(ReviewServer(title, sheet_of, who, port))
        else:
            review_in_terminal(sheet_of(who))
    return sheet_of(who).summary()


def drawn_unread(items: list[Item], read: set[str], number: int, seed: int) -> list[Item]:
    """Draw from what no earlier review read, and from the rest once that is not enough."""
    fresh = [item for item in items if item.subject not in read]
    if not 0 < number < len(items) or not fresh:
        return drawn(items, number, seed)
    rest = [item for item in items if item.subject in read]
    missing = max(0, number - len(fresh))
    return drawn(fresh, number, seed) + (drawn(rest, missing, seed) if missing else [])


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
    changed: tuple[Judgement, ...] = ()
    """Every standing vote that dropped or mended a sample."""

    def __str__(self) -> str:
        """A few lines a reviewer, then how they agree."""
        if not self.reviewers:
            return "Nobody has reviewed a sample yet."
        lines = [str(each) for each in self.reviewers]
        for pair in self.agreement.pairs:
            kappa = pair.kappa
            told = (
                kappa.message
                if isinstance(kappa, Reason)
                else f"{kappa.estimate:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"
            )
            lines.append(
                f"{pair.first} and {pair.second} agree on {percent(pair.share)} of the "
                f"{pair.subjects} that both read; kappa {told}"
            )
        if self.agreement.disputed:
            lines.append(f"Disputed: {', '.join(self.agreement.disputed)} (--disputed shows them)")
        return "\n".join([*lines, *map(change, self.changed)])


def change(vote: Judgement) -> str:
    """A vote that dropped or mended a sample, in a line."""
    if vote.form == "edit":
        said = ", ".join(f"{name}: {new}" for name, new in json.loads(vote.value).items())
        return f"{vote.who} mended {vote.subject}: {said}" + f" ({vote.reason})" * bool(vote.reason)
    return f"{vote.who} dropped {vote.subject}: {vote.reason or 'no reason given'}"


def results_of(testset: Artifact, items: list[Item]) -> Results:
    """Every reviewer's summary, and the agreement between them."""
    given = decisions(votes(testset.path))
    people = list(dict.fromkeys(vote.who for vote in given))
    sheets = [Sheet(testset.path, items, who, testset.id) for who in people]
    changed = [
        vote for vote in standing(votes(testset.path))
        if vote.form == "edit" or (vote.form, vote.value) == ("label", "drop")
    ]  # fmt: skip
    return Results(tuple(sheet.summary() for sheet in sheets), agreement(given), tuple(changed))


def decisions(given: Iterable[Judgement]) -> list[Judgement]:
    """Standing votes on samples as labels: accept, mend or drop."""
    return [
        vote._replace(form="label", value="mend") if vote.form == "edit" else vote
        for vote in standing(given)
        if vote.form in ("label", "edit")
    ]
