"""Test sets: sealed samples with a card, and a ledger of every look at them.

    DIR/samples.jsonl       one Sample a line
    DIR/card.json           what it holds, where it came from, who reviewed it, what is wrong
    DIR/ledger/looks.jsonl  who scored what on it, and when; see core/ledger.py
    DIR/ledger/votes.jsonl  what reviewers said of its samples; see judgement.py

Each candidate scored on a test set is another chance to pass by luck, so a gate widens its
intervals by the number of candidates in the ledger; see verdict.py. Copies of a test set that lie
beside it have one id, and what was scored on one counts for all. A review changes nothing here:
`apply_review` makes another test set of the votes.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    DataError,
    Draft,
    Entry,
    Judgement,
    Ledger,
    Message,
    Reason,
    Sample,
    digest,
    produce,
    record,
    write_json,
    write_text,
)

from .card import Finding, about, examine, figures, holds, suspects, worst_first
from .judgement import standing, votes
from .stats.interval import wilson

DECISIONS = ("accept", "drop")
"""Labels that decide a sample."""
LOOKS = "ledger/looks.jsonl"
SPAN = ("start", "end", "byte_start", "byte_end", "line", "quote", "passage", "span")
"""What the metadata of a quoted reference say of its place."""


class Card(Config):
    """What a reader must know of a test set before trusting a number made on it."""

    name: str
    """Short name, such as `held-out questions`."""
    source: str = ""
    """Where the samples came from and how they were kept out of training."""
    coverage: str = ""
    """What the samples cover, and what they do not."""
    reviewed_by: str = ""
    """Who checked the labels, and how many; empty if nobody did."""
    licence: str = ""
    """Terms under which the samples may be used."""
    made: dict[str, Any] = {}
    """How the samples were made: stage, settings and digest of the source."""
    margin: float = Field(default=0.1, gt=0, lt=1)
    """Smallest difference of a rate that the test set is to find between two systems."""
    review: dict[str, Any] = {}
    """What a review found: samples read, accepted, mended and dropped, why, the error rate."""
    content: str = ""
    """sha256 of the samples; filled in when the test set is made."""


def make_testset(
    card: Card, samples: Iterable[Sample], parents: Mapping[str, Artifact], out: Path
) -> Artifact:
    """Seal samples as an artifact of kind testset.

    Raises DataError if there are none, an id comes twice, or one is not what JSON can hold.
    """
    samples = list(samples)
    rows = [checked_row(sample) for sample in samples]
    if not rows:
        raise DataError(f"The test set {card.name} got no samples; give at least one.")
    often = Counter(sample.id for sample in samples)
    if len(often) < len(rows):
        twice = next(name for name, count in often.items() if count > 1)
        raise DataError(f"The test set {card.name} has the sample id {twice!r} twice.")
    card = card.model_copy(update={"content": digest(rows)})

    def write(draft: Draft) -> None:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_text(draft.file("samples.jsonl"), "".join(lines))
        counted = figures(samples)
        draft.numbers |= {name: n for name, n in counted.items() if isinstance(n, int)}
        found = [finding._asdict() for finding in examine(samples, card.margin)]
        write_json(draft.file("card.json"), card.plain() | counted | {"findings": found})

    return produce(
        out, kind="testset", stage="testset", version=2, config=card, parents=parents, write=write
    )


def read_samples(testset: Artifact) -> Iterator[Sample]:
    """Yield the samples of a test set; DataError naming the line that is damaged."""
    with open(testset.file("samples.jsonl"), encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield sample_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{file.name}, line {number} is no sample ({error}).") from None


def read_card(testset: Artifact, with_votes: bool = False) -> dict[str, Any]:
    """The card's fields and figures; with what the votes found since it was sealed, if wanted."""
    card = json.loads(testset.file("card.json").read_text(encoding="utf-8"))
    given = votes(testset.path) if with_votes else []
    rulings = decide(given)
    return card | (reviewed(given, rulings, card["samples"]) if rulings else {})


def findings(
    testset: Artifact, scores: Mapping[str, Sequence[float | Reason]] | None = None
) -> list[Finding]:
    """What its users must know: what the card was sealed with, and what votes and scores add.

    scores  of systems, one a sample in order, 1 for right: labels that nearly all fail are suspect
    """
    samples, card = list(read_samples(testset)), read_card(testset)
    sealed = card.get("findings")
    found = [Finding(**row | {"samples": tuple(row["samples"])}) for row in sealed or ()]
    if sealed is None:  # made before cards had findings
        found = examine(samples)
    rulings = decide(votes(testset.path))
    disputed = [name for name, ruling in rulings.items() if ruling.is_disputed]
    if disputed:
        found.append(about("disputed_label", "error", "have votes that disagree", disputed))
    wrong = [name for name, ruling in rulings.items() if ruling.decision != "accept"]
    if wrong:
        what = "were dropped or mended by reviewers; `testset apply` keeps the mended ones"
        found.append(about("wrong_label", "error", what, wrong))
    if not rulings and not card.get("reviewed_by"):
        found.append(Finding("unreviewed", "note", "nobody has reviewed the labels"))
    return worst_first([*found, *suspects(samples, scores or {})])


