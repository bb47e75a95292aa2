"""Test sets: sealed samples with a card, and a ledger of every access to them.

    DIR/samples.jsonl       one Sample per line
    DIR/validation.jsonl    the validation part, if it has one: samples about other documents
    DIR/card.json           statistics, source, reviewers and findings
    DIR/ledger/looks.jsonl  test-set accesses: who scored what, and when; see core/ledger.py
    DIR/ledger/votes.jsonl  reviewers' votes on its samples; see judgement.py
    DIR/ledger/validation.jsonl  what was chosen by the validation part

Each candidate scored on a test set is another chance to pass by luck, so a gate widens its
intervals by the number of candidates in the ledger; see verdict.py. Copies in sibling folders have
the same id, and accesses to one count for all. A review does not change a test set: `apply_review`
creates a new one from the votes.

The validation part is not sealed: settings are chosen by it, as often as needed, and no gate counts
that, because it has no document in common with the samples that decide.
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
    Judgement,
    Ledger,
    LedgerEntry,
    Message,
    Reason,
    Sample,
    digest,
    produce,
    record,
    write_json,
    write_text,
)

from .card import (
    Finding,
    card_statistics,
    contains_in_order,
    examine_samples,
    make_finding,
    suspect_labels,
    worst_first,
)
from .judgement import current_votes, read_votes
from .stats.interval import wilson_interval

DECISIONS = ("accept", "drop")
"""Labels that accept or drop a sample."""
ACCESS_LEDGER, VALIDATION_LEDGER = "ledger/looks.jsonl", "ledger/validation.jsonl"
SAMPLES, VALIDATION = "samples.jsonl", "validation.jsonl"
SPAN_FIELDS = ("start", "end", "byte_start", "byte_end", "line", "quote", "passage", "span")
"""Metadata fields that locate a quoted reference in its source."""


class TestSetCard(Config):
    """Description of a test set: source, coverage, review, licence."""

    __test__ = False  # not a pytest class, despite its name

    name: str
    """Short name, such as `held-out questions`."""
    source: str = ""
    """Where the samples came from and how they were excluded from training."""
    coverage: str = ""
    """What the samples cover, and what they do not."""
    reviewed_by: str = ""
    """Who reviewed how many labels; empty if nobody did."""
    licence: str = ""
    """Terms under which the samples may be used."""
    made: dict[str, Any] = {}
    """How the samples were made: stage, settings and digest of the source."""
    margin: float = Field(default=0.1, gt=0, lt=1)
    """Smallest difference of a rate that the test set should detect between two systems."""
    review: dict[str, Any] = {}
    """Results of a review: samples read, accepted, corrected and dropped, why, the error rate."""
    content: str = ""
    """sha256 of the samples; filled in when the test set is made."""


def make_testset(
    card: TestSetCard, samples: Iterable[Sample], parents: Mapping[str, Artifact], out: Path, *,
    validation: Iterable[Sample] = (),
) -> Artifact:  # fmt: skip
    """Seal samples as an artifact of kind testset.

    validation  samples about other documents, which stay unsealed

    Raises DataError if there are none, an id occurs twice, a sample is not JSON-serializable, or
    the validation part has a group of the sealed one.
    """
    samples, others = list(samples), list(validation)
    rows, other_rows = list(map(_validated_row, samples)), list(map(_validated_row, others))
    if not rows:
        raise DataError(f"The test set {card.name} got no samples; give at least one.")
    (twice, most), *_ = Counter(sample.id for sample in [*samples, *others]).most_common(1)
    if most > 1:
        raise DataError(f"The test set {card.name} has the sample id {twice!r} twice.")
    if shared := {each.group for each in samples} & {each.group for each in others}:
        raise DataError(
            f"The validation part of {card.name} is about {min(shared)!r}, as the sealed one is; "
            "split them by document."
        )
    card = card.model_copy(update={"content": digest([rows, other_rows] if others else rows)})

    def write(draft: Draft) -> None:
        for name, values in ((SAMPLES, rows), (VALIDATION, other_rows)):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in values]
            if lines:
                write_text(draft.file(name), "".join(lines))
        statistics = card_statistics(samples) | {"validation": len(others)}
        draft.numbers |= {name: n for name, n in statistics.items() if isinstance(n, int)}
        problems = [finding._asdict() for finding in examine_samples(samples, card.margin)]
        write_json(draft.file("card.json"), card.to_dict() | statistics | {"findings": problems})

    return produce(
        out, kind="testset", stage="testset", version=2, config=card, parents=parents, write=write
    )


def read_samples(testset: Artifact) -> Iterator[Sample]:
    """Yield the samples of a test set; DataError naming a damaged line."""
    return _read_file(testset.file(SAMPLES))


def read_validation(testset: Artifact) -> Iterator[Sample]:
    """Yield the samples of the validation part, without a test-set access; none if it has none."""
    return _read_file(testset.file(VALIDATION)) if VALIDATION in testset.files else iter(())


def record_choice(testset: Artifact, who: str, chosen: str) -> None:
    """Record what was chosen by the validation part; no gate counts it."""
    Ledger(testset.path / VALIDATION_LEDGER).append({"who": who, "chosen": chosen})


def read_choices(testset: Artifact) -> list[LedgerEntry]:
    """What was chosen by the validation part, oldest first."""
    return list(Ledger(testset.path / VALIDATION_LEDGER).read())


def _read_file(path: Path) -> Iterator[Sample]:
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                turns = tuple(Message(**turn) for turn in row["conversation"])
                more = tuple(row["references"]), row["group"], row["metadata"]
                yield Sample(row["id"], turns, *more)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{file.name}, line {number} is no sample ({error}).") from None


def read_card(testset: Artifact, with_votes: bool = False) -> dict[str, Any]:
    """The card's fields and statistics; optionally updated by votes cast since it was sealed."""
    card = json.loads(testset.file("card.json").read_text(encoding="utf-8"))
    cast = read_votes(testset.path) if with_votes else []
    decisions = _decide_by_votes(cast)
    return card | (_review_fields(cast, decisions, card["samples"]) if decisions else {})


