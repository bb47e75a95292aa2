"""Edit distances between texts, and word and character error rates.

    levenshtein   insert, delete, replace              subsequence_length   longest common
    osa           these, and adjacent transpositions   indel                insert, delete

    error rate = (substitutions + deletions + insertions) / units of the reference

Each takes two strings (units are code points) or two lists of units; see units.py. rapidfuzz is
used for some if installed; tests check that results are equal. An error rate can exceed 1, because
an answer can insert more than the reference contains. For a corpus the edits and lengths are summed
first; the mean of the samples' rates would be dominated by short references.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Generic, Literal, NamedTuple, TypeVar

from groundup.core import CapacityError, Config, Reason

from .units import (
    Normalisation,
    Unit,
    get_normaliser,
    missing_reference,
    units_of_text,
)

try:
    from rapidfuzz.distance import OSA as rapidfuzz_osa
    from rapidfuzz.distance import Levenshtein as rapidfuzz
except ImportError:
    rapidfuzz = rapidfuzz_osa = None

MAX_CELLS = 10**10
"""Largest table to compute: 100,000 by 100,000 words, some seconds."""
State = TypeVar("State")


class CheckpointedColumns(Generic[State]):
    """Dynamic-programming columns for backtracking, with √n checkpoints and √n cached columns.

    Other columns are recomputed from the previous checkpoint: twice the time, and memory for 2√n
    columns. 50,000 by 50,000 words take some megabytes instead of more than one gigabyte.

    Raises CapacityError for a table of more than CELLS cells.
    """

    def __init__(
        self, rows: int, units: Sequence[str],
        compute: Callable[[Sequence[str], State | None], Iterator[State]],
    ) -> None:  # fmt: skip
        """Compute all columns once, storing the checkpoints."""
        if rows * len(units) > MAX_CELLS:
            what = f"Aligning {rows} with {len(units)} units takes more than {MAX_CELLS:.0e} cells"
            raise CapacityError(f"{what}; align by sentences, or take only the distance.")
        self.units, self.compute, self.size = units, compute, isqrt(len(units)) + 1
        self.checkpoints: list[State | None] = [None]
        for start in range(0, len(units), self.size):
            last = deque(compute(units[start : start + self.size], self.checkpoints[-1]), maxlen=1)
            self.checkpoints.append(last[0])
        self.cached: dict[int, list[State]] = {}

    def __getitem__(self, index: int) -> State:
        """The column of the unit at an index."""
        block, offset = divmod(index, self.size)
        if block not in self.cached:
            if len(self.cached) == 2:  # at a boundary, adjacent columns of two blocks alternate
                del self.cached[max(self.cached)]
            start = block * self.size
            columns = self.compute(self.units[start : start + self.size], self.checkpoints[block])
            self.cached[block] = list(columns)
        return self.cached[block][offset]


def levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """Minimum number of edits that turn `a` into `b`.

    >>> levenshtein("flaw", "lawn"), levenshtein(["a", "b"], ["b"])
    (2, 1)
    """
    return rapidfuzz.distance(a, b) if rapidfuzz else _bitwise_levenshtein(a, b)


def _bitwise_levenshtein(a: Sequence[str], b: Sequence[str]) -> int:
    """Bit-parallel Levenshtein distance: one column per step, as the bits of one integer.

    The distance in the last row changes by at most one from column to column.

    >>> _bitwise_levenshtein("kitten", "sitting")
    3
    """
    if not a:
        return len(b)
    distance, foot = len(a), 1 << (len(a) - 1)
    for column in bit_columns(a, b):
        distance += bool(column.grows & foot) - bool(column.shrinks & foot)
    return distance


class BitColumn(NamedTuple):
    """Differences between adjacent cells of one column of the table; bit i is row i + 1."""

    up: int
    """Rows that are one more than the row above."""
    down: int
    """Rows that are one less than the row above."""
    grows: int
    """Rows that are one more than in the previous column."""
    shrinks: int
    """Rows that are one less than in the previous column."""


def bit_columns(
    a: Sequence[str], b: Sequence[str], where: dict[str, int] | None = None,
    after: BitColumn | None = None,
) -> Iterator[BitColumn]:  # fmt: skip
    """Yield the columns of the table of `a` (rows) and `b` (columns), one for each unit of `b`.

    where  position_masks(a), if already computed
    after  the previous column; default: the table's edge

    The carry of an addition propagates along the diagonal of matches, so one column costs a few
    operations on integers of len(a) bits.
    Source: Myers 1999, doi:10.1145/316542.316550, as Hyyrö 2003 states it.
    """
    everywhere, where = (1 << len(a)) - 1, position_masks(a) if where is None else where
    up, down = (after.up, after.down) if after else (everywhere, 0)
    for unit in b:
        equal = where.get(unit, 0)
        diagonal = (((equal & up) + up) ^ up) | equal | down
        grows = (down | ~(diagonal | up)) & everywhere
        shrinks = diagonal & up
        right, left = (grows << 1) | 1, shrinks << 1
        up, down = (left | ~(diagonal | right)) & everywhere, right & diagonal & everywhere
        yield BitColumn(up, down, grows, shrinks)


def position_masks(a: Sequence[str]) -> dict[str, int]:
    """For each unit of `a` an integer whose bits are its positions."""
    masks: dict[str, int] = {}
    for position, unit in enumerate(a):
        masks[unit] = masks.get(unit, 0) | 1 << position
    return masks


def osa(a: Sequence[str], b: Sequence[str]) -> int:
    """Optimal string alignment: Levenshtein with adjacent transpositions, none edited twice.

    Also known as the restricted Damerau-Levenshtein distance.
    Source: Damerau 1964, doi:10.1145/363958.363994.

    >>> osa("form", "from"), levenshtein("form", "from")
    (1, 2)
    """
    return rapidfuzz_osa.distance(a, b) if rapidfuzz_osa else _reference_osa(a, b)


def _reference_osa(a: Sequence[str], b: Sequence[str]) -> int:
    """`osa` by its recurrence: Levenshtein's, and two rows up for a transposition."""
    before, above = [0] * (len(b) + 1), list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and right == a[i - 2]:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]


