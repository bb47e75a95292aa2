"""From documents to answers that are proved, refused or promised, and a verdict on it.

    documents ─ encoder, reader, reranker ─ index ─ calibration ─ answers ─ report ─ verdict
              └──────────────────── index by words ────────────── answers ─ report ─┘ baseline

The encoder learns from pairs of the documents, the reader from files of questions, the documents
and made facts, the reranker from files of questions and pairs, with passages of other documents.
Every index is asked the same questions, made of the documents: answered ones and near misses. The
reranker is kept if a verdict says that the right passage ranks no lower than without. The last
verdict: with models no measure is worse by more than MARGIN than by words alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from groundup.core import MANIFEST, Artifact, ConfigError, GateFailed, record, write_text
from groundup.evaluate import GroundingConfig, gate, grounding
from groundup.measure import (
    check_requirement,
    loses_at_most,
    paired_difference,
    read_verdict,
    write_verdict,
)
from groundup.retrieve import (
    CalibrationConfig,
    EncoderConfig,
    IndexConfig,
    MadeQuestion,
    OpenIndex,
    ReaderChoice,
    RerankerChoice,
    RerankerConfig,
    SpanReaderConfig,
    TextEncoderConfig,
    answer_question,
    answer_to_json,
    calibrate,
    index,
    made_questions,
    open_index,
    search_passages,
    train_encoder,
    train_reader,
    train_reranker,
)

MARGIN = 0.05
"""Share of the answers by which models may be worse than words in any measure, and what the mean
reciprocal rank of the right passage may lose by the reranker."""
RANKED = 10
"""Passages among which the right one is looked for."""


def grounded(
    *,
    documents: Path,
    base: Path,
    questions: tuple[Path, ...] = (),
    out: Path = Path("runs/grounded"),
    facts: int = 8_000,
    made: int = 400,
) -> str:
    """Train an encoder, a reader and a reranker for a folder, index it, and judge the answers.

    documents  folder to be asked
    base       an encoder such as MiniLM, which all are trained from
    questions  files of questions in SQuAD's format, from which the reader learns most
    out        folder of the artifacts; an existing run is resumed
    facts      made facts from which the reader learns
    made       questions made of the documents, at most

    Raises DataError if the documents or the files give no questions, GateFailed if the models are
    worse than words alone.
    """
    if out.resolve().is_relative_to(documents.resolve()):
        raise ConfigError(
            f"--out {out} lies in the documents and would be indexed; choose another."
        )
    learns, given = SpanReaderConfig(facts=facts), list(questions)
    reader = train_reader(learns, documents, base, out / "reader", questions=given)
    encoder = train_encoder(EncoderConfig(), documents, base, out / "encoder")
    place, ranking = out / "reranker", RerankerConfig()
    ranks = train_reranker(ranking, documents, base, place, questions=given)
    models = IndexConfig(
        encoder=TextEncoderConfig(path=str(encoder.path)),
        reader=ReaderChoice(path=str(reader.path)),
    )
    asked, words = CalibrationConfig(made=made), out / "words"
    index(documents, words)
    same = made_questions(open_index(words), asked.made, asked.unanswered, asked.seed)
    if _keeps_reranker(documents, models, ranks, same, out):
        models = _with_reranker(models, ranks)
    for name, config in (("words", IndexConfig()), ("index", models)):
        index(documents, out / name, config)
        record.log(str(calibrate(asked, out / name)))
        rows, report = out / f"{name}.jsonl", out / f"{name}-report"
        _answer_all(open_index(out / name), same, rows)
        grounding(rows, out=report, config=GroundingConfig(), name=name)
    try:
        against, verdict = out / "words-report", out / "verdict"
        gate(out / "index-report", against=against, margin=MARGIN, out=verdict)
    except GateFailed as failure:
        record.log(f"The models do not pass: {failure}")
        raise
    return f'Done; ask: groundup ask "…?" --index {out / "index"} --risk 10%'


def _with_reranker(models: IndexConfig, reranker: Artifact) -> IndexConfig:
    return models.model_copy(update={"reranker": RerankerChoice(path=str(reranker.path))})


def _keeps_reranker(
    documents: Path, models: IndexConfig, reranker: Artifact, questions: Sequence[MadeQuestion],
    out: Path,
) -> bool:  # fmt: skip
    """Whether the right passages rank no lower with a reranker, by a verdict that stays."""
    verdict = out / "verdict-reranker"
    if not (verdict / MANIFEST).is_file():
        answered = [each for each in questions if each.answers]
        made, ranks = list[Artifact](), list[list[float]]()
        for config in (models, _with_reranker(models, reranker)):  # nothing is encoded twice
            made.append(index(documents, out / "index", config))
            opened = open_index(out / "index")
            ranks.append([_reciprocal_rank(opened, each) for each in answered])
        gained = paired_difference(ranks[1], ranks[0], limits=(-1, 1))
        name = f"reciprocal rank of the right passage, {len(answered)} questions"
        check = check_requirement(name, gained, loses_at_most(MARGIN))
        write_verdict([check], reranker, made[0], out=verdict)
        means = " to ".join(f"{sum(each) / len(each):.3f}" for each in ranks)
        record.log(f"The reranker changes the mean {name}, from {means}.")
    found = read_verdict(Artifact.open(verdict, "verdict"))
    record.log(f"{found}" if found.passed else f"The index goes without the reranker: {found}")
    return found.passed


def _reciprocal_rank(index: OpenIndex, asked: MadeQuestion) -> float:
    """1 / the place of the first passage that is of the right document and has the answer."""
    found = search_passages(index, asked.text, RANKED)
    places = (
        1 / place for place, passage in enumerate(found, 1)
        if passage.quote.path == asked.path and asked.answers[0] in passage.quote.text
    )  # fmt: skip
    return next(places, 0.0)


def _answer_all(index: OpenIndex, questions: Sequence[MadeQuestion], out: Path) -> None:
    """Write the answers of an index to questions, as rows of `grounding`."""
    rows = list[str]()
    for asked in questions:
        answer = answer_to_json(answer_question(index, asked.text))
        labels = {"reference": asked.answers[0]} if asked.answers else {"unanswerable": True}
        rows.append(json.dumps(answer | labels, ensure_ascii=False))
    write_text(out, "".join(f"{row}\n" for row in rows))