def warn(testset: Artifact) -> list[Finding]:
    """Tell errors and warnings on stderr; whoever scores something on a test set calls it first."""
    found = [finding for finding in findings(testset) if finding.severity != "note"]
    for finding in found:
        record.say(f"{testset.path.name}: {finding}")
    return found


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values."""
    return {
        "id": sample.id,
        "conversation": [message._asdict() for message in sample.conversation],
        "references": list(sample.references),
        "group": sample.group,
        "metadata": sample.metadata,
    }


def checked_row(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values; DataError if it would not be read back as it is."""
    is_row = isinstance(sample.references, tuple | list)
    if not is_row or not all(isinstance(text, str) for text in sample.references):
        raise DataError(
            f"Sample {sample.id!r}: references must be a tuple of texts; got {sample.references!r}."
        )
    row = sample_to_json(sample)
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"Sample {sample.id!r} cannot be written as JSON: {error}.") from None
    return row


def sample_from_json(row: Mapping[str, Any]) -> Sample:
    """The sample that sample_to_json wrote."""
    return Sample(
        id=row["id"],
        conversation=tuple(Message(**message) for message in row["conversation"]),
        references=tuple(row["references"]),
        group=row["group"],
        metadata=row["metadata"],
    )


class Look(NamedTuple):
    """One scoring of a candidate on a test set."""

    who: str
    """The person or stage that looked."""
    subject: str
    """Id of the artifact that was scored."""
    when: str
    """ISO 8601, UTC."""
    setting: str = ""
    """What else decided its answers, such as prompt and examples, as a digest."""
    run: str = ""
    """Tells one look from the next where nothing else does: a server's weights are not known."""
    line: str = ""
    """Hash of its line in the ledger."""

    @property
    def candidate(self) -> str:
        """What was tried: one artifact under two prompts is two candidates."""
        return " ".join(filter(None, (self.subject, self.setting, self.run)))


def look(testset: Artifact, who: str, subject: str, setting: str = "", *, run: str = "") -> Look:
    """Record that `subject` is scored on the test set; call it before any sample is read.

    Any artifact with held-out data keeps such a ledger, tokens and examples too.
    """
    told = {"who": who, "subject": subject} | ({"setting": setting} if setting else {})
    return look_of(Ledger(testset.path / LOOKS).append(told | ({"run": run} if run else {})))


def look_of(entry: Entry) -> Look:
    """A line of the ledger as a look."""
    content = entry.content
    more = (content.get("setting", ""), content.get("run", ""))
    return Look(content["who"], content["subject"], entry.when, *more, entry.hash)


def looks(testset: Artifact) -> list[Look]:
    """Every look so far at the test set and its copies, oldest first."""
    ledgers = [list(Ledger(place / LOOKS).read()) for place in copies(testset)]
    kept = [entries for entries in ledgers if entries]
    entries = list({entry.hash: entry for some in kept for entry in some}.values())
    if len(kept) > 1:
        entries.sort(key=lambda entry: (entry.when, entry.sequence))
    return [look_of(entry) for entry in entries]


def copies(testset: Artifact) -> list[Path]:
    """The test set's folder, then those beside it that hold the same one."""
    home = testset.path.resolve()
    near = (place.parent for place in sorted(home.parent.glob(f"*/{MANIFEST}")))
    return [home, *(place for place in near if place != home and id_in(place) == testset.id)]