def testset_findings(
    testset: Artifact, scores: Mapping[str, Sequence[float | Reason]] | None = None
) -> list[Finding]:
    """Findings stored in the card, and those from votes and scores.

    scores  per system, one per sample in order, 1 for right: samples that nearly all fail are
            suspect
    """
    samples, card = list(read_samples(testset)), read_card(testset)
    sealed = card.get("findings")
    results = [Finding(**row | {"samples": tuple(row["samples"])}) for row in sealed or ()]
    if sealed is None:  # sealed before cards had findings
        results = examine_samples(samples)
    decisions = _decide_by_votes(read_votes(testset.path))
    disputed = [name for name, decision in decisions.items() if decision.is_disputed]
    if disputed:
        what = "have votes that disagree"
        results.append(make_finding("disputed_label", "error", what, disputed))
    wrong = [name for name, decision in decisions.items() if decision.decision != "accept"]
    if wrong:
        what = "were dropped or modified by reviewers; `testset apply` keeps the modified ones"
        results.append(make_finding("wrong_label", "error", what, wrong))
    if not decisions and not card.get("reviewed_by"):
        results.append(Finding("unreviewed", "note", "nobody has reviewed the labels"))
    return worst_first([*results, *suspect_labels(samples, scores or {})])


def log_findings(testset: Artifact) -> list[Finding]:
    """Log a test set's errors and warnings; call it before scoring on the test set."""
    problems = [finding for finding in testset_findings(testset) if finding.severity != "note"]
    for finding in problems:
        record.log(f"{testset.path.name}: {finding}")
    return problems


