"""Votes of people, model judges and raters, in one ledger format.

    DIR/ledger/votes.jsonl   every vote, append-only; see core/ledger.py

    form     value
    label    a word, such as accept or drop
    rating   a number
    choice   the name of the one preferred among `shown`, or tie
    ranking  the names of `shown`, best first, such as b>a=c: a and c are equally good
    edit     the corrected fields as a JSON object

Nothing is overwritten: the latest vote of a person on a subject in a form counts, earlier ones are
its history, and an empty value withdraws a vote. Of a choice the option's name is recorded, not its
position. The name of a rater that is no person begins with `simulated:`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, get_args, get_type_hints

from groundup.core import DataError, Judgement, Ledger, Reason, check_choice

from .stats.agreement import cohen_kappa, krippendorff_alpha
from .stats.interval import Interval, rate

VOTES = "ledger/votes.jsonl"
TIE = "tie"
WITHDRAWN = ""
SIMULATED = "simulated:"
"""How the name of a rater begins that is no person: a model, a rule, a script."""
FORMS: tuple[str, ...] = get_args(get_type_hints(Judgement)["form"])
MAX_VOTE_CHARACTERS = 2**18
"""Maximum length of value and reason: an answer fits, a file pasted by mistake does not."""


def record_vote(folder: Path, judgement: Judgement) -> Judgement:
    """Append a vote durably to a folder's ledger, such as a test set's.

    `when` is set if it is empty. Raises DataError if the value does not fit the form.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = record_vote(place, Judgement("ana", "", "q1", "label", "accept"))
    >>> _ = record_vote(place, Judgement("ana", "", "q1", "label", "drop", "two right answers"))
    >>> votes = read_votes(place)
    >>> [vote.value for vote in votes], [vote.value for vote in current_votes(votes)]
    (['accept', 'drop'], ['drop'])
    """
    _validate_vote(judgement)
    content = judgement._asdict()
    if not judgement.when:
        del content["when"]  # the ledger's entry has its own time
    entry = Ledger(Path(folder) / VOTES).append(content)
    return judgement._replace(when=judgement.when or entry.when)


def withdraw_vote(folder: Path, judgement: Judgement) -> Judgement:
    """Withdraw a vote; it stays in the history."""
    return record_vote(folder, judgement._replace(when="", value=WITHDRAWN, reason="taken back"))


def _validate_vote(judgement: Judgement) -> None:
    """Raise DataError unless the vote is complete and its value fits its form."""
    who, _, subject, form, value, reason, *_ = judgement
    if not who.strip() or not subject:
        raise DataError("A vote needs who gave it and what on; one of them is empty.")
    if not who.isprintable():
        raise DataError(f"Who gave a vote is named in a line of printable characters; got {who!r}.")
    if form not in FORMS:
        raise DataError(f"A vote's form is one of {', '.join(FORMS)}; got {form!r}.")
    if (length := len(value) + len(reason)) > MAX_VOTE_CHARACTERS:
        most = f"{MAX_VOTE_CHARACTERS:,} at most"
        raise DataError(f"The vote on {subject} has {length:,} characters; {most}.")
    wrong = "" if value == WITHDRAWN else _form_error(judgement)
    if wrong:
        raise DataError(f"The {form} on {subject} {wrong}; got {value[:80]!r}.")


def _form_error(judgement: Judgement) -> str:
    """Why a value does not fit its form; empty if it does."""
    value = judgement.value
    if judgement.form == "rating":
        try:
            return "" if math.isfinite(float(value)) else "must be a number"
        except ValueError:
            return "must be a number"
    if judgement.form == "choice" and value not in (*judgement.shown, TIE):
        return f"must be one of {', '.join(judgement.shown)} or {TIE}"
    if judgement.form == "ranking" and not _is_ranking_of(value, judgement.shown):
        return f"must rank each of {', '.join(judgement.shown)} once, as in a>b=c"
    if judgement.form == "label" and not value.strip():
        return "must be a word"
    return _edit_error(value) if judgement.form == "edit" else ""


def _is_ranking_of(value: str, names: Sequence[str]) -> bool:
    return sorted(value.replace("=", ">").split(">")) == sorted(names)


def _edit_error(text: str) -> str:
    """Why a text is no JSON object of corrected fields; empty if it is.

    >>> _edit_error('{"references": "Paris"}')
    'must have a list of texts as references'
    """
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return "must be a JSON object of the corrected fields"
    references = fields.get("references", [])
    if not (isinstance(references, list) and all(isinstance(text, str) for text in references)):
        return "must have a list of texts as references"
    return "" if isinstance(fields.get("question", ""), str) else "must have a text as question"


def read_votes(place: Path) -> list[Judgement]:
    """Every vote in the ledger of `folder`, in the order of writing."""
    found = []
    for entry in Ledger(Path(place) / VOTES).read():
        row = entry.content
        try:
            vote = Judgement(**{"when": "", **row, "shown": tuple(row.get("shown", ()))})
            _validate_vote(vote)
        except (TypeError, AttributeError) as error:
            raise DataError(f"A line of votes is no judgement ({error}).") from None
        found.append(vote._replace(when=vote.when or entry.when))
    return found


def current_votes(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The latest vote of each person, subject and form, without withdrawn ones.

    Latest by `when`, then by order of writing. Returned in the order of first votes.
    """
    latest: dict[tuple[str, str, str], Judgement] = {}
    for vote in judgements:
        key = (vote.who, vote.subject, vote.form)
        if key not in latest or vote.when >= latest[key].when:
            latest[key] = vote
    return [vote for vote in latest.values() if vote.value != WITHDRAWN]


