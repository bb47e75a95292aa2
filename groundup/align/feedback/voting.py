"""Votes on comparisons that no person gives: a judge's, and those of rewards.

A vote is in the comparisons' ledger as soon as it is complete, so the same command resumes. What
gets no vote, such as a judge's nonsense, is in `ledger/quarantine.jsonl` with its reason, and is
sent to people. A rater's name begins with `simulated:`, and a judge's ends with a hash of weights,
prompt and principles: with others it is another rater.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from groundup.core import Answer, Artifact, DataError, Judgement, Ledger, Reason, Sample, record
from groundup.generate import open_language_model
from groundup.measure import SIMULATED, current_votes, ranking_vote, read_votes, record_vote
from groundup.prompt import Template

from ..policy.rewards import Reward, RewardConfig
from .asking import is_transient, require_all
from .comparisons import AnswerComparison, model_name, model_parents, read_comparisons
from .judge import JudgeConfig, PairVerdict, PairwiseJudge, PromptedPair, read_principles

QUARANTINE = "ledger/quarantine.jsonl"
FINAL_CODES = "no_verdict", "no_reward"
"""Reasons that stay; others, such as a field that a server rejects, may be gone in the next run."""
CHANGED = "changed with the order"
"""Begins the reason of a judge's vote that did so; people look at those."""
CHARACTERS_PER_TOKEN = 4


class VotingReport(NamedTuple):
    """What a rater that is no person did."""

    who: str
    voted: int
    earlier: int
    """Comparisons that it had voted on before, or put aside."""
    ties: int
    changed: int
    """Votes of a judge that changed its mind with the order of a pair."""
    quarantined: dict[str, int]
    """Comparisons without a vote, by the code of the reason."""

    def __str__(self) -> str:
        """A line for a terminal."""
        aside = ", ".join(f"{count} {code}" for code, count in self.quarantined.items()) or "none"
        return (
            f"{self.who} voted on {self.voted} comparisons, {self.earlier} before; with ties "
            f"{self.ties}, changed with the order {self.changed}, put aside: {aside}."
        )


def judge_comparisons(
    comparisons: Artifact, model: str, *, config: JudgeConfig, principles: Path | None = None,
    prompt: Path | None = None, dry_run: bool = False,
) -> VotingReport | str:  # fmt: skip
    """Compare answers by a model that is asked for each pair in both orders.

    Votes are kept with the comparisons at once; the same command resumes. Several answers are
    ranked by their wins over all pairs.

    model       a directory, of an adapter too, or http://HOST/v1#NAME
    principles  text with a principle a line; default: the package's
    prompt      TOML file of the prompt, with principle, turn, answer and question
    dry_run     show the first prompt and count the requests; send nothing

    Raises EndpointError if verdicts are missing that may still come.
    """
    parents, rows = model_parents(model), read_comparisons(comparisons)
    if not rows:
        raise DataError(f"The queue {comparisons.path} has nothing to compare yet.")
    judge = PairwiseJudge(
        None, config, read_principles(principles),
        Template.read(prompt or Path(__file__).with_name("judge.toml")),
        parents["model"].id if parents else model,
    )  # fmt: skip
    judge.prompt(PromptedPair(rows[0].prompt, "", ""))  # checks the template
    who = f"{SIMULATED}{model_name(model)}#{judge.signature[-8:]}"
    done = _subjects_by(comparisons, who)
    todo = [row for row in rows if row.id not in done]
    if dry_run:
        return _describe_requests(judge, todo, who)
    if todo:
        judge = replace(judge, model=open_language_model(model, config.endpoint).model)
    outcomes = _judge_rows(judge, who, todo)
    return _record_votes(comparisons, who, outcomes, len(done), config.accept_failures)


def score_comparisons(comparisons: Artifact, *, config: RewardConfig) -> VotingReport:
    """Rank answers by rewards that a program can check, those of `groundup reinforce`.

    Prompts need right answers, in the column answer; what a reward cannot score is put aside.
    """
    reward = Reward.of(config)
    weights = " ".join(f"{name}={weight:g}" for name, (weight, _) in reward.parts.items())
    who = f"{SIMULATED}rewards {weights}"
    done = _subjects_by(comparisons, who)

    def outcomes() -> Iterator[tuple[str, Judgement | Reason]]:
        for row in (each for each in read_comparisons(comparisons) if each.id not in done):
            try:
                sample = Sample(row.id, row.prompt, row.references, metadata=dict(row.texts))
                given = [reward(sample, Answer(text)) for text in row.answers]
            except DataError as error:
                yield row.id, Reason("no_reward", str(error))
                continue
            scores = dict(zip(row.names, given, strict=True))
            reason = ", ".join(f"{name} {score:g}" for name, score in scores.items())
            yield row.id, ranking_vote(who, row.id, scores, reason)

    return _record_votes(comparisons, who, outcomes(), len(done))


