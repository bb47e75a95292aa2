"""Each score worked out by hand from its formula, and what must not change it."""

from itertools import product

import pytest

from groundup.core import Reason
from groundup.evaluate.grounding import scorers
from groundup.evaluate.grounding.rows import AnswerClaim, ContextPassage, GroundingRow, claims_of
from groundup.evaluate.grounding.scorers import Critic

RULES = Critic()


def contexts(*texts: str) -> tuple[ContextPassage, ...]:
    return tuple(
        ContextPassage(text, f"{number}.md", f"c{number}") for number, text in enumerate(texts)
    )


BARN = "The barn was built in 1811. It burnt down in 1967."
MILL = "The mill was built in 1902 by Anna Finch."
POND = "The duck pond is 1.6 metres deep."


def row(answer: str, *texts: str, **more) -> GroundingRow:
    given = contexts(*texts)
    refused = more.pop("refused", False)
    claims = () if refused else claims_of(answer, given)
    question = more.pop("question", "When was the barn built?")
    return GroundingRow("1", question, answer, refused, claims, given, **more)


def critic(*pairs: tuple[str, str]) -> Critic:
    """A critic who knows which (passage, claim) hold."""
    return Critic(lambda passage, claim: float((passage, claim) in pairs), name="known")


def code(score) -> str:
    assert isinstance(score, Reason)
    return score.code


def test_faithfulness_is_the_share_of_sentences_that_a_context_supports():
    answer = "The barn was built in 1811. The mill was built in 1903. Anna Finch built the mill."
    # The second sentence has a wrong year: 2 of 3.
    assert scorers.faithfulness(row(answer, BARN, MILL), RULES) == pytest.approx(2 / 3)
    assert scorers.faithfulness(row(answer, POND), RULES) == 0.0
    assert code(scorers.faithfulness(row("", BARN), RULES)) == "no_claims"
    assert code(scorers.faithfulness(row("I cannot.", BARN, refused=True), RULES)) == "refusal"
    wrong = row("I cannot.", BARN, refused=True, reference="1811")
    assert code(scorers.faithfulness(wrong, RULES)) == "wrongly_refused"
    wrong = row("I cannot.", BARN, refused=True, unanswerable=False)
    assert code(scorers.citation_recall(wrong, RULES)) == "wrongly_refused"


def test_the_order_of_claims_and_contexts_changes_no_faithfulness():
    sentences = [
        "The barn was built in 1811.",
        "It is red.",
        "The pond is deep.",
        "It is 1.6 deep.",
    ]
    first = row(" ".join(sentences), BARN, POND)
    other = row(" ".join(reversed(sentences)), POND, BARN)
    assert scorers.faithfulness(first, RULES) == scorers.faithfulness(other, RULES)
    more = row(" ".join(sentences), BARN, POND, MILL)
    assert scorers.faithfulness(more, RULES) >= scorers.faithfulness(first, RULES)


def test_a_critic_decides_by_its_threshold_and_is_asked_once():
    asked = []

    def supports(passage: str, claim: str) -> float:
        asked.append((passage, claim))
        return 0.7

    strict, loose = Critic(supports, threshold=0.8), Critic(supports, threshold=0.7)
    given = row("It is old.", BARN)
    assert (scorers.faithfulness(given, strict), scorers.faithfulness(given, loose)) == (0.0, 1.0)
    assert scorers.faithfulness(given, loose) == 1.0 and len(asked) == 2
    assert strict.signature != loose.signature


def test_a_critic_may_need_two_passages_together_and_rules_do_not_join_them():
    together = critic((f"{BARN}\n\n{MILL}", "Both are old."))
    assert scorers.faithfulness(row("Both are old.", BARN, MILL), together) == 1.0
    assert scorers.faithfulness(row("Both are old.", BARN), together) == 0.0
    joined = row("The barn was built in 1902 by Anna Finch.", "The barn was built.", MILL)
    assert scorers.faithfulness(joined, RULES) == 0.0


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("The barn was built in 1811.", 1.0),  # barn, built; a time
        ("In 1811.", 0.5),  # no word of two; a time
        ("The barn is red.", 0.25),  # one word of two; no time
        ("Ducks swim.", 0.0),
    ],
)
def test_relevancy_by_words_is_the_share_of_the_question_and_whether_there_is_a_quantity(
    answer, score
):
    assert scorers.answer_relevancy(row(answer, BARN), RULES) == score


def test_relevancy_of_refusals_of_questions_without_words_and_by_an_encoder():
    refusal = row("I cannot.", BARN, refused=True)
    assert scorers.answer_relevancy(refusal._replace(relevant=("c0",)), RULES) == 0.0
    for right in (refusal, refusal._replace(unanswerable=True, relevant=("c0",))):
        assert code(scorers.answer_relevancy(right, RULES)) == "refusal"
    wordless = row("It is old.", BARN, question="What is it?")
    assert code(scorers.answer_relevancy(wordless, RULES)) == "no_terms"
    assert code(scorers.context_relevancy(wordless, RULES)) == "no_terms"
    encoder = Critic(relevance=lambda question, text: {BARN: 0.6, MILL: -0.2}.get(text, 1.5))
    assert scorers.answer_relevancy(row("x", BARN), encoder) == 1.0  # kept within [0, 1]
    assert scorers.context_relevancy(row("x", BARN, MILL), encoder) == pytest.approx((0.6 + 0) / 2)


