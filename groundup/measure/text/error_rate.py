"""Word and character error rates, with edits by kind.

    rate = (substitutions + deletions + insertions) / units of the reference

The rate can exceed 1, because an answer can insert more than the reference contains. For a corpus
the edits and lengths are summed first; the mean of the samples' rates would be dominated by short
references. The signature states case, punctuation and the unit, which are often left unspecified.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from groundup.core import CapacityError, Config, Reason

from .edit import BitColumn, CheckpointedColumns, bit_columns, position_masks
from .units import Normalisation, Unit, get_normaliser, missing_reference, units_of_text

EditKind = Literal["keep", "replace", "delete", "insert"]


class EditStep(NamedTuple):
    """One step of an alignment."""

    kind: EditKind
    source: int
    """Index in the first sequence; for an insertion the index before which it goes."""
    target: int
    """Index in the second sequence; for a deletion the index where the unit would be."""


def align_edits(a: Sequence[str], b: Sequence[str]) -> list[EditStep]:
    """A minimal alignment that turns `a` into `b`, in order, including kept units.

    Ties are broken as in rapidfuzz: common ends are kept first; from the end, deletions come before
    keeping or replacing, and insertions last.

    Raises CapacityError if the table would be too large, see edit.Table.

    >>> [edit.kind for edit in align_edits("abcx", "bcdx")]
    ['delete', 'keep', 'keep', 'insert', 'keep']
    """
    head = _prefix_length(a, b)
    tail = _prefix_length(a[head:][::-1], b[head:][::-1])
    i, j = len(a) - tail, len(b) - tail
    rows = a[head:i]
    where = position_masks(rows)
    table: CheckpointedColumns[BitColumn] = CheckpointedColumns(
        len(rows), b[head:j], lambda units, after: bit_columns(rows, units, where, after)
    )
    steps = [EditStep("keep", i + k, j + k) for k in reversed(range(tail))]
    while i > head or j > head:
        bit, width = (1 << (i - head - 1) if i > head else 0), j - head
        if not width or table[width - 1].up & bit:
            i -= 1
            steps.append(EditStep("delete", i, j))
        elif i == head or (width > 1 and table[width - 2].down & bit):
            j -= 1
            steps.append(EditStep("insert", i, j))
        else:
            i, j = i - 1, j - 1
            steps.append(EditStep("keep" if a[i] == b[j] else "replace", i, j))
    steps += [EditStep("keep", k, k) for k in reversed(range(head))]
    return steps[::-1]


def _prefix_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Number of equal units at the start of both."""
    for index, (left, right) in enumerate(zip(a, b, strict=False)):
        if left != right:
            return index
    return min(len(a), len(b))


class ErrorCounts(NamedTuple):
    """Edit counts of one answer, or of a corpus when summed."""

    substitutions: int
    deletions: int
    insertions: int
    reference_units: int


class ErrorRate(Config):
    """Error rate with all settings that affect it.

    >>> wer = ErrorRate()
    >>> wer.counts("the cat sat down", ["the hat sat"])
    ErrorCounts(substitutions=1, deletions=0, insertions=1, reference_units=3)
    >>> round(wer.sentence("the cat sat down", ["the hat sat"]), 3)
    0.667
    """

    unit: Unit = "spaced"
    """Unit of errors: `spaced` for WER, `characters` or `graphemes` for CER."""
    normalise: Normalisation = "plain"
    """Normalisation; `plain` ignores case, width and white space."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        return (
            f"error_rate|unit:{self.unit}|normalise:{self.normalise}|references:best"
            "|corpus:sums|version:1"
        )

    @property
    def limits(self) -> tuple[float, float]:
        """0, and 1 error per unit; insertions can exceed it."""
        return (0.0, 1.0)

    def counts(self, candidate: str, references: Sequence[str]) -> ErrorCounts | Reason:
        """Edits by kind against the reference with the lowest rate, the first of equal ones.

        Reason `no_reference`, or `too_long` for an alignment in memory.
        """
        if missing := missing_reference("An error rate", references):
            return missing
        prepare = get_normaliser(self.normalise)
        answer = units_of_text(prepare(candidate), self.unit)
        try:
            rows = [
                _count_edits(units_of_text(prepare(text), self.unit), answer) for text in references
            ]
        except CapacityError as error:
            return Reason("too_long", str(error))
        return min(rows, key=lambda c: (sum(c[:3]) / c[3] if c[3] else float("inf"), sum(c[:3])))

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """The rate of counts or of their sums; Reason `empty_reference` for empty references."""
        *edits, length = counts
        if not length:
            return Reason("empty_reference", f"No {self.unit} in the reference: no rate of them.")
        return sum(edits) / length

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """The rate of one answer: 0 is equal, above 1 is possible."""
        counts = self.counts(candidate, references)
        return counts if isinstance(counts, Reason) else self.from_counts(counts)


def _count_edits(reference: Sequence[str], answer: Sequence[str]) -> ErrorCounts:
    """Edits by kind of the alignment of a reference with an answer."""
    kinds = [edit.kind for edit in align_edits(reference, answer)]
    return ErrorCounts(
        kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(reference)
    )
