"""From documents to answers that are proved, refused or promised, and a verdict on it.

    documents ─ encoder, reader ─ index ─ calibration ─ answers ─ report ─ verdict
              └─────────────────── index by words ────── answers ─ report ─┘ baseline

The encoder learns from pairs of the documents, the reader from files of questions, the documents
and made facts. Both indexes are asked the same questions, made of the documents: answered ones and
near misses. The verdict: with models no measure is worse by more than MARGIN than by words alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from groundup.core import ConfigError, GateFailed, record, write_text
from groundup.evaluate import GroundingConfig, gate, grounding
from groundup.retrieve import (
    CalibrationConfig,
    EncoderConfig,
    IndexConfig,
    MadeQuestion,
    OpenIndex,
    ReaderChoice,
    SpanReaderConfig,
    TextEncoderConfig,
    answer_question,
    answer_to_json,
    calibrate,
    index,
    made_questions,
    open_index,
    train_encoder,
    train_reader,
)

MARGIN = 0.05
"""Share of the answers by which models may be worse than words in any measure."""


def grounded(
    *,
    documents: Path,
    base: Path,
    questions: tuple[Path, ...] = (),
    out: Path = Path("runs/grounded"),
    facts: int = 8_000,
    made: int = 400,
) -> str:
    """Train an encoder and a reader for a folder, index it, calibrate, and judge the answers.

    documents  folder to be asked
    base       an encoder such as MiniLM, which both are trained from
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
    learns = SpanReaderConfig(facts=facts)
    reader = train_reader(learns, documents, base, out / "reader", questions=list(questions))
    encoder = train_encoder(EncoderConfig(), documents, base, out / "encoder")
    models = IndexConfig(
        encoder=TextEncoderConfig(path=str(encoder.path)),
        reader=ReaderChoice(path=str(reader.path)),
    )
    asked, same = CalibrationConfig(made=made), list[MadeQuestion]()
    for name, config in (("words", IndexConfig()), ("index", models)):
        index(documents, out / name, config)
        record.log(str(calibrate(asked, out / name)))
        opened = open_index(out / name)
        same = same or made_questions(opened, asked.made, asked.unanswered, asked.seed)
        _answer_all(opened, same, out / f"{name}.jsonl")
        grounding(
            out / f"{name}.jsonl", out=out / f"{name}-report", config=GroundingConfig(), name=name
        )
    try:
        report, verdict = out / "index-report", out / "verdict"
        gate(report, against=out / "words-report", margin=MARGIN, out=verdict)
    except GateFailed as failure:
        record.log(f"The models do not pass: {failure}")
        raise
    return f'Done; ask: groundup ask "…?" --index {out / "index"} --risk 10%'


def _answer_all(index: OpenIndex, questions: Sequence[MadeQuestion], out: Path) -> None:
    """Write the answers of an index to questions, as rows of `grounding`."""
    rows = list[str]()
    for one in questions:
        answer = answer_to_json(answer_question(index, one.text))
        labels = {"reference": one.answers[0]} if one.answers else {"unanswerable": True}
        rows.append(json.dumps(answer | labels, ensure_ascii=False))
    write_text(out, "".join(f"{row}\n" for row in rows))