def _validated_row(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values; DataError if it would not survive the round trip."""
    texts = sample.references
    if not isinstance(texts, tuple | list) or not all(isinstance(text, str) for text in texts):
        expected = "references must be a tuple of texts"
        raise DataError(f"Sample {sample.id!r}: {expected}; got {texts!r}.")
    row = {
        "id": sample.id,
        "conversation": [message._asdict() for message in sample.conversation],
        "references": list(texts),
        "group": sample.group,
        "metadata": sample.metadata,
    }
    try:
        json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"Sample {sample.id!r} cannot be written as JSON: {error}.") from None
    return row


class TestSetAccess(NamedTuple):
    """One test-set access: a candidate was scored on it."""

    who: str
    """The person or stage that scored."""
    subject: str
    """Id of the artifact that was scored."""
    when: str
    """ISO 8601, UTC."""
    setting: str = ""
    """Digest of what else affects the answers, such as prompt and examples."""
    run: str = ""
    """Distinguishes accesses where nothing else does: a server's weights are unknown."""
    entry_hash: str = ""
    """Hash of its entry in the ledger."""

    @property
    def candidate(self) -> str:
        """Key of the candidate: one artifact under two prompts is two candidates."""
        return " ".join(filter(None, (self.subject, self.setting, self.run)))


def record_access(
    testset: Artifact, who: str, subject: str, setting: str = "", *, run: str = ""
) -> TestSetAccess:
    """Record that `subject` is scored on the test set; call it before any sample is read.

    Any artifact with held-out data has such a ledger, including tokens and examples.
    """
    content = {"who": who, "subject": subject, "setting": setting, "run": run}
    content = {key: value for key, value in content.items() if value or key in ("who", "subject")}
    return _entry_to_access(Ledger(testset.path / ACCESS_LEDGER).append(content))


def _entry_to_access(entry: LedgerEntry) -> TestSetAccess:
    content = entry.content
    more = (content.get("setting", ""), content.get("run", ""))
    return TestSetAccess(content["who"], content["subject"], entry.when, *more, entry.hash)


def read_accesses(testset: Artifact) -> list[TestSetAccess]:
    """All accesses to the test set and its copies, oldest first.

    Of one second, a copy's come first: the ledger has no finer time, and a later place is safe.
    """
    home = testset.path.resolve()
    siblings = [file.parent for file in sorted(home.parent.glob(f"*/{MANIFEST}"))]
    copies = [path for path in siblings if path != home and _manifest_id(path) == testset.id]
    ledgers = [list(Ledger(folder / ACCESS_LEDGER).read()) for folder in (*copies, home)]
    used = [entries for entries in ledgers if entries]
    entries = list({entry.hash: entry for ledger in used for entry in ledger}.values())
    if len(used) > 1:
        entries.sort(key=lambda entry: (entry.when, entry.sequence))
    return [_entry_to_access(entry) for entry in entries]


def _manifest_id(folder: Path) -> str:
    """The id in a folder's manifest; empty if it is not groundup's."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(data.get("id", "")) if isinstance(data, dict) else ""


def scored_candidates(testset: Artifact) -> list[str]:
    """Distinct candidates scored on the test set so far, in order of first access."""
    return list(dict.fromkeys(look.candidate for look in read_accesses(testset)))


class ReviewDecision(NamedTuple):
    """The reviewers' joint decision on a sample."""

    decision: str
    """accept, modify or drop."""
    fields: dict[str, Any]
    """Corrected fields of a modified sample: question, references."""
    is_disputed: bool
    """Whether the votes differ."""


def _decide_by_votes(judgements: Iterable[Judgement]) -> dict[str, ReviewDecision]:
    """Majority of each person's last vote, by sample.

    A tie drops the sample: a disputed label measures nothing.
    """
    last: dict[str, dict[str, Judgement]] = {}
    for vote in sorted(current_votes(judgements), key=lambda vote: vote.when):
        if vote.form == "edit" or (vote.form == "label" and vote.value in DECISIONS):
            last.setdefault(vote.subject, {})[vote.who] = vote
    return {subject: _majority_decision(list(people.values())) for subject, people in last.items()}


def _majority_decision(judgements: Sequence[Judgement]) -> ReviewDecision:
    counts = Counter("modify" if vote.form == "edit" else vote.value for vote in judgements)
    most = [name for name, count in counts.items() if count == max(counts.values())]
    decision = most[0] if len(most) == 1 else "drop"
    edits = [json.loads(vote.value) for vote in judgements if vote.form == "edit"]
    return ReviewDecision(decision, edits[-1] if decision == "modify" else {}, len(counts) > 1)


def apply_review(testset: Artifact, out: Path) -> Artifact:
    """Create a test set without the samples that reviewers dropped, and with their corrections.

    Its card records who reviewed how many samples and how many were wrong. Samples that nobody
    reviewed are kept; expect the same error rate among them.

    Raises DataError if there are no votes, votes on other samples or with unknown labels, or no
    sample remains.
    """
    samples, cast = list(read_samples(testset)), read_votes(testset.path)
    decisions = _decide_by_votes(cast)
    where = testset.path
    if not decisions:
        first = f"run `groundup testset review {where}` first"
        raise DataError(f"{where} has no votes that accept, modify or drop; {first}.")
    unknown = [v for v in current_votes(cast) if v.form == "label" and v.value not in DECISIONS]
    if unknown:
        what = f"{len(unknown)} votes are neither {' nor '.join(DECISIONS)}, such as"
        one = f"{unknown[0].value!r} on {unknown[0].subject}"
        raise DataError(f"{what} {one}; vote again or take them back.")
    if foreign := decisions.keys() - {sample.id for sample in samples}:
        what = f"{len(foreign)} votes are on samples that {where} does not have"
        example = f"such as {min(foreign)!r}; its ledger belongs to another test set"
        raise DataError(f"{what}, {example}.")
    accepted = ReviewDecision("accept", {}, False)
    decided = [(sample, decisions.get(sample.id, accepted)) for sample in samples]
    remaining = [
        _apply_corrections(sample, decision.fields)
        for sample, decision in decided if decision.decision != "drop"
    ]  # fmt: skip
    if not remaining:
        raise DataError(f"The votes on {testset.path} drop every sample; make another test set.")
    card = TestSetCard(**testset.config)
    fields = _review_fields(cast, decisions, len(samples))
    fields["review"]["read_samples"] = sorted({*card.review.get("read_samples", ()), *decisions})
    card, others = card.model_copy(update=fields), read_validation(testset)
    result = make_testset(card, remaining, {"testset": testset}, out, validation=others)
    recorded = Counter((each.who, each.candidate) for each in read_accesses(result))
    for each in read_accesses(testset):
        if recorded[each.who, each.candidate]:
            recorded[each.who, each.candidate] -= 1
        else:
            record_access(result, each.who, each.subject, each.setting, run=each.run)
    record.log(
        f"{out} has no votes yet; its card lists the reviewed samples and why some were changed; "
        f"its ledger has the {len(read_accesses(result))} accesses so far"
    )
    return result


def _review_fields(
    judgements: Iterable[Judgement], decisions: Mapping[str, ReviewDecision], samples: int
) -> dict[str, Any]:
    votes = [vote for vote in current_votes(judgements) if vote.subject in decisions]
    people = Counter(who for who, _ in {(vote.who, vote.subject) for vote in votes})
    counts = Counter(decision.decision for decision in decisions.values())
    error = wilson_interval(counts["modify"] + counts["drop"], len(decisions))
    why = {name: dict[str, None]() for name in decisions}
    for vote in votes:
        if vote.reason and (vote.form == "edit" or vote.value == "drop"):
            why[vote.subject][vote.reason] = None
    changed = {"drop": dict[str, str](), "modify": dict[str, str](), "accept": dict[str, str]()}
    for name, decision in decisions.items():
        changed[decision.decision][name] = "; ".join(why[name])
    readers = ", ".join(f"{who} {people[who]}" for who in sorted(people))
    return {
        "reviewed_by": f"{readers} of {samples} samples",
        "review": {
            "read": len(decisions),
            "accepted": counts["accept"],
            "modified": counts["modify"],
            "dropped": counts["drop"],
            "disputed": sum(decision.is_disputed for decision in decisions.values()),
            "error_rate": error._asdict(),
            "dropped_samples": changed["drop"],
            "modified_samples": changed["modify"],
        },
    }


def _apply_corrections(sample: Sample, fields: Mapping[str, Any]) -> Sample:
    """Apply a reviewer's corrections to a sample; DataError for unknown fields."""
    if unknown := fields.keys() - {"question", "references"}:
        raise DataError(f"Only question and references can be modified; got {sorted(unknown)}.")
    if not fields:
        return sample
    turns, metadata = list(sample.conversation), dict(sample.metadata)
    if "question" in fields:
        last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=len(turns))
        turns[last:] = [Message("user", fields["question"]), *turns[last + 1 :]]
    references = tuple(fields.get("references", sample.references))
    if not any(contains_in_order(str(metadata.get("quote", "")), reply) for reply in references):
        metadata = {name: value for name, value in metadata.items() if name not in SPAN_FIELDS}
    metadata["modified"] = sorted(fields)
    return Sample(sample.id, tuple(turns), references, sample.group, metadata)
