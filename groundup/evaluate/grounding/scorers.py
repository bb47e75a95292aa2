"""Scores of one row: is the answer supported, were the passages the right ones and different?

A claim is a sentence of the answer. That a passage supports it is decided by the rules of
`groundup verify` (one sentence, clause or row has its words, names, numbers and negations), or by a
critic that is given. Every score is in [0, 1] or a Reason. Sources, read on 2026-12-01: ragas
3e28e9d (metrics/_faithfulness.py, _context_precision.py, _context_recall.py, _noise_sensitivity.py)
and ALCE 246c476 (eval.py, compute_autoais; Gao et al. 2023, arXiv:2305.14627).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from groundup.core import Reason
from groundup.corpus import near_duplicates
from groundup.measure import TOKENISERS, contains_in_order
from groundup.retrieve import check_claim, match_question

from .rows import ContextPassage, GroundingRow, sentences_of

if TYPE_CHECKING:
    from groundup.retrieve import SecondOpinion

NEAR_DUPLICATE = 0.8
"""Jaccard similarity of two passages' shingles from which they are near duplicates."""
NO_REFERENCE = Reason("no_reference", "The row has neither a right answer nor labels of passages.")
NO_CONTEXTS = Reason("no_contexts", "The row has no contexts.")
REFUSAL = Reason("refusal", "A refusal claims nothing.")
WRONGLY_REFUSED = Reason("wrongly_refused", "The question has an answer and was refused.")
RowScore = float | Reason


@dataclass
class Critic:
    """What decides whether a passage supports a claim, and whether a text answers a question."""

    supports: Callable[[str, str], float] | None = None
    """(passage, claim) to a number in [0, 1]; None: the rules."""
    relevance: Callable[[str, str], float] | None = None
    """(question, text) to a number in [0, 1], such as an encoder's cosine; None: words."""
    threshold: float = 0.5
    """From which `supports` counts as support."""
    second_opinion: "SecondOpinion | None" = None
    """On what the rules say."""
    name: str = ""
    """Part of the report; empty: the function's."""
    known: dict[tuple[str, str, str], bool] = field(default_factory=dict, repr=False)

    @property
    def signature(self) -> str:
        """What affects its verdicts."""
        name = self.name or getattr(self.supports, "__qualname__", "rules")
        by = getattr(self.relevance, "__qualname__", "words")
        return f"critic:{name}|threshold:{self.threshold:g}|relevance:{by}"

    def supported(self, claim: str, contexts: Sequence[ContextPassage]) -> bool:
        """Whether one context supports a claim alone, or, by a critic, all of them together."""
        joined = "\n\n".join(context.text for context in contexts)
        is_joint = self.supports is not None and len(contexts) > 1
        together = [ContextPassage(joined)] if is_joint else []
        return any(self._supports(claim, context) for context in (*contexts, *together))

    def _supports(self, claim: str, context: ContextPassage) -> bool:
        key, text = (claim, context.text, context.source), context.text
        if key not in self.known:
            self.known[key] = (
                check_claim(claim, text, context.source, self.second_opinion) != "nowhere"
                if self.supports is None
                else self.supports(text, claim) >= self.threshold
            )
        return self.known[key]

    def is_relevant(self, row: GroundingRow, context: ContextPassage) -> bool:
        """Whether a context is relevant by its label, else by whether it supports the reference."""
        label = row.label_of(context)
        said = (self.supported(each, [context]) for each in sentences_of(row.reference))
        return any(said) if label is None else label

    def relevance_of(self, question: str, text: str) -> RowScore:
        """How relevant a text is to a question."""
        if self.relevance is not None:
            return min(1.0, max(0.0, self.relevance(question, text)))
        found = match_question(question, text)
        return Reason("no_terms", "The question has stop words alone.") if found is None else found


