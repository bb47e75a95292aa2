"""Critique and revision: a model criticises its own answer by a principle, then rewrites it.

The revised answer is chosen before the original one by a vote of `simulated:revision …`, with the
critique as its reason; judges and people may vote too, as on other comparisons.
Source: Bai et al. 2022, arXiv:2212.08073, section 3.1. Departs: no examples, one revision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from groundup.core import Artifact, Conversation, Draft, Judgement, Sampling, produce
from groundup.generate import open_language_model
from groundup.measure import SIMULATED, record_vote
from groundup.prompt import Datum, Template

from ..examples.layouts import KeptRows, digest_of, keep_rows, read_answer, read_prompt
from .asking import Asker, AskingConfig
from .comparisons import (
    AnswerComparison,
    model_name,
    model_parents,
    parse_comparison,
    reject,
    write_comparisons,
)
from .judge import read_principles, turns_as_data

PROMPT = Path(__file__).with_name("revision.toml")
CRITIQUE = "Say in one or two sentences where the answer falls short of the principle."
REVISION = "Write the answer anew so that the critique no longer applies, and nothing else."
ORIGINS = "original", "revised"


class ReviseConfig(AskingConfig):
    """How a model answers, criticises and revises."""

    temperature: float = Field(default=0.0, ge=0)
    """Of all that it writes."""
    seed: int = 0
    """Of the sampling, and of the principle that is drawn for each prompt."""
    principles: tuple[str, ...] = ()
    """Set by the stage."""
    source: str = ""
    """Hash of the files, and the server; set by the stage."""


def revise_answers(
    config: ReviseConfig, files: list[Path], out: Path, *, model: str,
    principles: Path | None = None,
) -> Artifact:  # fmt: skip
    """Let a model answer prompts, criticise its answers by principles and revise them.

    files       JSON lines with a prompt, and a completion to revise in place of the model's answer
    model       a directory, of an adapter too, or http://HOST/v1#NAME
    principles  text with a principle a line; default: the package's

    Raises DataError for a missing file and if no row can be used, EndpointError if a server fails.
    """
    parents = model_parents(model)
    source = " ".join([digest_of(files, "prompts"), *([] if parents else [model])])
    config = config.model_copy(update={"source": source, "principles": read_principles(principles)})
    name = f"{SIMULATED}revision {model_name(model)}"

    def write(draft: Draft) -> None:
        found = keep_rows(files, lambda row: [_parse(row)])
        opened = open_language_model(model, config.endpoint).model
        asker = Asker(opened, draft.scratch, config.accept_failures)
        found, critiques = _revise(config, asker, found)
        rows = write_comparisons(draft, found)
        for row, critique in zip(rows, critiques, strict=True):
            vote = Judgement(name, "", row.id, "choice", "b", critique, shown=row.names)
            record_vote(draft.path, vote)

    return produce(out, kind="comparisons", stage="preferences-revise", version=1, config=config,
                   parents=parents, write=write)  # fmt: skip


def _parse(row: Any) -> AnswerComparison:
    """A prompt, with the answer to revise as its only one if it has one."""
    if isinstance(row, dict) and "completion" in row:
        answer = read_answer(row["completion"], "completion")
        return AnswerComparison(read_prompt(row.get("prompt")), (answer,))
    return parse_comparison({"prompt": row.get("prompt")} if isinstance(row, dict) else row, True)


def _revise(
    config: ReviseConfig, asker: Asker, found: KeptRows[AnswerComparison]
) -> tuple[KeptRows[AnswerComparison], list[str]]:
    """The rows with original and revised answers, and a critique for each."""
    sampling = Sampling(
        temperature=config.temperature, max_tokens=config.max_tokens, seed=config.seed
    )
    principles, template = config.principles, Template.read(PROMPT)
    random = np.random.default_rng(config.seed)
    drawn = [principles[at] for at in random.integers(len(principles), size=len(found.rows))]
    kept = dict(enumerate(found.rows))

    def prompt(at: int, question: str, critique: Sequence[str] = ()) -> Conversation:
        return template.fill({
            "principle": [Datum(drawn[at])], "turn": turns_as_data(kept[at].prompt),
            "answer": [Datum(original[at])], "critique": [Datum(each) for each in critique],
            "question": question,
        })  # fmt: skip

    original = {at: row.answers[0] for at, row in kept.items() if row.answers}
    unanswered = {at: row.prompt for at, row in kept.items() if not row.answers}
    original |= asker.ask("answer", unanswered, sampling)
    critiques = asker.ask("critique", {at: prompt(at, CRITIQUE) for at in original}, sampling)
    asked = {at: prompt(at, REVISION, [text]) for at, text in critiques.items()}
    revised = asker.ask("revision", asked, sampling)
    rows, reasons = dict[int, AnswerComparison](), list[str]()
    for at, row in kept.items():
        if at not in asker.failed and original[at].strip() != revised[at].strip():
            pair = original[at], revised[at]
            rows[at] = row._replace(answers=pair, origins=ORIGINS)
            reasons.append(critiques[at])
            continue
        reject(found, row, asker.failed.get(at, "Its revised answer equals the original one."))
    return found.with_rows(rows), reasons
