"""What each part of `ask` adds: the strangers' questions with one part off at a time.

    python -m benchmarks.retrieve.ablation NAME=INDEX...

NAME is a folder of benchmarks/data/ask, INDEX what `groundup index` made of it. A part's gain is
how many more questions are right with it than without it, over all folders, with a 95 % interval of
the share (bootstrap over questions). Results: results/ablation.json.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks import table
from benchmarks.retrieve.strangers import CLASSES, DATA, is_right, ours
from groundup.core import write_json
from groundup.documents.readers import any_file
from groundup.retrieve import lexical, open_index, search
from groundup.retrieve.answers import answer, quote
from groundup.retrieve.chunks import passage_text
from groundup.retrieve.chunks.passage_text import PassageText
from groundup.retrieve.wording import question

PARTS: dict[str, list[tuple[Any, str, Any]]] = {
    "titles count more in the search": [(lexical, "HEADING_BOOST", 0.0)],
    "exact names in the search": [(lexical, "NAME_BOOST", 0.0)],
    "the passage's rank in the order of quotes": [(answer, "BM25_WEIGHT", 0.0)],
    "credit for titles": [(quote, "TITLE_CREDIT", 0.0)],
    "credit for the passage around": [
        (quote, "PASSAGE_CREDIT", 0.0), (question, "PASSAGE_CREDIT", 0.0)],
    "names must be near": [(question, "MISSING_NAME", 1.0)],
    "a property must be near": [(question, "MISSING_PROPERTY", 1.0)],
    "sentences of another thing": [(quote, "NEW_SUBJECT", 1.0)],
    "verbs that say little": [(question, "GENERIC_SHARE", 1.0)],
    "what something is": [(passage_text, "DEFINITION_BONUS", 0.0)],
    "numbers are what their column says": [(PassageText, "has_quantity", lambda self, at, q: (
        q.measure.is_in(self.texts[at], self.language)))],
    "columns that a function word heads": [(PassageText, "credits_of", lambda self, at, wanted: (
        wanted.credits_for(self.terms[at])))],
    "blocks of settings": [(passage_text, "SETTINGS", (".none",))],
    "verbs that a quantity answers": [(question.Measure, "lists", lambda self, kind, words: (
        False))],
    "quantities that are asked for": [(question, "_measure_of", lambda text: question.Measure())],
    "runs of sentences": [(quote, "RUN_UNITS", 1)],
    "on to the last mention": [(quote, "_last_mention", lambda units, credits, first, last: last)],
    "the rest of the paragraph": [(quote, "PARAGRAPH_CHARACTERS", 0)],
    "heads of rows and items": [(PassageText, "heads", property(
        lambda self: [None] * len(self.units)))],
    "entries for themselves": [(PassageText, "of_others", lambda self, wanted: [
        ()] * len(self.units))],
    "sections for themselves": [(PassageText, "sections", property(
        lambda self: [()] * len(self.units)))],
    "empty cells": [(any_file, "EMPTY_CELL", re.compile("(?!)"))],
    "numbers of what they stand behind": [(question, "_numbered_word", lambda *given: "")],
    "lengths along the axis that is asked for": [(question, "_axes", dict)],
    "parts of a question": [(question, "_split_parts", lambda terms, parts, texts: ())],
    "signatures and defined words": [(quote, "LABEL_BONUS", 0.0)],
    "words in the quote rather than in titles": [(quote, "DIRECT_BONUS", 0.0)],
    "sentences that stand alone": [(quote, "DEPENDENT_COST", 0.0)],
    "short quotes": [(quote, "UNIT_COST", 0.0), (quote, "LENGTH_COST", 0.0)],
    "did you mean": [(search.OpenIndex, "meant_word", lambda self, term: None)],
    "a higher threshold without a word": [(answer, "MISSING_THRESHOLD", answer.THRESHOLD)],
    "refusing": [(answer, "THRESHOLD", 1e-9), (answer, "MISSING_THRESHOLD", 1e-9)],
}  # fmt: skip
"""What is changed to turn a part off."""
DRAWS, SEED = 10_000, 20261129


def main() -> None:
    """Print and keep the gain of every part, by class of question."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", metavar="NAME=INDEX")
    opened, questions = [], []
    for word in parser.parse_args().folders:
        name, _, path = word.partition("=")
        lines = (DATA / name / "questions.jsonl").read_text(encoding="utf-8").splitlines()
        opened.append(open_index(Path(path)))
        questions.append([json.loads(line) for line in lines])
    kinds = np.array([each["class"] for folder in questions for each in folder])

    def right() -> np.ndarray:
        pairs = zip(opened, questions, strict=True)
        return np.array(
            [is_right(q, ours(index)(q["question"])) for index, qs in pairs for q in qs]
        )

    whole = right()
    rows: list[dict[str, Any]] = [{"part": "all of it", **_shares(whole, kinds)}]
    print(json.dumps(rows[0]))
    for part, changes in PARTS.items():
        with without(changes):
            rows.append({"part": part, **_gains(whole, right(), kinds)})
        print(json.dumps(rows[-1]), flush=True)
    found = {"machine": table.machine_class(), "questions": len(kinds), "parts": rows}
    write_json(table.RESULTS / "ablation.json", found)


@contextmanager
def without(changes: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
    """Context in which a part of the search is off."""
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(patch.object(owner, name, value))
        yield


def _shares(right: np.ndarray, kinds: np.ndarray) -> dict[str, str]:
    return {name: f"{right[kinds == name].sum()} of {(kinds == name).sum()}" for name in CLASSES}


def _gains(whole: np.ndarray, less: np.ndarray, kinds: np.ndarray) -> dict[str, list[float]]:
    """By class, and over all: questions that the part gains, and the interval of the share."""
    gains = {}
    for name in ("all", *CLASSES):
        chosen = np.ones(len(kinds), bool) if name == "all" else kinds == name
        difference = whole[chosen].astype(float) - less[chosen]
        draws = np.random.default_rng(SEED).choice(difference, (DRAWS, len(difference)))
        low, high = np.quantile(draws.mean(axis=1), (0.025, 0.975))
        gains[name] = [int(difference.sum()), round(float(low), 3), round(float(high), 3)]
    return gains


if __name__ == "__main__":
    main()
