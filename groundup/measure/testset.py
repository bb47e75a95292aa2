"""Test sets: sealed samples with a card, and a ledger of every look at them.

    DIR/samples.jsonl       one Sample a line
    DIR/card.json           what it holds, where it came from, who reviewed it
    DIR/ledger/looks.jsonl  who scored what on it, and when; see core/ledger.py

Each candidate scored on a test set is another chance to pass by luck, so a gate widens its
intervals by the number of candidates in the ledger; see gate.py.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    Artifact,
    Config,
    DataError,
    Draft,
    Ledger,
    Message,
    Sample,
    digest,
    produce,
    write_json,
    write_text,
)

LOOKS = "ledger/looks.jsonl"


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
    content: str = ""
    """sha256 of the samples; filled in when the test set is made."""


def make_testset(
    card: Card, samples: Iterable[Sample], parents: Mapping[str, Artifact], out: Path
) -> Artifact:
    """Seal samples as an artifact of kind testset.

    Raises DataError if there are none or an id comes twice.
    """
    rows = [sample_to_json(sample) for sample in samples]
    if not rows:
        raise DataError(f"The test set {card.name} got no samples; give at least one.")
    ids = [row["id"] for row in rows]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"The test set {card.name} has the sample id {twice!r} twice.")
    card = card.model_copy(update={"content": digest(rows)})

    def write(draft: Draft) -> None:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_text(draft.file("samples.jsonl"), "".join(lines))
        draft.numbers |= count(rows)
        write_json(draft.file("card.json"), card.plain() | count(rows))

    return produce(
        out, kind="testset", stage="testset", version=1, config=card, parents=parents, write=write
    )


def count(rows: list[dict[str, Any]]) -> dict[str, int]:
    """The figures of a card."""
    return {
        "samples": len(rows),
        "groups": len({row["group"] or row["id"] for row in rows}),
        "without_reference": sum(not row["references"] for row in rows),
        "repeated_conversations": len(rows) - len({json.dumps(r["conversation"]) for r in rows}),
    }


def read_samples(testset: Artifact) -> Iterator[Sample]:
    """Yield the samples of a test set; DataError naming the line that is damaged."""
    with open(testset.file("samples.jsonl"), encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield sample_from_json(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{file.name}, line {number} is no sample ({error}).") from None


def read_card(testset: Artifact) -> dict[str, Any]:
    """The card's fields and figures."""
    return json.loads(testset.file("card.json").read_text(encoding="utf-8"))


def sample_to_json(sample: Sample) -> dict[str, Any]:
    """A sample as JSON values."""
    return {
        "id": sample.id,
        "conversation": [message._asdict() for message in sample.conversation],
        "references": list(sample.references),
        "group": sample.group,
        "metadata": sample.metadata,
    }


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


def look(testset: Artifact, who: str, subject: str) -> Look:
    """Record that `subject` was scored on the test set; call it before showing the number.

    Any artifact with held-out data keeps such a ledger, tokens and examples too.
    """
    entry = Ledger(testset.path / LOOKS).append({"who": who, "subject": subject})
    return Look(who, subject, entry.when)


def looks(testset: Artifact) -> list[Look]:
    """Every look so far, oldest first."""
    entries = Ledger(testset.path / LOOKS).read()
    return [Look(e.content["who"], e.content["subject"], e.when) for e in entries]


def candidates(testset: Artifact) -> list[str]:
    """Ids of the different artifacts scored on the test set so far, in order of first look."""
    return list(dict.fromkeys(look.subject for look in looks(testset)))