def is_simulated(who: str) -> bool:
    """Whether a rater is no person."""
    return who.startswith(SIMULATED)


def ranking_vote(who: str, subject: str, scores: Mapping[str, float], reason: str) -> Judgement:
    """A vote for the options with the higher scores: a choice of two, a ranking of more.

    >>> ranking_vote("ana", "q1", {"a": 0.0, "b": 2.0, "c": 0.0}, "").value
    'b>a=c'
    """
    names = tuple(scores)
    tiers = [[n for n in names if scores[n] == s] for s in sorted({*scores.values()}, reverse=True)]
    if len(names) > 2:
        value = ">".join("=".join(tier) for tier in tiers)
        return Judgement(who, "", subject, "ranking", value, reason, names)
    return Judgement(who, "", subject, "choice", tiers[0][0] if tiers[1:] else TIE, reason, names)


def pairwise_votes(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Choices and rankings as choices between two, each pair of options a subject of its own.

    >>> vote = ranking_vote("ana", "q1", {"a": 0.0, "b": 2.0, "c": 0.0}, "")
    >>> [(each.subject, each.value) for each in pairwise_votes([vote])]
    [('q1 a b', 'b'), ('q1 a c', 'tie'), ('q1 b c', 'b')]
    """
    pairs = []
    for vote in judgements:
        if vote.form not in ("choice", "ranking"):
            continue
        ranked = vote.value if vote.value != TIE else "=".join(vote.shown)
        tiers = [tier.split("=") for tier in ranked.split(">")]
        ranks = {name: rank for rank, tier in enumerate(tiers) for name in tier}
        for one, other in combinations(sorted(vote.shown), 2):
            apart = ranks.get(one, len(tiers)) - ranks.get(other, len(tiers))
            better = TIE if apart == 0 else one if apart < 0 else other
            subject = f"{vote.subject} {one} {other}"
            pairs.append(vote._replace(
                subject=subject, form="choice", value=better, shown=(one, other)
            ))  # fmt: skip
    return pairs


class PairAgreement(NamedTuple):
    """Agreement of two people on the subjects that both judged."""

    first: str
    second: str
    subjects: int
    share: Interval
    """Share of subjects on which they agree."""
    kappa: Interval | Reason
    """Cohen's kappa: agreement beyond chance."""


class Agreement(NamedTuple):
    """Inter-rater agreement for one form of vote."""

    subjects: int
    """Number of subjects judged by at least two people."""
    pairs: tuple[PairAgreement, ...]
    alpha: Interval | Reason
    """Krippendorff's alpha over all people: 1 is perfect, 0 is chance."""
    disputed: tuple[str, ...]
    """Subjects on which not all agree."""


def rater_agreement(
    judgements: Iterable[Judgement], form: str = "label", groups: Mapping[str, str] | None = None
) -> Agreement:
    """Inter-rater agreement on the current votes.

    groups  the cluster of each subject, such as the question of a pair of answers; none: itself

    >>> given = [Judgement("ana", "1", "q1", "label", "accept"),
    ...          Judgement("ben", "1", "q1", "label", "drop")]
    >>> rater_agreement(given).disputed
    ('q1',)
    """
    check_choice("form", form, FORMS)
    table: dict[str, dict[str, str]] = {}
    for vote in current_votes(judgements):
        if vote.form == form:
            table.setdefault(vote.subject, {})[vote.who] = vote.value
    shared = {subject: row for subject, row in table.items() if len(row) > 1}
    people = sorted({who for row in shared.values() for who in row})
    pairs = []
    for one, other in combinations(people, 2):
        both = {name: row for name, row in shared.items() if {one, other} <= row.keys()}
        if both:
            left, right = ([row[who] for row in both.values()] for who in (one, other))
            codes = [(groups or {}).get(name, name) for name in both]
            same = [float(a == b) for a, b in zip(left, right, strict=True)]
            kappa = cohen_kappa(left, right, codes)
            pairs.append(PairAgreement(one, other, len(both), rate(same, codes), kappa))
    rows = [[row.get(who) for who in people] for row in shared.values()]
    nobody = Reason("nobody_shares", "No subject was judged by two people.")
    disputed = tuple(name for name, row in shared.items() if len(set(row.values())) > 1)
    codes = [(groups or {}).get(name, name) for name in shared]
    alpha = krippendorff_alpha(rows, groups=codes) if shared else nobody
    return Agreement(len(shared), tuple(pairs), alpha, disputed)
