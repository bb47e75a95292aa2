"""Trains an extractive reader: an encoder, questions with and without answers, one loss.

The result is a directory of Transformers' question answering with its tokenizer. On the held-out
articles and documents are measured how often the best words overlap the answer, and how well the
score tells passages that answer from those that do not (AUROC).
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from groundup.core import Artifact, DataError, Draft, record
from groundup.measure import auroc
from groundup.train import RunIdentity

from .encoding import EncodedPair
from .examples import Article, Example, made_articles, read_articles, reader_examples
from .facts import FactMaker
from .fitting import PairTrainingConfig, fit, produce_pair_model, read_documents, split_by_name
from .spans import SpanReader


class SpanReaderConfig(PairTrainingConfig):
    """How to train an extractive reader."""

    facts: int = Field(default=8_000, ge=0)
    """Examples of made facts (facts.py), in English, in each epoch."""


def train_reader(
    config: SpanReaderConfig, source: Path, base: Path, out: Path, *,
    questions: list[Path] | None = None,
) -> Artifact:  # fmt: skip
    """Train an extractive reader on questions of files and of documents; a stopped run resumes.

    source     folder of documents, or a corpus, whose test documents are never read
    base       an encoder: BERT or RoBERTa, also a directory of Sentence Transformers
    out        directory of the reader
    questions  a file of questions in SQuAD's format; may be given again

    Raises DataError if there are too few questions, ConfigError if the base is no encoder.
    """
    return produce_pair_model(
        config, source, base, out, stage="reader", questions=questions, write=_train_and_save
    )


def _train_and_save(
    config: SpanReaderConfig, source: Path, base: Path, identity: RunIdentity, draft: Draft
) -> None:
    train, held_out = split_articles(config, source, identity.parents.get("corpus"))
    reader = SpanReader.new(base, config.seed)
    examples = reader_examples(held_out, config.seed)
    made = FactMaker(config.seed).examples(config.facts)
    trained = _encode(reader, reader_examples(train, config.seed) + made)
    fit(config, draft, reader, (trained, _encode(reader, examples)), (base, identity))
    scores = reader_scores(reader, examples)
    draft.numbers |= {"articles": len(train), "held_out": scores}
    record.log(", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


def split_articles(
    config: PairTrainingConfig, source: Path, corpus: Artifact | None
) -> tuple[list[Article], list[Article]]:
    """Articles to train on, and to measure on; DataError if either has no question."""
    articles = [each for path in config.questions for each in read_articles(Path(path))]
    articles += made_articles(read_documents(config, source, corpus))
    names = [f"{number} {article.title}" for number, article in enumerate(articles)]
    sides = split_by_name(articles, names, config)
    if not all(any(article.questions for article in side) for side in sides):
        raise DataError(
            f"Documents and articles with questions: {len(articles)}, too few to train on some and "
            "measure on others; give files of questions in SQuAD's layout: --questions squad.json"
        )
    return sides


def _encode(reader: SpanReader, examples: Sequence[Example]) -> list[EncodedPair]:
    pairs = ((reader.encode(each.question, each.passage), each.answer) for each in examples)
    encoded = (pair.with_answer(*answer) if answer else pair for pair, answer in pairs)
    return [pair for pair in encoded if pair is not None]


def reader_scores(reader: SpanReader, examples: Sequence[Example]) -> dict[str, float]:
    """Overlap of the best words with the answer, and AUROC of the score, on examples."""
    readings = reader.read_pairs([(each.question, each.passage) for each in examples])
    labels = [each.answer is not None for each in examples]
    hits = [
        each.answer[0] < reading.end and reading.start < each.answer[1]
        for each, reading in zip(examples, readings, strict=True) if each.answer
    ]  # fmt: skip
    scores = {"overlap": sum(hits) / max(1, len(hits))}
    if len(set(labels)) == 2:
        scores["auroc"] = auroc([reading.score for reading in readings], labels)
    return {name: round(value, 4) for name, value in scores.items()}
