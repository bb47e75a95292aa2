"""Which size of passages finds the right place first, by BM25: measured by questions.

They are the validation part of a test set, where a passage is right if it had half of the place
that a sample quotes, or your own, where it had half of the first place of an answer. The larger
passages are, the more of the folder is in the first ones, so recall in the first 2,400 characters
decides. The sealed part of a test set is not asked: it would be spent.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from groundup.core import Artifact, DataError, Passage, digest, page, record, write_text
from groundup.documents import Record
from groundup.measure import Interval, paired_difference, ranking, read_validation

from ..calibration.made import MadeQuestion
from ..lexical import LexicalIndex
from ..wording.language import language_of
from ..wording.question import parse_question
from .chunk import ChunkConfig, chunk_document, parent_hits
from .strategies import Embed

SIZES = (300, 600, 1200, 2400)
MAX_TEXT = 4_000_000
"""Characters of the documents that are drawn from a larger folder."""
MIN_QUESTIONS = 10
HITS, READ_CHARACTERS = 40, 2400
NAMES = ("recall@1", "recall@3", "nDCG@10", f"in {READ_CHARACTERS:,} characters")
MEASURES = (ranking.recall(1), ranking.recall(3), ranking.ndcg(10), ranking.recall(HITS))


class PlacedQuestion(NamedTuple):
    """A question and where its answer is in a document's text."""

    text: str
    document: str
    start: int
    end: int


class Questions(NamedTuple):
    """What is asked of the documents that are compared."""

    locate: Callable[[Sequence[Record]], Sequence[PlacedQuestion]]
    """The questions about some documents."""
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
    """Each size and the one it has with each strategy; overlap and parents grow with it, these to
    what is read."""
    most, configs = config.max_characters, list[ChunkConfig]()
    for strategy in strategies or (config.strategy,):
        for size in sorted({*SIZES, most}):
            parent = config.parent_characters * size // most
            values = {"strategy": strategy, "max_characters": size, "parent_characters": parent}
            values["overlap"] = config.overlap * size // most
            if strategy != "parent" or parent <= READ_CHARACTERS:
                configs.append(ChunkConfig.model_validate(config.to_dict() | values))
    return configs


def place_questions(
    questions: Iterable[MadeQuestion], documents: Sequence[Record]
) -> list[PlacedQuestion]:
    """Where the documents first have the answer to each question that has one.

    Raises DataError if fewer than ten have one.
    """
    placed, asked = list[PlacedQuestion](), [each for each in questions if each.answers]
    for question in asked:
        places = (
            PlacedQuestion(question.text, document.id, start, start + len(answer))
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
            "of more documents (groundup testset make DOCUMENTS --set validation=0.3), or give "
            "questions of your own with --questions FILE"
        )

    def locate(documents: Sequence[Record]) -> list[PlacedQuestion]:
        placed, known = list[PlacedQuestion](), {each.path: each for each in documents}
        for sample in samples:
            about, document = sample.metadata, known.get(sample.metadata.get("document", ""))
            start, quote = about.get("start", 0), about.get("quote", "")
            found = re.finditer(re.escape(quote), document.text) if document and quote else ()
            places = [each.start() for each in found]
            if document and places:
                start = min(places, key=lambda place: abs(place - start))  # it may have moved
                asked, span = sample.conversation[-1].content, (start, start + len(quote))
                placed.append(PlacedQuestion(asked, document.id, *span))
        return _enough(placed, len(samples))

    return Questions(locate, frozenset(str(each.metadata.get("document")) for each in samples))


def _enough(placed: list[PlacedQuestion], count: int) -> list[PlacedQuestion]:
    if len(placed) < MIN_QUESTIONS:
        raise DataError(
            f"{len(placed)} of {count} questions have an answer that stands in the documents; "
            f"--tune needs {MIN_QUESTIONS}: take the folder as it was when they were made, make "
            "more (groundup testset make DOCUMENTS --set validation=0.4 --set per_document=60), or "
            "give questions of your own with --questions FILE."
        )
    if left := count - len(placed):
        of = f"{left} of {count} questions"
        record.log(f"Left out: {of}, whose answer does not stand in the documents.")
    return placed


