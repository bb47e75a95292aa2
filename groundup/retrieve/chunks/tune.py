"""Which size of passages finds the right place first: measured on the folder itself.

Questions are sentences of the documents that occur once, each removed from its place and without
three tenths of its words (inverse cloze: Lee, Chang and Toutanova 2019, arXiv:1906.00300); a
passage is right if it had half of the sentence. This measures whether the text around a statement
leads to it, by BM25 alone. Or they are the validation part of a test set or questions of your own,
and a passage is right if it had half of the answer's place, or of the first place of an answer. The
larger passages are, the more of the folder is in the first ones, so recall in the first 2,400
characters decides. The sealed part of a test set is not asked: it would be spent.
"""

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, DataError, Passage, digest, page, record, write_text
from groundup.documents import NAVIGATION, Record, split_sentences
from groundup.measure import Interval, paired_difference, ranking, read_validation

from ..calibration.made import MadeQuestion
from ..lexical import LexicalIndex
from ..wording.language import language_of
from ..wording.question import parse_question
from .chunk import ChunkConfig, chunk_document, parent_hits
from .strategies import Embed

SIZES = (300, 600, 1200, 2400)
MAX_QUESTIONS, MAX_TEXT = 300, 4_000_000
"""Questions, and characters of the documents that are drawn from a larger folder."""
MIN_WORDS, MAX_SENTENCE, KEPT_WORDS = 8, 300, 0.7
FOLDS = 10
"""At most a tenth of the sentences is removed at a time, so that there is text around them."""
HITS, READ_CHARACTERS = 40, 2400
NAMES = ("recall@1", "recall@3", "nDCG@10", f"in {READ_CHARACTERS:,} characters")
MEASURES = (ranking.recall(1), ranking.recall(3), ranking.ndcg(10), ranking.recall(HITS))


class PlacedQuestion(NamedTuple):
    """A question and where its answer is in a document's text."""

    text: str
    document: str
    start: int
    end: int
    is_removed: bool = True
    """Whether it is a sentence of that place, which is taken out there."""


class Questions(NamedTuple):
    """What is asked of the documents that are compared."""

    locate: Callable[[Sequence[Record]], Sequence[Sequence[PlacedQuestion]]]
    """The questions about some documents, in folds."""
    paths: frozenset[str] = frozenset()
    """Of documents that are compared even if the folder is too large for all."""


class ChunkResult(NamedTuple):
    """How well the passages of one configuration are found."""

    config: ChunkConfig
    passages: int
    scores: list[Interval]
    """In the order of NAMES."""
    found: list[float]
    """For each question, 1 if its place is in the first characters."""


def size_grid(config: ChunkConfig, strategies: Sequence[str] = ()) -> list[ChunkConfig]:
    """Each size with each strategy; overlap and parents grow with it, these to what is read."""
    most, configs = config.max_characters, list[ChunkConfig]()
    for strategy in strategies or (config.strategy,):
        for size in SIZES:
            parent = config.parent_characters * size // most
            values = {"strategy": strategy, "max_characters": size, "parent_characters": parent}
            values["overlap"] = config.overlap * size // most
            if strategy != "parent" or parent <= READ_CHARACTERS:
                configs.append(ChunkConfig.model_validate(config.to_dict() | values))
    return configs