def test_context_relevancy_is_the_mean_over_the_contexts():
    # "barn", "built" and a time; "built" alone and a time; nothing: (1 + .75 + 0) / 3.
    found = scorers.context_relevancy(row("x", BARN, MILL, POND), RULES)
    assert found == pytest.approx((1 + 0.75 + 0) / 3)
    assert code(scorers.context_relevancy(row("x"), RULES)) == "no_contexts"


def ragas_average_precision(verdicts: list[int]) -> float:
    """NonLLMContextPrecisionWithReference._calculate_average_precision of ragas 3e28e9d."""
    denominator = sum(verdicts) + 1e-10
    above = [(sum(verdicts[: i + 1]) / (i + 1)) * verdicts[i] for i in range(len(verdicts))]
    return sum(above) / denominator


@pytest.mark.parametrize("verdicts", list(product([0, 1], repeat=4)))
def test_context_precision_is_ragas_formula(verdicts):
    texts = [f"Passage number {number}." for number in range(4)]
    relevant = tuple(f"c{number}" for number, hit in enumerate(verdicts) if hit) or ("c9",)
    found = scorers.context_precision(row("x", *texts, relevant=relevant), RULES)
    assert found == pytest.approx(ragas_average_precision(list(verdicts)), abs=1e-9)


def test_context_precision_by_hand_and_by_what_supports_the_reference():
    # Relevant at ranks 1 and 3: (1/1 + 2/3) / 2.
    assert scorers.context_precision(
        row("x", BARN, POND, MILL, relevant=("0.md", MILL)), RULES
    ) == pytest.approx(5 / 6)
    reference = "The mill was built in 1902."
    assert scorers.context_precision(row("x", POND, MILL, reference=reference), RULES) == 0.5
    assert code(scorers.context_precision(row("x", POND), RULES)) == "no_reference"
    assert code(scorers.context_precision(row("x", relevant=("a",)), RULES)) == "no_contexts"


def test_context_recall_is_the_share_of_the_reference_and_of_what_is_labelled():
    reference = "The barn was built in 1811. It was rebuilt in 1971. Anna Finch built the mill."
    # The contexts have the first and the last of three sentences.
    found = row("x", BARN, MILL, reference=reference)
    assert scorers.context_recall(found, RULES) == pytest.approx(2 / 3)
    assert scorers.context_recall(row("x", BARN, reference="1811"), RULES) == 1.0
    assert code(scorers.context_recall(row("x", BARN), RULES)) == "no_reference"
    assert code(scorers.context_recall(row("x", reference="1811"), RULES)) == "no_contexts"
    # ragas' IDBasedContextRecall: hits of distinct ids / distinct ids.
    labelled = row("x", BARN, MILL, relevant=("c0", "c0", "c7", "c8"))
    assert scorers.relevant_recall(labelled, RULES) == pytest.approx(1 / 3)
    assert code(scorers.relevant_recall(row("x", BARN), RULES)) == "no_reference"


def ragas_noise(answer_by_context, reference_by_context, is_right) -> float:
    """NoiseSensitivity._compute_score of ragas 3e28e9d, mode "irrelevant", in plain Python."""
    relevant = [any(column) for column in reference_by_context]
    wrong = 0
    for claim, right in enumerate(is_right):
        by = [context[claim] for context in answer_by_context]
        from_relevant = any(a and r for a, r in zip(by, relevant, strict=True))
        from_other = any(a and not r for a, r in zip(by, relevant, strict=True))
        wrong += from_other and not from_relevant and not right
    return wrong / len(is_right)


@pytest.mark.parametrize("bits", list(product([False, True], repeat=7)))
def test_noise_sensitivity_is_ragas_irrelevant_mode(bits):
    """Two claims, two contexts; all combinations of who supports what."""
    claims, passages = ("One is so.", "Two is so."), ("First.", "Second.")
    by_answer = [bits[0:2], bits[2:4]]
    by_reference = [[bits[4]], [False]]
    right = [bits[5], bits[6]]
    pairs = [(p, c) for p, hits in zip(passages, by_answer, strict=True)
             for c, hit in zip(claims, hits, strict=True) if hit]  # fmt: skip
    pairs += [(p, "The truth.") for p, (hit,) in zip(passages, by_reference, strict=True) if hit]
    pairs += [("The truth.", c) for c, hit in zip(claims, right, strict=True) if hit]
    given = row(" ".join(claims), *passages, reference="The truth.")
    known = Critic(lambda passage, claim: float((passage, claim) in pairs))
    expected = ragas_noise(by_answer, by_reference, right)
    assert scorers.noise_sensitivity(given, known) == expected


