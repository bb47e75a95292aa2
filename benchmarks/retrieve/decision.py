"""When does a place found by meaning answer? Fits groundup/retrieve/encoders/decision.json.

Questions of authors who had not seen the code, on the folders of benchmarks/data/ask whose
documents are here. Of each question that words alone refuse: is the nearest place by meaning right,
by its features? Printed are weights fitted on all folders but one, asked of that one: how many
answers are right, how many wrong, how many near misses are answered. Then the weights of all
folders are written.

    python -m benchmarks.retrieve.decision --encoder DIRECTORY
    python -m benchmarks.retrieve.decision --encoder DIRECTORY --write --threshold .4

Results: results/decision.json.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import table
from benchmarks.retrieve.strangers import DATA, Shown, is_right
from groundup.core import write_json
from groundup.retrieve import IndexConfig, index, open_index
from groundup.retrieve.answers.answer import _answer, weigh_terms
from groundup.retrieve.encoders import meaning
from groundup.retrieve.models import TextEncoderConfig

WEIGHTS = Path(meaning.__file__).with_name("decision.json")
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
PENALTY, STEPS, RATE = 0.003, 4_000, 0.3
"""L2 penalty of standardised weights; steps and rate of gradient descent. Own choices."""


class Row(NamedTuple):
    """A question that words alone refuse."""

    folder: str
    kind: str
    features: tuple[float, ...]
    is_right: bool
    """Whether the nearest place by meaning answers it."""


def main() -> None:
    """Print how the decision fares on folders that it was not fitted on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--encoder", type=Path, required=True, help="directory of a text encoder")
    parser.add_argument("--write", action="store_true", help="write decision.json")
    parser.add_argument("--threshold", type=float, default=0.4)
    arguments = parser.parse_args()
    rows, kinds = collect(arguments.encoder)
    scores, right = left_out(rows), np.array([row.is_right for row in rows])
    names = np.array([row.kind for row in rows])
    print(f"{len(rows)} of {sum(kinds.values())} questions are refused by words alone")
    found = []
    for threshold in THRESHOLDS:
        taken = scores >= threshold
        counts = {kind: int((taken & right & (names == kind)).sum()) for kind in kinds}
        wrong = int((taken & ~right & (names != "near")).sum())
        near = int((taken & (names == "near")).sum())
        found.append({"threshold": threshold, **counts, "wrong": wrong, "near": near})
        print(f"from {threshold}: right {counts}, wrong {wrong}, near misses answered {near}")
    parts = {"refused": len(rows), "questions": kinds, "left_out": found}
    table.keep_part("decision", arguments.encoder.resolve().name, parts)
    if arguments.write:
        write_json(WEIGHTS, weights_to_json(rows, arguments.threshold))


def collect(encoder: Path) -> tuple[list[Row], dict[str, int]]:
    """The refused questions of all folders with documents, and how many of each class there are."""
    rows, kinds = list[Row](), dict[str, int]()
    for folder in sorted(path.parent for path in DATA.glob("*/documents")):
        lines = (folder / "questions.jsonl").read_text().splitlines()
        with tempfile.TemporaryDirectory() as out:
            config = IndexConfig(encoder=TextEncoderConfig(path=str(encoder)))
            index(folder / "documents", Path(out) / "index", config)
            opened = open_index(Path(out) / "index")
            for question in map(json.loads, lines):
                kinds[question["class"]] = kinds.get(question["class"], 0) + 1
                if row := refused_row(opened, folder.name, question):
                    rows.append(row)
    return rows, kinds


def refused_row(opened, folder: str, question) -> Row | None:
    """The features of a question that words alone refuse; None for others."""
    text = question["question"]
    answer = _answer(opened, text, 1)
    if not answer.refused:
        return None
    wanted = weigh_terms(opened, text)
    meant = meaning.nearest_by_meaning(opened, text, wanted, answer.details["score"])
    if meant is None:
        return None
    passage = meant.span.hit.passage
    shown = Shown(passage.path, passage.text[meant.span.start : meant.span.end])
    right = question["class"] != "near" and is_right(question, [shown])
    return Row(folder, question["class"], meant.features, right)


def left_out(rows: list[Row]) -> np.ndarray:
    """The probability of each row by weights fitted on the other folders."""
    features = np.array([row.features for row in rows])
    right = np.array([row.is_right for row in rows], float)
    folders = np.array([row.folder for row in rows])
    scores = np.zeros(len(rows))
    for folder in set(folders):
        others, own = folders != folder, folders == folder
        means, deviations, weights = fit(features[others], right[others])
        scaled = (features[own] - means) / deviations
        scores[own] = 1 / (1 + np.exp(-(scaled @ weights[:-1] + weights[-1])))
    return scores


def fit(features: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, deviations and weights (the intercept last) of a logistic regression."""
    means, deviations = features.mean(0), features.std(0) + 1e-9
    scaled = np.c_[(features - means) / deviations, np.ones(len(features))]
    weights = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        errors = 1 / (1 + np.exp(-scaled @ weights)) - right
        weights -= RATE * (scaled.T @ errors / len(right) + PENALTY * np.r_[weights[:-1], 0])
    return means, deviations, weights


def weights_to_json(rows: list[Row], threshold: float) -> dict[str, object]:
    """decision.json of all rows."""
    means, deviations, weights = fit(
        np.array([row.features for row in rows]), np.array([row.is_right for row in rows], float)
    )
    columns = zip(meaning.FEATURES, means, deviations, weights[:-1], strict=True)
    return {
        "source": f"benchmarks.retrieve.decision on {len({row.folder for row in rows})} folders",
        "features": [
            {"name": n, "mean": round(m, 4), "deviation": round(d, 4), "weight": round(w, 4)}
            for n, m, d, w in columns
        ],
        "intercept": round(float(weights[-1]), 4),
        "threshold": threshold,
    }


if __name__ == "__main__":
    main()