def cloze_questions(documents: Iterable[Record], seed: int = 0) -> list[list[PlacedQuestion]]:
    """Sentences with some of their words, in folds: those of one are removed together.

    Raises DataError if the documents have fewer than ten sentences that can be asked.
    """
    found = list[PlacedQuestion]()
    for document in documents:
        skipped = document.metadata.get(NAVIGATION, ())
        for start, end, kind in split_sentences(document.text, document.kind == "html"):
            text = document.text[start:end]
            is_read = kind == "prose" and not any(a <= start < b for a, b in skipped)
            if is_read and len(text) <= MAX_SENTENCE and len(text.split()) >= MIN_WORDS:
                found.append(PlacedQuestion(text, document.id, start, end))
    times = Counter(each.text for each in found)
    found = [each for each in found if times[each.text] == 1]
    if len(found) < FOLDS:
        raise DataError(
            f"The folder has {len(found)} sentences of {MIN_WORDS} words or more that occur once; "
            f"--tune needs {FOLDS}; index without it."
        )
    draw, asked = random.Random(seed), list[PlacedQuestion]()
    for each in draw.sample(found, min(MAX_QUESTIONS, len(found))):
        words = each.text.split()
        kept = sorted(draw.sample(range(len(words)), round(KEPT_WORDS * len(words))))
        asked.append(each._replace(text=" ".join(words[at] for at in kept)))
    folds = -(-FOLDS * len(asked) // len(found))
    return [asked[number::folds] for number in range(folds)]


def place_questions(
    questions: Iterable[MadeQuestion], documents: Sequence[Record]
) -> list[list[PlacedQuestion]]:
    """Where the documents first have an answer to each question; those without a place are left.

    Raises DataError if fewer than ten have one.
    """
    placed, asked = list[PlacedQuestion](), list(questions)
    for question in asked:
        places = (
            PlacedQuestion(question.text, document.id, start, start + len(answer), is_removed=False)
            for document in documents for answer in question.answers
            if (start := document.text.find(answer)) >= 0
        )  # fmt: skip
        placed += [place] if (place := next(places, None)) else []
    return _enough(placed, len(asked))


def validation_questions(testset: Artifact) -> Questions:
    """Those of a test set's validation part, where it quotes the documents; DataError without."""
    samples = list(read_validation(testset))
    if not samples:
        raise DataError(
            f"{testset.path} has no validation part, and what is sealed would be spent; make one "
            "with a larger part: groundup testset make DOCUMENTS --set validation=0.2"
        )

    def locate(documents: Sequence[Record]) -> list[list[PlacedQuestion]]:
        placed, known = list[PlacedQuestion](), {each.path: each for each in documents}
        for sample in samples:
            about, document = sample.metadata, known.get(sample.metadata.get("document", ""))
            if document and document.text[about["start"] : about["end"]] == about["quote"]:
                asked, span = sample.conversation[-1].content, (about["start"], about["end"])
                placed.append(PlacedQuestion(asked, document.id, *span, is_removed=False))
        return _enough(placed, len(samples))

    return Questions(locate, frozenset(str(each.metadata.get("document")) for each in samples))


def _enough(placed: list[PlacedQuestion], count: int) -> list[list[PlacedQuestion]]:
    if len(placed) < FOLDS:
        raise DataError(
            f"{len(placed)} of {count} questions have an answer that stands in the documents; "
            f"--tune needs {FOLDS}."
        )
    return [placed]


def measure_chunks(
    documents: Sequence[Record], config: ChunkConfig, folds: Sequence[Sequence[PlacedQuestion]],
    embed: Embed | None = None,
) -> ChunkResult:  # fmt: skip
    """Index documents in one way, without each fold's sentences, and ask its questions."""
    chunked = {
        each.id: (each, chunk_document(each, config, embed), language_of(each.text))
        for each in documents
    }
    ranked, read, passages = list[list[str]](), list[list[str]](), 0
    for fold in folds:
        removed = defaultdict[str, list[PlacedQuestion]](list)
        for asked in fold:
            removed[asked.document] += [asked] if asked.is_removed else []
        with tempfile.TemporaryDirectory() as folder:
            index = LexicalIndex(Path(folder))
            for id, (_, found, language) in chunked.items():
                index.add((_without(each, removed[id]) for each in found), language)
            index.commit()
            passages = len(index)
            for asked in fold:
                terms = parse_question(asked.text, chunked[asked.document][2])
                hits = parent_hits(index.search_terms(terms, HITS), lambda id: chunked[id][0])
                names = [_name(hit.passage, asked) for hit in hits]
                ends = accumulate(len(hit.passage.text) for hit in hits)
                count = sum(end <= READ_CHARACTERS for end in ends)
                ranked.append(list(dict.fromkeys(names)))
                read.append(list(dict.fromkeys(names[:count])))
    relevance = {str(number): {"right": 1} for number in range(len(ranked))}
    scores = [
        ranking.score_rankings(measure, dict(zip(relevance, lists, strict=True)), relevance)
        for measure, lists in zip(MEASURES, (ranked, ranked, ranked, read), strict=True)
    ]
    means = [mean for each in scores if isinstance(mean := each.mean(), Interval)]
    return ChunkResult(config, passages, means, list(scores[-1].values.values()))


def _without(passage: Passage, questions: Iterable[PlacedQuestion]) -> Passage:
    text, size = passage.text, len(passage.text)
    for asked in sorted(questions, key=lambda each: -each.start):
        start, end = (min(max(0, at - passage.start), size) for at in (asked.start, asked.end))
        text = f"{text[:start]} {text[end:]}" if start < end else text
    return replace(passage, text=text)


def _name(passage: Passage, asked: PlacedQuestion) -> str:
    common = min(passage.end, asked.end) - max(passage.start, asked.start)
    is_right = passage.document == asked.document and 2 * common >= asked.end - asked.start
    return "right" if is_right else passage.id


def smallest_within_noise(results: Sequence[ChunkResult]) -> ChunkResult:
    """The smallest size that is not worse than the best by a 95 % interval of paired questions."""
    best = max(results, key=lambda each: each.scores[-1].estimate)
    gaps = [paired_difference(best.found, each.found, limits=(-1, 1)) for each in results]
    close = [each for each, gap in zip(results, gaps, strict=True) if gap.low <= 0]
    return min(close, key=lambda each: (each.config.max_characters, -each.scores[-1].estimate))


def tune(
    documents: Iterable[Record],
    configs: Sequence[ChunkConfig],
    out: Path,
    embed: Embed | None = None,
    questions: Questions | None = None,
) -> ChunkConfig:
    """Compare configurations on documents, log a table, write a page `out` and return the best.

    questions  default: sentences of the documents
    """
    asked, kept, size = questions or Questions(cloze_questions), list[Record](), 0
    order = sorted(documents, key=lambda each: (each.path not in asked.paths, digest(each.path)))
    for document in order:  # a random one
        size += len(document.text)
        kept += [document] if size <= MAX_TEXT or not kept else []
    folds = asked.locate(kept)
    results = list[ChunkResult]()
    with record.progress("tune", total=len(configs), unit="configurations") as bar:
        for config in configs:
            results.append(measure_chunks(kept, config, folds, embed))
            bar.advance(1)
    best = smallest_within_noise(results).config
    columns, rows = ("strategy", "characters", "passages", *NAMES), list[tuple[str, ...]]()
    points = defaultdict[str, list[tuple[float, ...]]](list)
    for config, passages, scores, _ in results:
        strategy, most = config.strategy, config.max_characters
        shown = (f"{e.estimate:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in scores)
        rows.append((strategy, str(most), f"{passages:,}", *shown))
        points[strategy].append((most, *scores[-1][:3]))
    for row in (columns, *rows):
        record.log("  ".join(map(str.ljust, row, (9, 10, 8, 24, 24, 24, 24))).rstrip())
    of = f"{sum(map(len, folds))} questions about {len(kept)} documents"
    chosen = f"Chosen: {best.strategy}, {best.max_characters} characters, by {of}."
    record.log(f"{chosen} The curve: {out}")
    sheet = page.HtmlPage("Size of passages", chosen)
    lines = [page.Series(name, *zip(*rows, strict=True)) for name, rows in points.items()]
    title, below = f"Found {NAMES[-1]}", "characters of a passage, at most"
    sheet.add(page.line_chart(title, lines, x_label=below, y_label="share of questions"))
    sheet.add(page.table_element("Every size; the smallest within noise is chosen", columns, rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, sheet.render())
    return best