def test_noise_sensitivity_by_rules():
    answer = "The barn was built in 1811. The duck pond is 1.6 metres deep. Ducks swim."
    given = row(answer, BARN, POND, reference="The barn was built in 1811.")
    # The pond is wrong and of an irrelevant passage; the ducks are wrong and of none: 1 of 3.
    assert scorers.noise_sensitivity(given, RULES) == pytest.approx(1 / 3)
    assert scorers.noise_sensitivity(given._replace(relevant=("c0", "c1")), RULES) == 0.0
    short = row("The barn was built in 1811.", MILL, BARN, reference="1811", relevant=("c0",))
    assert scorers.noise_sensitivity(short, RULES) == 0.0  # it contains the right answer
    assert code(scorers.noise_sensitivity(row(answer, BARN), RULES)) == "no_reference"


def cited(*claims: tuple[str, tuple[str, ...]]) -> GroundingRow:
    made = tuple(
        AnswerClaim(text, tuple(map(ContextPassage, passages))) for text, passages in claims
    )
    return GroundingRow("1", "Why?", "x", False, made, contexts("a"))


def test_citations_are_scored_as_in_alce():
    known = critic(("A", "One."), ("C\n\nD", "Two."))
    # One: A alone supports it, and B adds nothing. Two: only C and D together support it.
    # Three: cites nothing. Four: A does not support it.
    given = cited(("One.", ("A", "B")), ("Two.", ("C", "D")), ("Three.", ()), ("Four.", ("A",)))
    assert scorers.citation_recall(given, known) == 2 / 4
    assert scorers.citation_precision(given, known) == 3 / 5  # A, C, D of A, B, C, D, A
    uncited = cited(("One.", ()))
    assert scorers.citation_recall(uncited, known) == 0.0
    assert code(scorers.citation_precision(uncited, known)) == "no_citations"


def test_citations_by_markers_in_the_text():
    answer = (
        "The barn was built in 1811 [1][2]. Anna Finch built the mill. [2] It is old. It leans [9]."
    )
    given = row(answer, BARN, MILL)
    assert [len(claim.citations) for claim in given.claims] == [2, 1, 0, 1]
    assert given.claims[0].text == "The barn was built in 1811."
    assert scorers.citation_recall(given, RULES) == 2 / 4
    assert scorers.citation_precision(given, RULES) == 2 / 4  # not [2] of the barn, nor [9]


def test_more_copies_of_a_context_are_redundant_and_less_diverse():
    assert scorers.redundancy(row("x", BARN, MILL, POND), RULES) == 0.0
    assert scorers.redundancy(row("x", BARN, MILL, BARN), RULES) == pytest.approx(1 / 3)
    assert scorers.redundancy(row("x", "So.", "so .", "So."), RULES) == pytest.approx(2 / 3)
    long = " ".join(f"word{number}" for number in range(60))
    assert scorers.redundancy(row("x", long, f"{long} and more"), RULES) == 0.5  # 56 of 58 shingles
    scores = [scorers.diversity(row("x", BARN, MILL, *[BARN] * n), RULES) for n in range(4)]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    # {a, b} and {b, c}: 1 of 3 words in common; each with {x, y}: none.
    assert scorers.diversity(row("x", "a b", "b c", "x y"), RULES) == pytest.approx(
        1 - (1 / 3 + 0 + 0) / 3
    )
    assert scorers.diversity(row("x", BARN, BARN), RULES) == 0.0
    assert code(scorers.diversity(row("x", BARN), RULES)) == "too_few_contexts"
    assert code(scorers.redundancy(row("x"), RULES)) == "no_contexts"


def test_refusals_are_right_where_there_is_no_answer_and_wrong_elsewhere():
    refusal = row("I cannot say.", BARN, refused=True)
    unanswerable = refusal._replace(unanswerable=True)
    assert scorers.refused(unanswerable, RULES) == 1.0
    assert scorers.refused(row("In 1811.", BARN, unanswerable=True), RULES) == 0.0
    assert code(scorers.refused(refusal, RULES)) == "has_reference"
    assert scorers.answered(refusal._replace(reference="1811"), RULES) == 0.0
    assert scorers.answered(row("In 1811.", BARN, unanswerable=False), RULES) == 1.0
    assert code(scorers.answered(unanswerable, RULES)) == "no_reference"
    assert code(scorers.answered(refusal, RULES)) == "no_reference"


def test_an_answer_is_correct_if_it_says_the_reference():
    for reference, answer, score in (
        ("1811", "The barn was built in 1811.", 1.0),
        ("The barn was built in 1811.", "In 1811 the barn was built. It leans.", 1.0),
        ("Anna Finch", "By Finch, Anna.", 1.0),
        ("1811", "The barn was built in 1812.", 0.0),
        ("1811. It burnt in 1967.", "It was built in 1811.", 0.0),
    ):
        assert scorers.correct(row(answer, BARN, reference=reference), RULES) == score
    assert scorers.correct(row("No.", BARN, refused=True, reference="1811"), RULES) == 0.0
    assert code(scorers.correct(row("In 1811.", BARN), RULES)) == "no_reference"
