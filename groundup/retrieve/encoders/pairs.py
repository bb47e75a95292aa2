"""Training pairs for an encoder, from documents alone: a query and the passage that answers it.

    title      a document's title                    its first passage
    heading    the path of headings of a section     the section's first passage
    cloze      a sentence of a passage               the passage without it (inverse cloze task)
    docstring  what a Python function does           its code, without the docstring
    question   a question made by groundup.corpus    the passage with the answer

A passage has one text for all its pairs, without its headings and without its cloze sentence.
Source: Lee et al. 2019, arXiv:1906.00300, section 4 (inverse cloze task); Husain et al. 2019,
arXiv:1909.09436 (docstrings and code).
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from pydantic import Field

from groundup.core import Config, DataError, Passage
from groundup.corpus import (
    DocumentCollection,
    documented_functions,
    question_candidates,
    split_paths,
)
from groundup.documents import ReadConfig, Record, split_sentences, with_titles

from ..chunks.chunk import ChunkConfig, chunk_document

PairKind = Literal["title", "heading", "cloze", "docstring", "question"]
PAIR_KINDS: tuple[PairKind, ...] = get_args(PairKind)
MIN_PASSAGE_CHARACTERS, MIN_SUMMARY_CHARACTERS = 80, 12
MIN_CLOZE_CHARACTERS, MAX_CLOZE_CHARACTERS, MIN_CLOZE_SENTENCES = 40, 300, 3
MAX_ANSWER_WORDS = 25
HEADING_SIGNS = re.compile(r"^[#¶§\s]+|[#¶§\s]+$")

Questions = Mapping[str, Sequence[tuple[str, int, int]]]
"""By path of a document: question, first and last character of the answer."""


class PairsConfig(Config):
    """Which pairs are made of documents."""

    kinds: tuple[PairKind, ...] = PAIR_KINDS
    """Kinds of pairs: title, heading, cloze, docstring, question."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the documents to measure on; of a corpus, its validation split is measured on."""
    chunk: ChunkConfig = ChunkConfig()
    """Sizes of passages."""
    read: ReadConfig = ReadConfig()
    """Which files of a folder are read."""
    seed: int = 0
    """Seed of the cloze sentences and of the held-out documents."""


class TextPair(NamedTuple):
    """A query and the passage that answers it."""

    kind: PairKind
    query: str
    passage: str
    document: str
    """Id of the document that both are from."""


class PairSplit(NamedTuple):
    """Pairs to train on, and pairs of other documents to measure on."""

    train: list[TextPair]
    held_out: list[TextPair]


def split_pairs(
    documents: Sequence[Record], config: PairsConfig, held_out: Sequence[Record] = ()
) -> PairSplit:
    """Pairs of documents, split by document; a passage that both sides have is held out.

    held_out  the documents to measure on; without any they are drawn by a hash of their id, so that
              none moves when others are added

    Raises DataError if either side has too few pairs.
    """
    if not held_out:
        names = [each.id for each in documents]
        splits = split_paths(names, config.held_out, 0.0, config.seed)
        held_out = [each for each in documents if splits[each.id] != "train"]
        documents = [each for each in documents if splits[each.id] == "train"]
    measured = make_pairs(held_out, config)
    texts = {pair.passage for pair in measured}
    train = [pair for pair in make_pairs(documents, config) if pair.passage not in texts]
    if len(train) < 2 or not measured:
        raise DataError(
            f"Got {len(train)} pairs to train on, from {len(documents)} documents, and "
            f"{len(measured)} to measure on, from {len(held_out)} others; at least 2 and 1 are "
            "needed. Give more documents, hold out more of them (pairs.held_out), or make more of "
            f"the kinds {', '.join(PAIR_KINDS)}."
        )
    return PairSplit(train, measured)


def make_pairs(documents: Sequence[Record], config: PairsConfig | None = None) -> list[TextPair]:
    """The pairs of documents; no query and passage occurs twice, no passage in two documents."""
    config = config or PairsConfig()
    documents = [with_titles(each) for each in documents]
    questions = _questions_by_path(documents) if "question" in config.kinds else {}
    pairs, owners = dict[tuple[str, str], TextPair](), dict[str, str]()
    for document in documents:
        for pair in _document_pairs(document, questions, config):
            is_first = owners.setdefault(pair.passage, document.id) == document.id
            if is_first and pair.query and pair.kind in config.kinds:
                pairs.setdefault((" ".join(pair.query.casefold().split()), pair.passage), pair)
    return list(pairs.values())


def _document_pairs(
    document: Record, questions: Questions, config: PairsConfig
) -> Iterator[TextPair]:
    if document.kind == "python":
        for function in documented_functions(document):
            sizes = len(function.code), len(function.summary)
            if sizes[0] >= MIN_PASSAGE_CHARACTERS and sizes[1] >= MIN_SUMMARY_CHARACTERS:
                yield TextPair("docstring", function.summary, function.code, document.id)
        return
    seen = set[tuple[str, ...]]()
    for passage in chunk_document(document, config.chunk):
        text, sentence = _without_headings(document, passage), ""
        if "cloze" in config.kinds:
            text, sentence = _take_sentence(text, config.seed)
        if len(text) < MIN_PASSAGE_CHARACTERS:
            continue
        for path in sorted({passage.headings[:1], passage.headings} - seen - {()}):
            seen.add(path)
            kind = "title" if len(path) == 1 else "heading"
            yield TextPair(kind, " > ".join(path), text, document.id)
        yield TextPair("cloze", sentence, text, document.id)
        for question, start, end in questions.get(document.path, ()):
            is_inside = passage.start <= start and end <= passage.end
            if is_inside and document.text[start:end] in text:
                yield TextPair("question", question, text, document.id)


def _without_headings(document: Record, passage: Passage) -> str:
    parts, at = [], passage.start
    for heading in document.headings:
        if passage.start <= heading.start and heading.end <= passage.end:
            parts.append(document.text[at : heading.start])
            at = heading.end
    parts.append(document.text[at : passage.end])
    return "\n".join(filter(None, (HEADING_SIGNS.sub("", part) for part in parts)))


def _take_sentence(text: str, seed: int) -> tuple[str, str]:
    """A text without one of its sentences, the same in every copy, and that sentence, or empty."""
    sentences = split_sentences(text)
    sizes = range(MIN_CLOZE_CHARACTERS, MAX_CLOZE_CHARACTERS + 1)
    fit = [each for each in sentences if each.end - each.start in sizes]
    if len(sentences) < MIN_CLOZE_SENTENCES or not fit:
        return text, ""
    chosen = random.Random(f"{seed} {text}").choice(fit)
    rest = f"{text[: chosen.start].rstrip()} {text[chosen.end :].lstrip()}".strip()
    sentence = " ".join(text[chosen.start : chosen.end].split())
    return (text, "") if len(rest) < MIN_PASSAGE_CHARACTERS else (rest, sentence)


def _questions_by_path(documents: Sequence[Record]) -> Questions:
    """The questions that test sets ask too, each with the place of its answer."""
    prose = [each for each in documents if each.kind != "python"]
    collection, questions = DocumentCollection(prose), defaultdict(list)
    for one in question_candidates(collection, collection.documents, (), MAX_ANSWER_WORDS):
        place = one.answer_location
        questions[one.path].append((one.question, place["start"], place["end"]))
    return questions
