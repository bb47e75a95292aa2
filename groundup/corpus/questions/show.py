"""`groundup testset show`: a test set's card, its problems, and what was trained on it."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groundup.core import Artifact, DataError, Sample
from groundup.documents import ReadConfig, Record, read_folder

from ..decontaminate.lineage import Contamination, find_contamination

if TYPE_CHECKING:
    from groundup.measure import Finding

CARD_FIELDS = ("source", "coverage", "licence", "reviewed_by")


class ShownTestset(NamedTuple):
    """A test set for display; complete with --json."""

    name: str
    path: str
    id: str
    card: dict[str, Any]
    findings: "tuple[Finding, ...]"
    accesses: int
    choices: int
    contamination: Contamination | None
    samples: tuple[Sample, ...]

    def __str__(self) -> str:
        """The card, the findings, the overlaps, and the samples that were asked for."""
        lines = [f"{self.name}  testset {self.id[:12]}  {self.path}"]
        lines += [
            textwrap.fill(f"{label:<12}{text}", 96, initial_indent="  ", subsequent_indent=" " * 14)
            for label, text in self.rows()
        ]
        if self.findings:
            lines += ["", *(f"  {finding}" for finding in self.findings)]
        if self.contamination:
            lines += ["", *(f"  {line}" for line in str(self.contamination).splitlines())]
        for sample in self.samples:
            lines += ["", *_format_sample(sample)]
        return "\n".join(lines)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Label and text of every line of the card."""
        card = self.card
        accesses = f"{self.accesses} test-set accesses so far"
        yield "samples", f"{card['samples']} in {card['groups']} groups, {accesses}"
        if count := card.get("validation"):
            text = f"{count} about other documents; settings chosen by them so far: "
            yield "validation", f"{text}{self.choices}"
        for field in CARD_FIELDS:
            if card.get(field):
                yield field.replace("_", " "), str(card[field])
        for field in ("kinds", "languages"):
            if card.get(field):
                yield field, ", ".join(f"{name} {count}" for name, count in card[field].items())
        for field, label in (("question_words", "questions"), ("reference_words", "answers")):
            if spread := card.get(field):
                yield label, "{least} to {most:g} words, half up to {median:g}".format_map(spread)
        if review := card.get("review"):
            yield "errors", _format_error_rate(review)


def _format_error_rate(review: Mapping[str, Any]) -> str:
    rate = {name: 100 * review["error_rate"][name] for name in ("estimate", "low", "high")}
    found = "{estimate:.1f} % [{low:.1f}, {high:.1f}]".format_map(rate)
    modified = review["modified"] if "modified" in review else review["mended"]  # its former name
    return (
        f"{found} of {review['read']} read were wrong: {modified} modified, "
        f"{review['dropped']} dropped"
    )


def _format_sample(sample: Sample) -> list[str]:
    lines = [f"  {sample.id}  {sample.metadata.get('source') or sample.group}"]
    lines += [f"    {turn.role}: {turn.content}" for turn in sample.conversation]
    return lines + [f"    answer: {reply}" for reply in sample.references or ("(none: refuse)",)]


def show_testset(
    testset: Artifact,
    *,
    against: Artifact | None = None,
    documents: Path | None = None,
    samples: int = 0,
) -> ShownTestset:
    """The card of a test set, what its users must know, and whether something was trained on it.

    against: a corpus, examples or a model; its training texts are compared with the samples
    documents: the folder that the questions were made from; every answer is looked up in it
    samples: number of samples to show
    """
    from groundup.measure import (
        check_grounding,
        read_accesses,
        read_card,
        read_choices,
        read_samples,
        testset_findings,
    )

    read = list(read_samples(testset))
    found = testset_findings(testset)
    if documents is not None:
        read_all = read_folder(documents, ReadConfig(archives=True))
        sources = [one for one in read_all if isinstance(one, Record)]
        quoted = {str(one.metadata["document"]) for one in read if "document" in one.metadata}
        if quoted and not quoted & {source.path for source in sources}:
            raise DataError(
                f"None of the {len(quoted)} documents that are quoted, such as {min(quoted)}, is "
                f"among the {len(sources)} of {documents}; give the folder they were made from."
            )
        found += check_grounding(read, sources)
    card = read_card(testset, with_votes=True)
    return ShownTestset(
        str(card.get("name") or testset.path.name), str(testset.path), testset.id, card,
        tuple(found), len(read_accesses(testset)), len(read_choices(testset)),
        find_contamination(read, against) if against else None, tuple(read[:samples]),
    )  # fmt: skip