def read_quarantine(place: Path) -> list[Judgement]:
    """What raters put aside: labels with the code and the text of the reason."""
    rows = [entry.content for entry in Ledger(place / QUARANTINE).read()]
    return [Judgement(r["who"], "", r["subject"], "label", r["code"], r["reason"]) for r in rows]


def _subjects_by(comparisons: Artifact, who: str) -> set[str]:
    """What a rater has voted on, or would put aside again."""
    votes = current_votes(read_votes(comparisons.path))
    votes += [each for each in read_quarantine(comparisons.path) if each.value in FINAL_CODES]
    return {vote.subject for vote in votes if vote.who == who}


def _record_votes(
    comparisons: Artifact, who: str, outcomes: Iterable[tuple[str, Judgement | Reason]],
    earlier: int, accept_failures: bool = False,
) -> VotingReport:  # fmt: skip
    """Append each vote, or put its comparison aside, as it comes."""
    counts, aside, failures = Counter[str](), Counter[str](), list[Reason]()
    for subject, vote in outcomes:
        if not isinstance(vote, Reason):
            record_vote(comparisons.path, vote)
            counts["ties"] += vote.value == "tie" or "=" in vote.value
            counts["changed"] += vote.reason.startswith(CHANGED)
            counts["voted"] += 1
        elif is_transient(vote) and not accept_failures:
            failures.append(vote)
        else:
            Ledger(comparisons.path / QUARANTINE).append(
                {"who": who, "subject": subject, "code": vote.code, "reason": vote.message}
            )
            aside[vote.code] += 1
    kinds = (counts["ties"], counts["changed"], dict(aside))
    report = VotingReport(who, counts["voted"], earlier, *kinds)
    if failures:
        record.log(str(report))
    require_all(failures)
    return report


def _judge_rows(
    judge: PairwiseJudge, who: str, rows: Sequence[AnswerComparison]
) -> Iterator[tuple[str, Judgement | Reason]]:
    """The vote on each comparison once all of its pairs have a verdict, or why there is none."""
    pairs = {row.id: _pairs(row) for row in rows}
    asked = [(row, pair) for row in rows for pair in pairs[row.id]]
    found = {row.id: dict[tuple[int, int], PairVerdict | Reason]() for row in rows}
    with record.progress("judge", len(asked), "pairs") as bar:
        for index, verdict in judge.verdicts([pairs[row.id][pair] for row, pair in asked]):
            bar.advance(1)
            row, pair = asked[index]
            found[row.id][pair] = verdict
            if len(found[row.id]) == len(pairs[row.id]):
                verdicts = found.pop(row.id)
                reasons = [each for each in verdicts.values() if isinstance(each, Reason)]
                why = next(filter(is_transient, reasons), reasons[0]) if reasons else None
                yield row.id, why or _vote_of_verdicts(who, row, verdicts)


def _pairs(row: AnswerComparison) -> dict[tuple[int, int], PromptedPair]:
    """Each two answers, by their numbers."""
    numbers = combinations(range(len(row.answers)), 2)
    return {(a, b): PromptedPair(row.prompt, row.answers[a], row.answers[b]) for a, b in numbers}


def _vote_of_verdicts(
    who: str, row: AnswerComparison, verdicts: dict[tuple[int, int], PairVerdict | Reason]
) -> Judgement:
    """Answers are ranked by their wins; a tie is half a win of both."""
    wins, changed, reason = dict.fromkeys(row.names, 0.0), 0, ""
    for (one, other), verdict in verdicts.items():
        assert isinstance(verdict, PairVerdict)
        wins[row.names[one]] += verdict.score
        wins[row.names[other]] += 1 - verdict.score
        changed += not verdict.is_consistent
        reason = verdict.reason if len(verdicts) == 1 else ""
    head = f"{CHANGED} in {changed} of {len(verdicts)} pairs. " if changed else ""
    return ranking_vote(who, row.id, wins, head + reason)


def _describe_requests(judge: PairwiseJudge, rows: Sequence[AnswerComparison], who: str) -> str:
    """The counts and what they may cost, and the first prompt in full."""
    pairs = [pair for row in rows for pair in _pairs(row).values()]
    prompts = [prompt for pair in pairs for prompt in judge.prompts(pair)]
    size = sum(len(turn.content) for prompt in prompts for turn in prompt) // CHARACTERS_PER_TOKEN
    replies, prices = judge.config.max_tokens * len(prompts), judge.config.endpoint.prices
    price = (size * prices.prompt + replies * prices.completion) / 1e6
    cost = f", {price:.2g} at these prices" if price else ""
    head = (
        f"{who}: {len(rows)} comparisons, {len(pairs)} pairs, {len(prompts)} requests with about "
        f"{size:,} prompt tokens and at most {replies:,} of replies{cost}."
    )
    shown = [f"--- {turn.role}\n{turn.content}" for turn in (prompts[0] if prompts else ())]
    return "\n".join([head, *shown])
