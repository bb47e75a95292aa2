"""Paired comparisons of two systems on the same items, as rows for a report or a gate.

Pairing cancels what makes an item hard for both. An undefined result is a Reason, such as too few
groups.
"""

import lzma
from collections.abc import Iterable, Sequence
from math import inf, log
from typing import Any, Literal, NamedTuple

import numpy as np

from groundup.core import DataError, Reason
from groundup.measure import Interval, ScoredAnswers, bootstrap, paired_difference, ratio_of_sums

from ..likelihood import DocumentScore

IntervalOrReason = Interval | Reason
NATS_PER_BIT = log(2)
NON_NEGATIVE = (0.0, inf)


class ComparisonRow(NamedTuple):
    """One measure of two systems."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    ours: IntervalOrReason
    baseline: IntervalOrReason
    difference: IntervalOrReason
    """ours - baseline, in pairs."""
    ratio: IntervalOrReason
    """ours / baseline, in pairs."""
    signature: str
    left_out: int = 0
    """Items for which one of the two has no score."""

    @property
    def improved(self) -> bool | None:
        """Whether ours is significantly better (True), worse (False), or neither (None)."""
        if isinstance(self.difference, Reason):
            return None
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high:
            return None
        return (low > 0) == (self.better == "higher")

    def plain(self) -> dict[str, Any]:
        """The row as JSON values; an undefined result has `code` and `message`."""
        parts = {name: getattr(self, name)._asdict() for name in RESULT_FIELDS}
        return {**self._asdict(), **parts, "improved": self.improved}

    def cells(self) -> tuple[str, ...]:
        """The row as text: name, ours, baseline, difference, unit."""
        return (
            self.name,
            *(_result_text(getattr(self, name)) for name in RESULT_FIELDS[:3]),
            self.unit,
        )


RESULT_FIELDS = ("ours", "baseline", "difference", "ratio")


def bits_per_byte(scores: Sequence[DocumentScore], *, confidence: float = 0.95) -> IntervalOrReason:
    """Bits per byte of all documents together, resampled by name.

    >>> def score(name, bits): return DocumentScore(name, bits * log(2), 10, 4, "")
    >>> print(bits_per_byte([score("a", 8.0), score("b", 12.0)]).estimate)
    1.0
    """
    if len({score.name for score in scores}) < 2:
        return _too_few_groups([score.name for score in scores])
    bits, size = _bits_and_bytes(scores)
    groups = [score.name for score in scores]
    return bootstrap(bits, groups, weights=size, confidence=confidence, limits=NON_NEGATIVE)


def compare_likelihood(
    name: str, ours: Sequence[DocumentScore], baseline: Sequence[DocumentScore], *,
    confidence: float = 0.95,
) -> ComparisonRow:  # fmt: skip
    """Compare bits per byte on the same documents; fewer is better.

    Raises DataError if the documents differ, or if two models' signatures differ. A compressor is
    comparable with any model.
    """
    left, right = [(s.name, s.bytes) for s in ours], [(s.name, s.bytes) for s in baseline]
    if left != right:
        where = next((a for a, b in zip(left, right, strict=False) if a != b), "the number of them")
        raise DataError(f"The two were not scored on the same documents; they differ in {where}.")
    signatures = sorted({s.signature for s in [*ours, *baseline]})
    if len([text for text in signatures if not text.startswith("compressor")]) > 1:
        raise DataError(f"Scores with different signatures are not comparable: {signatures}.")
    groups, signature = [s.name for s in ours], " / ".join(signatures)
    if len(set(groups)) < 2:
        none = _too_few_groups(groups)
        return ComparisonRow(name, "bits per byte", "lower", none, none, none, none, signature)
    (a, size), (b, _) = _bits_and_bytes(ours), _bits_and_bytes(baseline)
    return ComparisonRow(
        name, "bits per byte", "lower",
        bootstrap(a, groups, weights=size, confidence=confidence, limits=NON_NEGATIVE),
        bootstrap(b, groups, weights=size, confidence=confidence, limits=NON_NEGATIVE),
        paired_difference(a, b, groups, weights=size, confidence=confidence),
        ratio_of_sums(a, b, groups, confidence=confidence),
        signature,
    )  # fmt: skip


def compare_scores(
    name: str, ours: ScoredAnswers, baseline: ScoredAnswers, *, unit: str = "",
    better: Literal["lower", "higher"] = "higher", confidence: float = 0.95,
) -> ComparisonRow:  # fmt: skip
    """Compare a scorer's results on the samples that both systems have one for.

    Raises DataError if the scorers or the samples differ.
    """
    if ours.signature != baseline.signature:
        raise DataError(
            f"Scores with different signatures are not comparable: {ours.signature!r} and "
            f"{baseline.signature!r}."
        )
    if {*ours.ids, *ours.undefined} != {*baseline.ids, *baseline.undefined}:
        raise DataError("The two were not scored on the same samples.")
    indices = {key: index for index, key in enumerate(baseline.ids)}
    both = [(i, indices[key]) for i, key in enumerate(ours.ids) if key in indices]
    left_out = len(ours.ids) + len(ours.undefined) - len(both)
    groups = [ours.groups[i] for i, _ in both]
    if len(set(groups)) < 2:
        none = _too_few_groups(groups)
        return ComparisonRow(name, unit, better, none, none, none, none, ours.signature, left_out)
    a, b = ours.values[[i for i, _ in both]], baseline.values[[j for _, j in both]]
    zero = Reason("zero_baseline", "A ratio to a baseline that is 0 or less is undefined.")
    return ComparisonRow(
        name, unit, better,
        bootstrap(a, groups, confidence=confidence),
        bootstrap(b, groups, confidence=confidence),
        paired_difference(a, b, groups, confidence=confidence),
        ratio_of_sums(a, b, groups, confidence=confidence) if (b > 0).all() else zero,
        ours.signature, left_out,
    )  # fmt: skip


def score_compressor(documents: Iterable[tuple[str, str]]) -> list[DocumentScore]:
    """Score documents, given as (name, text), by xz: a baseline without a model.

    Each document is compressed alone, at the highest preset, without the container's header. Sizes
    are in nats, as a model's are.
    """
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    scores = []
    for name, text in documents:
        data = text.encode()
        size = len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))
        nats = size * 8 * NATS_PER_BIT
        scores.append(DocumentScore(name, nats, len(data), size, "compressor|xz|preset:9e|alone"))
    return scores


def _bits_and_bytes(scores: Sequence[DocumentScore]) -> tuple[np.ndarray, np.ndarray]:
    """Bits and bytes of each score."""
    bits = np.array([score.nats / NATS_PER_BIT for score in scores])
    return bits, np.array([score.bytes for score in scores], dtype=np.float64)


def _too_few_groups(groups: Sequence[str]) -> Reason:
    return Reason(
        "too_few_groups",
        f"An interval needs at least 2 documents or groups; there are {len(set(groups))}.",
    )


def _result_text(result: IntervalOrReason) -> str:
    """An interval as text, or the code of its reason."""
    return f"undefined: {result.code}" if isinstance(result, Reason) else str(result)