def _share(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def _unclaimed(row: GroundingRow) -> Reason | None:
    if row.refused:
        return WRONGLY_REFUSED if row.is_answerable else REFUSAL
    return None if row.claims else Reason("no_claims", "The answer has no sentence.")


def faithfulness(row: GroundingRow, critic: Critic) -> RowScore:
    """Claims that a context supports / claims (ragas, which splits claims by a language model)."""
    supported = [critic.supported(claim.text, row.contexts) for claim in row.claims]
    return _unclaimed(row) or _share(supported)


def answer_relevancy(row: GroundingRow, critic: Critic) -> RowScore:
    """How much of the question the answer has; 0 for a wrong refusal.

    By words: the share of the question's terms; if a quantity is asked for (when, how much …), its
    mean with whether there is one. So "In 1811" scores a half though it is relevant, and other
    words than the question's are not seen. ragas compares the question with those that a language
    model makes of the answer; for meaning, give `Critic.relevance`.
    """
    if row.refused:
        return 0.0 if row.is_answerable else REFUSAL
    return critic.relevance_of(row.question, row.answer)


def correct(row: GroundingRow, critic: Critic) -> RowScore:
    """Whether the answer says every sentence of the reference, or has its words in order."""
    if not (sentences := sentences_of(row.reference)):
        return NO_REFERENCE
    answer = [ContextPassage(row.answer)]
    is_said = all(critic.supported(sentence, answer) for sentence in sentences)
    return float(not row.refused and (is_said or contains_in_order(row.answer, row.reference)))


def noise_sensitivity(row: GroundingRow, critic: Critic) -> RowScore:
    """Claims that are wrong and that an irrelevant context alone led to / claims.

    Wrong: the reference does not support it, and its words are not in it. Led to: an irrelevant
    context supports it, and no relevant one (ragas, mode "irrelevant"; its default is "relevant").
    """
    if not sentences_of(row.reference):
        return NO_REFERENCE
    if reason := _unclaimed(row):
        return reason
    relevant = [context for context in row.contexts if critic.is_relevant(row, context)]
    others = [context for context in row.contexts if context not in relevant]
    reference = [ContextPassage(row.reference)]
    return _share([
        not critic.supported(text, reference) and not contains_in_order(text, row.reference)
        and not critic.supported(text, relevant)
        and any(critic.supported(text, [other]) for other in others)
        for text, _ in row.claims
    ])  # fmt: skip


def refused(row: GroundingRow, critic: Critic) -> RowScore:
    """Whether an unanswerable question is refused."""
    is_known = Reason("has_reference", "The row is not labelled unanswerable.")
    return float(row.refused) if row.unanswerable else is_known


def answered(row: GroundingRow, critic: Critic) -> RowScore:
    """Whether an answerable question is not refused: one that is labelled or has a reference."""
    return float(not row.refused) if row.is_answerable else NO_REFERENCE


def citation_recall(row: GroundingRow, critic: Critic) -> RowScore:
    """Sentences that their citations together support / sentences; 0 without citations (ALCE)."""
    supported = [critic.supported(text, cited) for text, cited in row.claims]
    return _unclaimed(row) or _share(supported)


def citation_precision(row: GroundingRow, critic: Critic) -> RowScore:
    """Citations that their sentence needs / citations (ALCE).

    Needed: the citations together support the sentence, and this one does alone or the others do
    not. Departs: an answer without citations is undefined, not 0, which `citation_recall` says; a
    number without a passage is a citation that is not needed, where ALCE does not count it.
    """
    needed = [
        critic.supported(text, cited)
        and (critic.supported(text, [one]) or not critic.supported(text, rest))
        for text, cited in row.claims
        for one, rest in ((one, [*cited[:at], *cited[at + 1 :]]) for at, one in enumerate(cited))
    ]
    undefined = Reason("no_citations", "The answer cites nothing.")
    return _unclaimed(row) or (_share(needed) if needed else undefined)


def context_precision(row: GroundingRow, critic: Critic) -> RowScore:
    """Average precision of the ranked contexts: sum_k P@k · rel_k / sum_k rel_k (ragas).

    0 if none is relevant. Relevant is what the row's labels say, else what supports the reference.
    Not the average precision of `ranking`, which divides by what was not retrieved too.
    """
    is_labelled = bool(row.relevant or sentences_of(row.reference))
    if not row.contexts or not is_labelled:
        return NO_CONTEXTS if is_labelled else NO_REFERENCE
    hits = [critic.is_relevant(row, context) for context in row.contexts]
    above = [_share(hits[: k + 1]) for k, hit in enumerate(hits) if hit]
    return sum(above) / len(above) if above else 0.0


def context_recall(row: GroundingRow, critic: Critic) -> RowScore:
    """Sentences of the reference that a context supports / sentences of the reference (ragas)."""
    sentences = sentences_of(row.reference)
    if not row.contexts or not sentences:
        return NO_CONTEXTS if sentences else NO_REFERENCE
    return _share([critic.supported(sentence, row.contexts) for sentence in sentences])


def relevant_recall(row: GroundingRow, critic: Critic) -> RowScore:
    """Relevant passages that are among the contexts / relevant passages (ragas' by id)."""
    labels = [row._replace(relevant=(each,)) for each in dict.fromkeys(row.relevant)]
    found = [any(label.label_of(context) for context in row.contexts) for label in labels]
    return _share(found) if found else NO_REFERENCE


def context_relevancy(row: GroundingRow, critic: Critic) -> RowScore:
    """Mean relevance of the contexts to the question, by words as in `answer_relevancy`.

    TruLens and ragas ask a language model to grade each context.
    """
    found = [critic.relevance_of(row.question, context.text) for context in row.contexts]
    numbers = [each for each in found if not isinstance(each, Reason)]
    reasons = (each for each in found if isinstance(each, Reason))
    return sum(numbers) / len(numbers) if numbers else next(reasons, NO_CONTEXTS)


def redundancy(row: GroundingRow, critic: Critic) -> RowScore:
    """Contexts that are near duplicates of one ranked higher / contexts.

    Near duplicates have 0.8 of their shingles of five words in common, or equal words.
    """
    words = [" ".join(TOKENISERS["zh"](context.text.lower())) for context in row.contexts]
    repeated = {at for at, text in enumerate(words) if text in words[:at]}
    repeated |= {pair.j for pair in near_duplicates(words, NEAR_DUPLICATE)}
    return len(repeated) / len(words) if words else NO_CONTEXTS


def diversity(row: GroundingRow, critic: Critic) -> RowScore:
    """Mean distance of two contexts, 1 - |A ∩ B| / |A ∪ B| over their words."""
    words = [set(TOKENISERS["zh"](context.text.lower())) for context in row.contexts]
    pairs = [len(a & b) / max(1, len(a | b)) for a, b in combinations(words, 2)]
    undefined = Reason("too_few_contexts", "A distance needs two contexts.")
    return 1 - sum(pairs) / len(pairs) if pairs else undefined
