"""Votes of people on comparisons, what all votes agree on, and the preferences that they make.

People see the answers blind, each in an order of their own. Where raters disagree, or a judge
changed its mind with the order or gave no verdict, `--disputed` sends the comparison to people,
whose votes then count before those of raters that are no people.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from groundup.core import (
    Artifact,
    ConfigError,
    DataError,
    Draft,
    Judgement,
    Reason,
    digest,
    produce,
)
from groundup.measure import (
    TIE,
    Agreement,
    PairAgreement,
    ReviewSheet,
    ReviewSummary,
    current_votes,
    format_agreement,
    format_share,
    is_simulated,
    pairwise_votes,
    rater_agreement,
    read_votes,
    run_review,
    sample_items,
)

from ..examples.layouts import KeptRow, KeptRows, write_rows
from ..preferences import Preference, PreferencesConfig, write_preferences
from .comparisons import (
    AnswerComparison,
    counting_votes,
    majority,
    pair_winners,
    read_comparisons,
    reject,
    votes_by_subject,
)
from .live import STAGE, ReviewDesk, piped_name
from .voting import CHANGED, read_quarantine

PEOPLE = "people"
"""Name of all raters that are people, taken together: what more of them chose, or a tie."""


class RaterVotes(NamedTuple):
    """How often a rater voted."""

    who: str
    votes: int
    ties: int
    dropped: int
    simulated: bool
    """Whether it is no person."""


class VoteReport(NamedTuple):
    """What raters said, and how they agree on pairs of answers."""

    raters: tuple[RaterVotes, ...]
    agreement: Agreement
    """Of each two raters."""
    with_people: tuple[PairAgreement, ...]
    """Of each rater that is no person, with the people taken together."""
    disputed: tuple[str, ...]
    """Comparisons that people should look at."""

    def __str__(self) -> str:
        """A line per rater, then their agreement."""
        if not self.raters:
            return "Nobody has compared answers yet."
        lines = [
            f"{each.who}{' (simulated, no person)' if each.simulated else ''}: {each.votes} votes, "
            f"{each.ties} with ties, {each.dropped} dropped"
            for each in self.raters
        ]
        several = sum(not each.simulated for each in self.raters) > 1
        lines += map(format_agreement, self.agreement.pairs + (self.with_people if several else ()))
        return "\n".join([*lines, f"{len(self.disputed)} disputed (--disputed shows them)"])


def review_comparisons(
    comparisons: Artifact, *, who: str = "", sample: int = 0, seed: int = 0, disputed: bool = False,
    page: bool = False, port: int = 0, results: bool = False,
) -> "ReviewSummary | VoteReport":  # fmt: skip
    """Say which answers are better, blind and one prompt at a time.

    A live queue of `groundup reinforce` is reviewed while its run waits, by several people at once.
    If stdin is no terminal, each of its lines decides one: `1 REASON` or `2 REASON` for the better
    answer, `=` for a tie, `2>1=3` for a ranking, `d REASON` drops it, `s` skips it, `u` undoes the
    last decision, `h` lists the keys, `q` ends. Without --who these votes are a script's.

    who       the reviewer's name, recorded with every vote; default: git's user.name
    sample    number of prompts to look at
    seed      seed of the sampling; the same seed gives every reviewer the same prompts
    disputed  only where raters disagree, or a judge was undecided
    page      review in a browser on this machine instead of the terminal
    port      port of the page; 0 for a free one
    results   only show the votes so far and the raters' agreement
    """
    if sample < 0:
        raise ConfigError(f"--sample {sample} must be 0 for all prompts, or how many to look at.")
    votes = read_votes(comparisons.path)
    report = report_votes(votes, read_quarantine(comparisons.path))
    rows = read_comparisons(comparisons)
    items = [row.item for row in rows if not disputed or row.id in report.disputed]
    review = partial(run_review, title=comparisons.path.resolve().name, compares=True)

    def named(name: str) -> str:
        return name if who or page else piped_name(name)

    if comparisons.stage == STAGE and not (results or disputed or sample or page):
        desk = ReviewDesk(comparisons)
        return review(lambda name: desk.sheet(named(name)), who, waits=desk.waits)
    if results or not items:
        return report
    items = sample_items(items, sample, seed)

    def sheet(name: str) -> ReviewSheet:
        return ReviewSheet(comparisons.path, items, named(name), comparisons.id)

    return review(sheet, who, port=port if page else None)


def report_votes(votes: Iterable[Judgement], aside: Iterable[Judgement] = ()) -> VoteReport:
    """What raters said; `aside`: what judges gave no vote on."""
    votes = current_votes(votes)
    raters = list[RaterVotes]()
    for who in dict.fromkeys(vote.who for vote in votes):
        own = [vote for vote in votes if vote.who == who]
        ties = sum(vote.value == TIE or "=" in vote.value for vote in own if vote.shown)
        dropped = sum(vote.form == "label" for vote in own)
        raters.append(RaterVotes(who, len(own), ties, dropped, is_simulated(who)))
    pairs = pairwise_votes(votes)
    groups = {vote.subject: vote.subject.split()[0] for vote in pairs}
    agreement = rater_agreement(pairs, "choice", groups)
    simulated = [vote for vote in pairs if is_simulated(vote.who)]
    by_people = votes_by_subject(vote for vote in pairs if not is_simulated(vote.who))
    together = [own[0]._replace(who=PEOPLE, value=majority(own)) for own in by_people.values()]
    both = rater_agreement([*simulated, *together], "choice", groups).pairs
    with_people = tuple(pair for pair in both if PEOPLE in pair[:2])
    people = {vote.subject for vote in votes if not is_simulated(vote.who)}
    unsure = {vote.subject for vote in votes if vote.reason.startswith(CHANGED)}
    unsure |= {vote.subject for vote in aside}
    settled = {name for name, own in by_people.items() if _is_settled(own)}
    disputed = {groups[pair] for pair in {*agreement.disputed} - settled} | (unsure - people)
    return VoteReport(tuple(raters), agreement, with_people, tuple(sorted(disputed)))


def _is_settled(votes: Sequence[Judgement]) -> bool:
    """Whether one value has two votes of people more than any other."""
    counts = [count for _, count in Counter(vote.value for vote in votes).most_common(2)]
    return counts[0] - sum(counts[1:]) >= 2


class VotesConfig(PreferencesConfig):
    """How votes become preferences."""

    pairs: Literal["all", "best_worst"] = "all"
    """Of several answers: every pair in which one is better, or the best against the worst."""
    raters: Literal["all", "people", "simulated"] = "all"
    """Whose votes count; all: of people where there are any, else of raters that are no people."""
    min_agreement: float = Field(default=0.0, ge=0, le=1)
    """Raters that are no people count only if the lower bound of their agreement with people, over
    the pairs that both compared, is at least this; 0 asks for none."""


def apply_votes(config: VotesConfig, comparisons: Artifact, out: Path) -> Artifact:
    """Turn the votes on comparisons into preferences, and hold some out.

    Rankings become pairs. Ties, drops and comparisons without a vote are in rejected.jsonl with
    their reasons, and who agrees with whom in the manifest's numbers.

    Raises DataError without votes, or if raters do not agree with people as min_agreement asks.
    """
    votes = current_votes(read_votes(comparisons.path))
    if not votes:
        first = f"run `groundup preferences review {comparisons.path}` or `preferences judge` first"
        raise DataError(f"{comparisons.path} has no votes; {first}.")
    if foreign := {vote.subject for vote in votes} - {r.id for r in read_comparisons(comparisons)}:
        raise DataError(f"{comparisons.path} has votes on {min(foreign)}, which it does not have.")
    config = config.model_copy(update={"files_digest": digest([list(vote) for vote in votes])})
    return produce(
        out, kind="preferences", stage="preferences-apply", version=1, config=config,
        parents={"comparisons": comparisons},
        write=lambda draft: _write_votes(draft, config, comparisons, votes),
    )  # fmt: skip


def _write_votes(
    draft: Draft, config: VotesConfig, comparisons: Artifact, votes: list[Judgement]
) -> None:
    report = report_votes(votes)
    _check_agreement(config, report)
    aside = {vote.subject: vote.reason for vote in read_quarantine(comparisons.path)}
    voted = {vote.subject for vote in votes}
    wanted = {"all": (True, False), "people": (False,), "simulated": (True,)}[config.raters]
    counted = votes_by_subject(vote for vote in votes if is_simulated(vote.who) in wanted)
    found, labels = KeptRows[Preference]([], []), Counter[str]()
    for row in read_comparisons(comparisons):
        own = counted.get(row.id, [])
        preferences = _decide(row, own, config.pairs)
        if not own and row.id in voted:
            preferences = f"It has no vote that counts: raters={config.raters}."
        if isinstance(preferences, str):
            reject(found, row, preferences if row.id in voted else aside.get(row.id, preferences))
            continue
        label = "simulated" if all(is_simulated(vote.who) for vote in own) else "by people"
        labels[label] += len(preferences)
        line = json.dumps(row.to_dict(), ensure_ascii=False)
        found.kept.extend(KeptRow(each, label, row.id, line) for each in preferences)
    rows = (vote._asdict() for each in counted.values() for vote in each)
    write_rows(draft.file("votes.jsonl"), rows)
    write_preferences(draft, config, found)
    draft.numbers |= {
        "labels by people": labels["by people"], "labels simulated": labels["simulated"],
        "raters": [each._asdict() for each in report.raters],
        "agreement": [_pair_numbers(each) for each in report.agreement.pairs],
        "agreement_with_people": [_pair_numbers(each) for each in report.with_people],
        "disputed": len(report.disputed),
    }  # fmt: skip


def _decide(row: AnswerComparison, votes: Sequence[Judgement], by: str) -> list[Preference] | str:
    """The preferences that votes on a comparison make, or why there is none."""
    if not votes:
        return "It has no vote."
    if not (counted := counting_votes(votes)):
        drops = [vote for vote in votes if vote.form == "label"]
        return f"Dropped: {drops[-1].reason or 'no reason given'}"
    texts, won = dict(zip(row.names, row.answers, strict=True)), Counter[str]()
    winners = pair_winners(counted).items()
    better = [(best, *{*pair} - {best}) for pair, best in winners if best != TIE]
    for best, worse in better:
        won[best], won[worse] = won[best] + 1, won[worse] - 1
    if by == "best_worst" and better:
        ends = max(row.names, key=won.__getitem__), min(row.names, key=won.__getitem__)
        better = [ends] if won[ends[0]] > won[ends[1]] else []
    if not better:
        return "Its answers tie."
    return [Preference(row.prompt, texts[best], texts[worse]) for best, worse in better]


def _check_agreement(config: VotesConfig, report: VoteReport) -> None:
    if not config.min_agreement or config.raters == "people":
        return
    for each in (rater.who for rater in report.raters if rater.simulated):
        shares = [pair.share for pair in report.with_people if each in pair[:2]]
        if not shares or shares[0].low < config.min_agreement:
            came = format_share(shares[0]) if shares else "no pair that both compared"
            raise DataError(
                f"{each} agrees with people on {came}, and min_agreement={config.min_agreement:g} "
                "needs a lower bound of that; have people look at more "
                "(`groundup preferences review --sample N`), or set raters=people."
            )


def _pair_numbers(pair: PairAgreement) -> dict[str, Any]:
    found = {
        name: value.message if isinstance(value, Reason) else [*value[:3]]
        for name, value in (("share", pair.share), ("kappa", pair.kappa))
    }
    return {"raters": [pair.first, pair.second], "pairs": pair.subjects} | found
