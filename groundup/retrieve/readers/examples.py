"""Examples for a reader: a question with a passage, and the place of its answer, or none.

Questions come from files of SQuAD's format, with those that have no answer, and from the documents
themselves (groundup.corpus). A passage is what is quoted in use: one to four sentences, mostly
below their title. Of each question that has an answer three kinds of passages are made:

    answered   sentences with the answer
    elsewhere  sentences of the same article that share the most words with it, without the answer
    removed    those around the answering sentence, without it

Source: Rajpurkar et al. 2016, arXiv:1606.05250 (the format), and 2018, arXiv:1806.03822 (questions
without an answer).
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import DataError
from groundup.corpus import DocumentCollection, question_candidates
from groundup.documents import Record, split_sentences, with_titles

from ..wording.language import stem_words, stop_words
from .spans import MAX_ANSWER

MAX_SENTENCES, MAX_PASSAGE = 4, 900
TITLED, REMOVED = 0.7, 0.5
"""Share of passages below their title, and of questions with a passage without their sentence."""
Span = tuple[int, int]


class AskedQuestion(NamedTuple):
    """A question about a text of an article."""

    text: str
    context: str
    answer: Span | None
    """First character and end in the context; None: it has no answer."""
    answers: frozenset[str]
    """All texts that answer it, in small letters."""


class Article(NamedTuple):
    """Texts with questions."""

    title: str
    questions: list[AskedQuestion]


class Example(NamedTuple):
    """A question and a passage."""

    question: str
    passage: str
    answer: Span | None


def read_articles(path: Path) -> list[Article]:
    """The articles of a file in SQuAD's format; DataError if it is none."""
    try:
        articles = json.loads(path.read_bytes())["data"]
        return [Article(str(each.get("title", "")), list(_questions(each))) for each in articles]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        is_told = isinstance(error, OSError | ValueError)
        why = f"{error}" if is_told else "something of it is missing"
        raise DataError(
            f"{path} is no file of questions in SQuAD's format, an object with `data`, articles of "
            f"`paragraphs` with `context` and `qas`: {why}."
        ) from None


def _questions(article: dict[str, Any]) -> Iterator[AskedQuestion]:
    for paragraph in article["paragraphs"]:
        context = paragraph["context"]
        for asked in paragraph["qas"]:
            found = [] if asked.get("is_impossible") else asked["answers"]
            places = Counter((each["answer_start"], each["text"]) for each in found)
            best, answers = None, frozenset(each["text"].lower() for each in found)
            if places:
                (start, text), _ = places.most_common(1)[0]
                if context[start : start + len(text)] != text:
                    raise ValueError(f"{text!r} is not at {start} of its paragraph")
                best = (start, start + len(text))
            yield AskedQuestion(asked["question"].strip(), context, best, answers)


def made_articles(documents: Sequence[Record]) -> list[Article]:
    """Questions that rules make of documents, by document."""
    prose = [with_titles(each) for each in documents if each.kind != "python"]
    collection, by_path = DocumentCollection(prose), dict[str, list[AskedQuestion]]()
    for one in question_candidates(collection, collection.documents, (), MAX_ANSWER):
        place = one.answer_location
        first, end = place["span"]
        asked = one.question.partition("”, ")[2] or one.question  # without "According to “X”, "
        text = place["passage"]
        question = AskedQuestion(asked, text, (first, end), frozenset([text[first:end].lower()]))
        by_path.setdefault(one.path, []).append(question)
    return [Article("", questions) for questions in by_path.values()]


def reader_examples(articles: Sequence[Article], seed: int = 0) -> list[Example]:
    """The examples of articles, in their order."""
    drawn = random.Random(seed)
    return [example for article in articles for example in _article_examples(article, drawn)]


class _Text(NamedTuple):
    """A context taken apart."""

    context: str
    sentences: list[Span]
    words: list[frozenset[str]]


def _article_examples(article: Article, drawn: random.Random) -> Iterator[Example]:
    contexts = dict.fromkeys(question.context for question in article.questions)
    texts = {context: _take_apart(context) for context in contexts}
    title = article.title.replace("_", " ")
    for question in article.questions:
        text, asked = texts[question.context], _words(question.text)
        if question.answer is None:
            at = max(range(len(text.sentences)), key=lambda n: len(asked & text.words[n]))
            yield _example(question, text, _window(text, at, drawn), title, drawn)
            continue
        at = next((n for n, (_, end) in enumerate(text.sentences) if question.answer[0] < end), 0)
        yield _example(question, text, _window(text, at, drawn), title, drawn, question.answer)
        if place := _elsewhere(question, asked, list(texts.values()), drawn):
            yield _example(question, place[0], place[1], title, drawn)
        around = [text.sentences[n] for n in (at - 1, at + 1) if 0 <= n < len(text.sentences)]
        rest = " ".join(text.context[start:end] for start, end in around)
        is_free = rest and not any(each in rest.lower() for each in question.answers)
        if is_free and drawn.random() < REMOVED:
            yield Example(question.text, _titled(rest, title, drawn), None)


def _take_apart(context: str) -> _Text:
    sentences = [(each.start, each.end) for each in split_sentences(context)] or [(0, len(context))]
    return _Text(context, sentences, [_words(context[start:end]) for start, end in sentences])


def _words(text: str) -> frozenset[str]:
    return frozenset(stem_words(text)) - stop_words()["english"]


def _window(text: _Text, at: int, drawn: random.Random) -> Span:
    """A run of sentences with that at an index, as indices of the first and behind the last."""
    size = drawn.randint(1, MAX_SENTENCES)
    first = max(0, min(at - drawn.randrange(size), len(text.sentences) - size))
    last = max(at + 1, min(first + size, len(text.sentences)))
    starts, end = text.sentences[first][0], text.sentences[last - 1][1]
    return (first, last) if end - starts <= MAX_PASSAGE else (at, at + 1)


def _elsewhere(
    question: AskedQuestion, asked: frozenset[str], texts: Sequence[_Text], drawn: random.Random
) -> tuple[_Text, Span] | None:
    """Sentences that share the most words with a question and do not answer it."""
    near = [
        (len(asked & words) + drawn.random() / 2, index, at)
        for index, text in enumerate(texts)
        for at, words in enumerate(text.words)
        if not _answers(question, text, (at, at + 1))
    ]
    if not near:
        return None
    _, index, at = max(near)
    window = _window(texts[index], at, drawn)
    return texts[index], (at, at + 1) if _answers(question, texts[index], window) else window


def _answers(question: AskedQuestion, text: _Text, window: Span) -> bool:
    said = text.context[text.sentences[window[0]][0] : text.sentences[window[1] - 1][1]].lower()
    return any(answer in said for answer in question.answers)


def _example(
    question: AskedQuestion, text: _Text, window: Span, title: str, drawn: random.Random,
    answer: Span | None = None,
) -> Example:  # fmt: skip
    start, end = text.sentences[window[0]][0], text.sentences[window[1] - 1][1]
    end = max(end, answer[1] if answer else 0)
    passage = _titled(text.context[start:end], title, drawn)
    moved = len(passage) - (end - start) - start
    place = answer and (answer[0] + moved, answer[1] + moved)
    return Example(question.text, passage, place)


def _titled(passage: str, title: str, drawn: random.Random) -> str:
    return f"{title}. {passage}" if title and drawn.random() < TITLED else passage
