"""Human judgements of words and sentences: analogies, similarity, sentiment; read from packages.

    analogies     questions-words.txt of gensim's test data (Mikolov et al. 2013, arXiv:1301.3781)
    similarity    wordsim353.tsv of the same (Finkelstein et al. 2002): which word is most related
    vader_…       the rated texts of vaderSentiment's source distribution (Hutto and Gilbert 2014)

All are multiple choice. Ratings near the middle are excluded: they have no correct answer.
"""

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from groundup.core import DataError
from groundup.embeddings import read_analogies as analogy_sections
from groundup.embeddings import read_ratings, table_rows

from .question import TaskQuestion

MIN_RATING, MIN_RATING_GAP = 5.0, 1.0
"""Minimum rating (0 to 10) of the correct word, and its minimum distance from the others."""
NEUTRAL_RATING = 0.5
"""Mean ratings (-4 to 4) closer to 0 are neither positive nor negative."""


def _parse_rating(text: str, path: Path) -> float:
    """Parse a rating; DataError naming the file."""
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{path}: expected a rating; got {text!r}.") from None


def read_analogy_questions(path: Path) -> list[TaskQuestion]:
    """a is to b as c is to d, d among three others of its category; resampled by category."""
    stream, questions = random.Random(f"{path.name}/options"), []
    for name, four in analogy_sections(path).items():
        ends = sorted({row[3] for row in four})
        for a, b, c, d in four:
            others = [end for end in ends if end not in (d, b)]
            others = stream.sample(others, min(3, len(others)))
            options = stream.sample([d, *others], len(others) + 1)
            questions.append(TaskQuestion(f"{a} is to {b} as {c} is to", d, tuple(options), name))
    return questions


def read_similarity_questions(path: Path) -> list[TaskQuestion]:
    """The most related of a word's rated partners, where it is clear."""
    partners: dict[str, dict[str, float]] = defaultdict(dict)
    for a, b, rating in read_ratings(path):
        partners[a][b] = partners[b][a] = rating
    questions = []
    for word, rated in partners.items():
        best, *others = sorted(rated, key=lambda other: -rated[other])
        others = [other for other in others if rated[best] - rated[other] >= MIN_RATING_GAP]
        if others and rated[best] >= MIN_RATING:
            options = tuple(sorted([best, *others]))
            questions.append(
                TaskQuestion(f"The word most closely related to {word} is", best, options, word)
            )
    return questions


def read_sentiment_questions(path: Path) -> list[TaskQuestion]:
    """Texts rated clearly positive or negative, grouped by source text."""
    questions = []
    for name, rating, text in table_rows(path, 3, "\t"):
        value = _parse_rating(rating, path)
        if abs(value) >= NEUTRAL_RATING:
            answer = "positive" if value > 0 else "negative"
            questions.append(
                TaskQuestion(text.strip(), answer, ("positive", "negative"), name.split("_")[0])
            )
    return questions


def shuffled_questions(
    questions: list[TaskQuestion],
) -> Callable[[random.Random], list[TaskQuestion]]:
    """Questions in random order, so that the first of them are a random sample."""
    return lambda stream: stream.sample(questions, len(questions))
