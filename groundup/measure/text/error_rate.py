"""Word and character error rates: the edits that turn the reference into the answer, by kind.

    rate = (substitutions + deletions + insertions) / units of the reference

The rate can exceed 1: an answer can insert more than the reference holds. Over a corpus the edits
and the lengths are summed first; the mean of the samples' rates is another number, ruled by short
references. What usually goes wrong elsewhere is left unsaid: case, punctuation and what a word is;
here all three stand in the signature.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from groundup.core import CapacityError, Config, Reason

from .edit import Column, Table, columns, places
from .units import Normalisation, Unit, no_reference, normaliser, units

Kind = Literal["keep", "replace", "delete", "insert"]


class Edit(NamedTuple):
    """One step of an alignment."""

    kind: Kind
    source: int
    """Place in the first sequence; of an insertion the place before which it goes."""
    target: int
    """Place in the second sequence; of a deletion the place where it would have stood."""


def alignment(a: Sequence[str], b: Sequence[str]) -> list[Edit]:
    """Fewest steps that turn `a` into `b`, in order, what is kept included.

    Of several shortest ways the one is told that, read from the end, deletes before it keeps or
    replaces and inserts only where it must; common ends are kept first. (rapidfuzz's choice.)

    Raises CapacityError if the table would be too large, see edit.Table.

    >>> [edit.kind for edit in alignment("abcx", "bcdx")]
    ['delete', 'keep', 'keep', 'insert', 'keep']
    """
    head = equal_start(a, b)
    tail = equal_start(a[head:][::-1], b[head:][::-1])
    i, j = len(a) - tail, len(b) - tail
    rows = a[head:i]
    where = places(rows)
    table: Table[Column] = Table(
        len(rows), b[head:j], lambda units, after: columns(rows, units, where, after)
    )
    found = [Edit("keep", i + k, j + k) for k in reversed(range(tail))]
    while i > head or j > head:
        bit, width = (1 << (i - head - 1) if i > head else 0), j - head
        if not width or table[width - 1].up & bit:
            i -= 1
            found.append(Edit("delete", i, j))
        elif i == head or (width > 1 and table[width - 2].down & bit):
            j -= 1
            found.append(Edit("insert", i, j))
        else:
            i, j = i - 1, j - 1
            found.append(Edit("keep" if a[i] == b[j] else "replace", i, j))
    found += [Edit("keep", k, k) for k in reversed(range(head))]
    return found[::-1]


def equal_start(a: Sequence[str], b: Sequence[str]) -> int:
    """Number of equal units at the start of both."""
    for place, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return place
    return min(len(a), len(b))


class ErrorCounts(NamedTuple):
    """Edits of one answer, or of a corpus when summed."""

    substitutions: int
    deletions: int
    insertions: int
    reference_units: int


class ErrorRate(Config):
    """Error rate in a stated unit, of texts normalised in a stated way.

    >>> wer = ErrorRate()
    >>> wer.counts("the cat sat down", ["the hat sat"])
    ErrorCounts(substitutions=1, deletions=0, insertions=1, reference_units=3)
    >>> round(wer.sentence("the cat sat down", ["the hat sat"]), 3)
    0.667
    """

    unit: Unit = "spaced"
    """What counts as one error: `spaced` for WER, `characters` or `graphemes` for CER."""
    normalise: Normalisation = "plain"
    """What is made equal before; `plain` forgives case, width and white space."""

    @property
    def signature(self) -> str:
        """Everything that moves the number."""
        return (
            f"error_rate|unit:{self.unit}|normalise:{self.normalise}|references:best"
            "|corpus:sums|version:1"
        )

    @property
    def limits(self) -> tuple[float, float]:
        """No error, and an error for every unit; insertions can make more."""
        return (0.0, 1.0)

    def counts(self, candidate: str, references: Sequence[str]) -> ErrorCounts | Reason:
        """Edits by kind to the reference with the lowest rate, the first of equal ones.

        Reason `no_reference` or `too_long` (for an alignment in memory) if there are none.
        """
        if missing := no_reference("An error rate", references):
            return missing
        prepare = normaliser(self.normalise)
        answer = units(prepare(candidate), self.unit)
        try:
            found = [count_edits(units(prepare(text), self.unit), answer) for text in references]
        except CapacityError as error:
            return Reason("too_long", str(error))
        return min(found, key=lambda c: (sum(c[:3]) / c[3] if c[3] else float("inf"), sum(c[:3])))

    def of(self, counts: Sequence[float]) -> float | Reason:
        """The rate of counts or of their sums; Reason `empty_reference` if no unit was asked."""
        *edits, asked = counts
        if not asked:
            return Reason("empty_reference", f"No {self.unit} in the reference: no rate of them.")
        return sum(edits) / asked

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """The rate of one answer: 0 is equal, above 1 is possible."""
        found = self.counts(candidate, references)
        return found if isinstance(found, Reason) else self.of(found)


def count_edits(reference: Sequence[str], answer: Sequence[str]) -> ErrorCounts:
    """Edits by kind of the alignment of a reference with an answer."""
    kinds = [edit.kind for edit in alignment(reference, answer)]
    return ErrorCounts(
        kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(reference)
    )