def id_in(folder: Path) -> str:
    """The id that a folder's manifest gives; empty if it is none of ours."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(data.get("id", "")) if isinstance(data, dict) else ""


def candidates(testset: Artifact) -> list[str]:
    """The different candidates scored on the test set so far, in order of first look."""
    return list(dict.fromkeys(look.candidate for look in looks(testset)))


class Ruling(NamedTuple):
    """What reviewers decided of a sample."""

    decision: str
    """accept, mend or drop."""
    fields: dict[str, Any]
    """Of a mended sample: question, references."""
    is_disputed: bool
    """Whether not all who voted decided the same."""


def decide(given: Iterable[Judgement]) -> dict[str, Ruling]:
    """What the votes decide of each sample that has some: the last of each person, then most.

    A tie drops the sample: a label that people dispute measures nothing.
    """
    last: dict[str, dict[str, Judgement]] = {}
    for vote in sorted(standing(given), key=lambda vote: vote.when):
        if vote.form == "edit" or (vote.form == "label" and vote.value in DECISIONS):
            last.setdefault(vote.subject, {})[vote.who] = vote
    return {subject: rule(list(people.values())) for subject, people in last.items()}


def rule(given: Sequence[Judgement]) -> Ruling:
    """The ruling of one vote a person, oldest first."""
    counts = Counter("mend" if vote.form == "edit" else vote.value for vote in given)
    most = [name for name, count in counts.items() if count == max(counts.values())]
    decision = most[0] if len(most) == 1 else "drop"
    edits = [json.loads(vote.value) for vote in given if vote.form == "edit"]
    return Ruling(decision, edits[-1] if decision == "mend" else {}, len(counts) > 1)


def apply_review(testset: Artifact, out: Path) -> Artifact:
    """A test set without the samples that reviewers dropped, and with those that they mended.

    Its card says who reviewed how many and how many were wrong as they stood. Samples that nobody
    read are kept: expect that error rate among them.

    Raises DataError if there are no votes, votes on other samples or with unknown labels, or
    nothing is left.
    """
    samples, given = list(read_samples(testset)), votes(testset.path)
    rulings = decide(given)
    if not rulings:
        raise DataError(
            f"{testset.path} has no votes that accept, mend or drop; run `groundup testset review "
            f"{testset.path}` first."
        )
    unknown = [v for v in standing(given) if v.form == "label" and v.value not in DECISIONS]
    if unknown:
        raise DataError(
            f"{len(unknown)} votes are neither {' nor '.join(DECISIONS)}, such as "
            f"{unknown[0].value!r} on {unknown[0].subject}; vote again or take them back."
        )
    if strangers := rulings.keys() - {sample.id for sample in samples}:
        raise DataError(
            f"{len(strangers)} votes are on samples that {testset.path} does not have, such as "
            f"{min(strangers)!r}; its ledger belongs to another test set."
        )
    accepted = Ruling("accept", {}, False)
    kept = [
        mended(sample, ruling.fields)
        for sample in samples
        if (ruling := rulings.get(sample.id, accepted)).decision != "drop"
    ]
    if not kept:
        raise DataError(f"The votes on {testset.path} drop every sample; make another test set.")
    card = Card(**testset.config)
    told = reviewed(given, rulings, len(samples))
    told["review"]["read_samples"] = sorted({*card.review.get("read_samples", ()), *rulings})
    made = make_testset(card.model_copy(update=told), kept, {"testset": testset}, out)
    inherit(looks(testset), made)
    record.say(
        f"{out} has no votes yet; its card keeps what was read and why samples were changed, and "
        f"its ledger the {len(looks(made))} looks so far"
    )
    return made


def inherit(seen: Iterable[Look], made: Artifact) -> None:
    """Record looks at a test set in one made of it, each once; most of their samples are one."""
    known = Counter((each.who, each.candidate) for each in looks(made))
    for each in seen:
        if known[each.who, each.candidate]:
            known[each.who, each.candidate] -= 1
        else:
            look(made, each.who, each.subject, each.setting, run=each.run)


def reviewed(
    given: Iterable[Judgement], rulings: Mapping[str, Ruling], samples: int
) -> dict[str, Any]:
    """The fields of a card that a review fills in."""
    read = {(vote.who, vote.subject) for vote in standing(given) if vote.subject in rulings}
    people = Counter(who for who, _ in read)
    counts = Counter(ruling.decision for ruling in rulings.values())
    error = wilson(counts["mend"] + counts["drop"], len(rulings))
    why = reasons(given)
    changed = {
        f"{said}_samples": {
            name: why.get(name, "") for name, one in rulings.items() if one.decision == decision
        }
        for said, decision in (("dropped", "drop"), ("mended", "mend"))
    }
    return {
        "reviewed_by": ", ".join(f"{who} {people[who]}" for who in sorted(people))
        + f" of {samples} samples",
        "review": {
            "read": len(rulings),
            "accepted": counts["accept"],
            "mended": counts["mend"],
            "dropped": counts["drop"],
            "disputed": sum(ruling.is_disputed for ruling in rulings.values()),
            "error_rate": error._asdict(),
            **changed,
        },
    }


def reasons(given: Iterable[Judgement]) -> dict[str, str]:
    """What people said of each sample that they dropped or mended."""
    said: dict[str, list[str]] = {}
    for vote in standing(given):
        if vote.reason and (vote.form == "edit" or vote.value == "drop"):
            said.setdefault(vote.subject, []).append(vote.reason)
    return {name: "; ".join(dict.fromkeys(each)) for name, each in said.items()}


def mended(sample: Sample, fields: Mapping[str, Any]) -> Sample:
    """A sample with the fields that a reviewer corrected; DataError for others."""
    if unknown := fields.keys() - {"question", "references"}:
        raise DataError(f"Only question and references can be mended; got {sorted(unknown)}.")
    if not fields:
        return sample
    turns, metadata = list(sample.conversation), dict(sample.metadata)
    if "question" in fields:
        place = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=len(turns))
        turns[place:] = [Message("user", fields["question"]), *turns[place + 1 :]]
    references = tuple(fields.get("references", sample.references))
    if not any(holds(str(metadata.get("quote", "")), reply) for reply in references):
        metadata = {name: value for name, value in metadata.items() if name not in SPAN}
    metadata["mended"] = sorted(fields)
    return Sample(sample.id, tuple(turns), references, sample.group, metadata)