def measure_chunks(
    documents: Sequence[Record], config: ChunkConfig, questions: Sequence[PlacedQuestion],
    embed: Embed | None = None,
) -> ChunkResult:  # fmt: skip
    """Index documents in one way and ask questions."""
    known = {each.id: (each, language_of(each.text)) for each in documents}
    ranked, read = list[list[str]](), list[list[str]]()
    with tempfile.TemporaryDirectory() as folder:
        index = LexicalIndex(Path(folder))
        for each, language in known.values():
            index.add(chunk_document(each, config, embed), language)
        index.commit()
        passages = len(index)
        for asked in questions:
            terms = parse_question(asked.text, known[asked.document][1])
            hits = parent_hits(index.search_terms(terms, HITS), lambda id: known[id][0])
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


def _name(passage: Passage, asked: PlacedQuestion) -> str:
    common = min(passage.end, asked.end) - max(passage.start, asked.start)
    is_right = passage.document == asked.document and 2 * common >= asked.end - asked.start
    return "right" if is_right else passage.id


def best_beyond_chance(results: Sequence[ChunkResult], usual: ChunkConfig) -> ChunkResult:
    """The usual configuration, or the best of those that a 95 % interval puts above it.

    The interval is of the paired difference. Without the usual one the best of all.
    """
    better = list(results)
    if own := next((each for each in results if each.config == usual), None):
        gaps = [paired_difference(each.found, own.found, limits=(-1, 1)) for each in results]
        better = [each for each, gap in zip(results, gaps, strict=True) if gap.low > 0] or [own]
    return max(better, key=lambda each: (each.scores[-1].estimate, -each.config.max_characters))


def tune(
    documents: Iterable[Record], configs: Sequence[ChunkConfig], out: Path, questions: Questions,
    usual: ChunkConfig, embed: Embed | None = None,
) -> ChunkConfig:  # fmt: skip
    """Compare configurations on documents, log a table, write a page `out` and return the best.

    usual  the configuration without tuning, which stays unless another is better beyond chance
    """
    kept, size = list[Record](), 0
    drawn = sorted(documents, key=lambda each: digest(each.path))  # in a random order
    for document in sorted(drawn, key=lambda each: each.path not in questions.paths):
        size += len(document.text)
        kept += [document] if size <= MAX_TEXT or not kept else []
    asked = questions.locate(kept)
    results = list[ChunkResult]()
    with record.progress("tune", total=len(configs), unit="configurations") as bar:
        for config in configs:
            results.append(measure_chunks(kept, config, asked, embed))
            bar.advance(1)
    best = best_beyond_chance(results, usual).config
    columns, rows = ("strategy", "characters", "passages", *NAMES), list[tuple[str, ...]]()
    points = defaultdict[str, list[tuple[float, ...]]](list)
    for config, passages, scores, _ in results:
        strategy, most = config.strategy, config.max_characters
        shown = (f"{e.estimate:.3f} [{e.low:.3f}, {e.high:.3f}]" for e in scores)
        rows.append((strategy, str(most), f"{passages:,}", *shown))
        points[strategy].append((most, *scores[-1][:3]))
    for row in (columns, *rows):
        record.log("  ".join(map(str.ljust, row, (9, 10, 8, 24, 24, 24, 24))).rstrip())
    of = f"{len(asked)} questions about {len(kept)} documents"
    why = "no other is better beyond chance" if best == usual else "better beyond chance"
    why = why if usual in configs else "the best"
    chosen = f"Chosen: {best.strategy}, {best.max_characters} characters, {why}, by {of}."
    record.log(f"{chosen} The curve: {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, _curve_page(chosen, columns, rows, points))
    return best


def _curve_page(
    chosen: str, columns: Sequence[str], rows: Sequence[Sequence[str]],
    points: Mapping[str, Sequence[tuple[float, ...]]],
) -> page.Html:  # fmt: skip
    sheet = page.HtmlPage("Size of passages", chosen)
    lines = [page.Series(name, *zip(*found, strict=True)) for name, found in points.items()]
    title, below = f"Found {NAMES[-1]}", "characters of a passage, at most"
    sheet.add(page.line_chart(title, lines, x_label=below, y_label="share of questions"))
    sheet.add(
        page.table_element(
            "Every size; the usual one stays unless another is better beyond chance", columns, rows
        )
    )
    return sheet.render()