def subsequence_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence: units of both, in order, gaps allowed.

    >>> subsequence_length("abcbdab", "bdcaba")
    4
    """
    last = deque(subsequence_rows(a, b), maxlen=1)
    return len(a) - last[0].bit_count() if last else 0


def subsequence_rows(
    a: Sequence[str], b: Sequence[str], where: dict[str, int] | None = None,
    after: int | None = None,
) -> Iterator[int]:  # fmt: skip
    """Yield, for each unit of `b`, the table's row as bits: 0 where the length grows by one.

    `where` and `after` as in `bit_columns`. The longest common subsequence of a[:i] and b[:j] is
    the number of zeros among the lowest i bits of the j-th row.
    Source: Hyyrö 2004, Bit-parallel LCS-length computation revisited.
    """
    where, everywhere = position_masks(a) if where is None else where, (1 << len(a)) - 1
    row = everywhere if after is None else after
    for unit in b:
        both = row & where.get(unit, 0)
        row = ((row + both) | (row - both)) & everywhere
        yield row


def indel(a: Sequence[str], b: Sequence[str]) -> int:
    """Minimum number of insertions and deletions that turn `a` into `b`; a replacement counts two.

    >>> indel("kitten", "sitting")
    5
    """
    return len(a) + len(b) - 2 * subsequence_length(a, b)


def edit_similarity(a: str, b: str, unit: Unit = "characters") -> float:
    """Normalised Levenshtein similarity: 1 - edits / units of the longer text, 0 to 1.

    1 for two empty texts.

    >>> edit_similarity("abcd", "abce")
    0.75
    """
    left, right = units_of_text(a, unit), units_of_text(b, unit)
    longest = max(len(left), len(right))
    return 1 - levenshtein(left, right) / longest if longest else 1.0


def indel_similarity(a: str, b: str, unit: Unit = "characters") -> float:
    """1 - insertions and deletions / units of both; difflib's and rapidfuzz's `ratio`.

    >>> round(indel_similarity("abcd", "abce"), 2)
    0.75
    """
    left, right = units_of_text(a, unit), units_of_text(b, unit)
    total = len(left) + len(right)
    return 1 - indel(left, right) / total if total else 1.0


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
    head = prefix_length(a, b)
    tail = prefix_length(a[head:][::-1], b[head:][::-1])
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


def prefix_length(a: Sequence[str], b: Sequence[str]) -> int:
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
        return 0.0, 1.0

    def counts(self, candidate: str, references: Sequence[str]) -> ErrorCounts | Reason:
        """Edits by kind against the reference with the lowest rate, the first of equal ones.

        Reason `no_reference`, or `too_long` for an alignment in memory.
        """
        if missing := missing_reference("An error rate", references):
            return missing
        prepare = get_normaliser(self.normalise)
        answer = units_of_text(prepare(candidate), self.unit)
        try:
            expected = [units_of_text(prepare(text), self.unit) for text in references]
            rows = [_count_edits(units, answer) for units in expected]
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
    kinds = [edit.kind for edit in align_edits(reference, answer)]
    return ErrorCounts(
        kinds.count("replace"), kinds.count("delete"), kinds.count("insert"), len(reference)
    )
