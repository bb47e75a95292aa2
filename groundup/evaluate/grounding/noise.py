"""How an answer changes as irrelevant passages are added to its contexts.

They are other rows' contexts of other documents that do not have the row's right answer. Which they
are and where they stand is drawn from the seed and the row's id; those of a smaller number are
among those of a larger one.
"""

import io
import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from random import Random

from groundup.core import Answer, DataError
from groundup.measure import normalise_text
from groundup.retrieve import answer_question, index, open_index

from .rows import ContextPassage, GroundingRow, claims_of, quoted_claims, sentences_of
from .scorers import Critic

Answerer = Callable[[str, Sequence[ContextPassage]], Answer]
"""Answers a question from contexts; an answer without claims is split into sentences."""


def answer_from_contexts(question: str, contexts: Sequence[ContextPassage]) -> Answer:
    """Answer as `groundup ask` does, from an index of the contexts alone."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for number, context in enumerate(contexts, 1):
            name = re.sub(r"[^\w. -]", "_", Path(context.source).name)[-100:] or "passage"
            name += "" if name.endswith((".md", ".rst", ".csv", ".tsv")) else ".txt"
            path = Path(folder, "contexts", str(number), name)
            path.parent.mkdir(parents=True)
            path.write_text(context.text, encoding="utf-8")
        with redirect_stderr(io.StringIO()):  # it would report each of many indexes
            index(Path(folder, "contexts"), Path(folder, "index"))
        return answer_question(open_index(Path(folder, "index")), question)


def contexts_with_noise(
    row: GroundingRow, pool: Sequence[ContextPassage], counts: Sequence[int], critic: Critic,
    seed: int,
) -> dict[int, tuple[ContextPassage, ...]]:  # fmt: skip
    """The row's contexts, in their order, with each number of irrelevant passages among them.

    pool  passages of all rows

    Raises DataError if there are too few.
    """
    random = Random(f"{seed} {row.id}")
    own = {normalise_text(context.text) for context in row.contexts}
    sources, wanted = {each.source for each in row.contexts} - {""}, sentences_of(row.reference)
    drawn = (
        passage._replace(is_added=True)
        for passage in random.sample(pool, len(pool))
        if normalise_text(passage.text) not in own and passage.source not in sources
        and not row.label_of(passage)
        and not any(critic.supported(sentence, [passage]) for sentence in wanted)
    )  # fmt: skip
    contexts, results = list(row.contexts), {0: row.contexts}
    for count in range(1, max(counts) + 1):
        if (passage := next(drawn, None)) is None:
            raise DataError(
                f"Row {row.id}: expected {max(counts)} irrelevant passages in other rows; there "
                f"are {count - 1}. Add rows about other documents, or give a lower --noise."
            )
        contexts.insert(random.randint(0, len(contexts)), passage)
        results[count] = tuple(contexts)
    return {count: results[count] for count in counts}


def answer_with_noise(
    rows: Sequence[GroundingRow], counts: Sequence[int], answer: Answerer, critic: Critic, seed: int
) -> dict[int, list[GroundingRow]]:
    """The rows answered again, with each number of irrelevant passages added.

    Raises DataError for a row without contexts, or with too few irrelevant passages in the others.
    """
    texts = {normalise_text(context.text): context for row in rows for context in row.contexts}
    pool, results = list(texts.values()), {count: list[GroundingRow]() for count in counts}
    for row in rows if counts else ():
        if not row.contexts:
            raise DataError(f"Row {row.id} has no `contexts` that passages can be added to.")
        noisy = contexts_with_noise(row, pool, counts, critic, seed)
        for count, contexts in noisy.items():
            results[count].append(_answered(row, contexts, answer(row.question, contexts)))
    return results


def _answered(
    row: GroundingRow, contexts: tuple[ContextPassage, ...], answer: Answer
) -> GroundingRow:
    quoted = quoted_claims(
        (claim.text, tuple(ContextPassage(quote.text, quote.path) for quote in claim.quotes))
        for claim in answer.claims
    )
    claims = () if answer.refused else quoted or claims_of(answer.text, contexts)
    given = {"answer": answer.text, "refused": answer.refused, "claims": claims}
    return row._replace(**given, contexts=contexts)
