"""Does `ask --risk` keep its promise on people's questions?

Every folder of benchmarks/data/ask whose documents are here is indexed and calibrated on questions
made of itself, with other folders as its prior and never itself. Then the questions of its author
are asked: what share of the answers is wrong, how many of those that the text answers in its words
are answered, how many near misses are refused. A promise is broken on a folder where the lower
bound of its wrong answers is above the risk.

    python -m benchmarks.retrieve.dial --reader DIRECTORY                by a reader's score
    python -m benchmarks.retrieve.dial                                   by words alone
    python -m benchmarks.retrieve.dial --reader DIRECTORY --fit          writes the package's prior
    ... --outcomes FILE                                                  keeps what became of each

Results: results/dial.json.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import table
from benchmarks.retrieve.strangers import DATA, Shown, is_right
from groundup.core import write_json
from groundup.measure import auroc, wilson_interval
from groundup.retrieve import IndexConfig, index, open_index
from groundup.retrieve.calibration import calibrate as stage
from groundup.retrieve.calibration.calibrate import CalibrationConfig, Outcome, promises_of
from groundup.retrieve.calibration.made import made_questions
from groundup.retrieve.models import ReaderChoice

RISKS = (0.05, 0.1, 0.2)
PRIOR = Path(stage.__file__).with_name("prior.json")
GRIDS = {"reader": np.arange(-8, 12.01, 0.25), "words": np.arange(0.6, 1.0, 0.02)}


class Asked(NamedTuple):
    """A question of a person, and what became of it."""

    kind: str
    score: float | None
    is_right: bool


class Folder(NamedTuple):
    """What became of the questions made of a folder, and of its author's."""

    name: str
    made: list[Outcome]
    asked: list[Asked]


def main() -> None:
    """Print and keep what the dial does on each folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--reader", type=Path, help="directory of a reader")
    parser.add_argument("--outcomes", type=Path, help="file that keeps outcomes, or has them")
    parser.add_argument("--fit", action="store_true", help="write the prior of all folders")
    arguments = parser.parse_args()
    by = "reader" if arguments.reader else "words"
    kept = arguments.outcomes
    if kept and kept.is_file():
        folders = [from_row(row) for row in json.loads(kept.read_bytes())]
    else:
        places = sorted(path.parent for path in DATA.glob("*/documents"))
        folders = [measure(place, arguments.reader) for place in places]
        if kept:
            write_json(kept, folders)
    found = {
        f"{risk:.0%}": [at_risk(each, folders, by, risk) for each in folders] for risk in RISKS
    }
    for risk, rows in found.items():
        print(json.dumps({risk: summary(rows)}))
        for row in rows:
            print("  ", json.dumps(row))
    totals = {risk: summary(rows) for risk, rows in found.items()}
    known = {"auroc": round(area(folders), 3)}
    print(json.dumps(known))
    table.keep_part("dial", by, known | {"totals": totals, "folders": found})
    if arguments.fit:
        own = json.loads(PRIOR.read_bytes()) if PRIOR.is_file() else {}
        write_json(PRIOR, own | {by: prior_of(folders, by)})


def from_row(row: Sequence[Any]) -> Folder:
    """A folder as its file has it."""
    return Folder(row[0], [Outcome(*each) for each in row[1]], [Asked(*each) for each in row[2]])


def measure(place: Path, reader: Path | None) -> Folder:
    """Ask the questions made of a folder, and its author's."""
    with tempfile.TemporaryDirectory() as work:
        choice = ReaderChoice(path=str(reader)) if reader else ReaderChoice()
        out = index(place / "documents", Path(work) / "i", IndexConfig(reader=choice)).path
        opened, config = open_index(out), CalibrationConfig()
        made = made_questions(opened, config.made, config.unanswered, config.seed)
        outcomes = stage.ask_all(opened, [("made", each) for each in made])
        rows = [json.loads(each) for each in (place / "questions.jsonl").read_text().splitlines()]
        answers, asked = stage.answer_all(opened, [row["question"] for row in rows]), list[Asked]()
        for row, (answer, score) in zip(rows, answers, strict=True):
            shown = [Shown(claim.quotes[-1].path, claim.text) for claim in answer.claims]
            right = bool(shown) and row["class"] != "near" and is_right(row, shown)
            asked.append(Asked(row["class"], score, right))
    print(place.name, len(opened.lexical), "passages", len(made), "made", flush=True)
    return Folder(place.name, outcomes, asked)


def prior_of(folders: Sequence[Folder], by: str) -> list[tuple[float, float]]:
    """Thresholds and the share of wrong answers above each, over all folders."""
    scored = [each for folder in folders for each in folder.asked if each.score is not None]
    rows = list[tuple[float, float]]()
    for threshold in GRIDS[by]:
        above = [each for each in scored if (each.score or 0.0) >= threshold]
        wrong = sum(not each.is_right for each in above)
        rows.append((round(float(threshold), 3), round((wrong + 0.5) / (len(above) + 1), 4)))
    return rows


def at_risk(folder: Folder, folders: Sequence[Folder], by: str, risk: float) -> dict[str, Any]:
    """What a promise does on a folder, with the others as its prior."""
    prior = prior_of([each for each in folders if each.name != folder.name], by)
    kept = [p for p in promises_of(folder.made, prior) if p.risk <= risk]
    threshold = min((promise.threshold for promise in kept), default=float("inf"))
    above = [each for each in folder.asked if each.score is not None and each.score >= threshold]
    wrong = sum(not each.is_right for each in above)
    answerable = [each for each in folder.asked if each.kind in ("words", "two")]
    near = [each for each in folder.asked if each.kind == "near"]
    return {
        "folder": folder.name, "made": len(folder.made),
        "threshold": None if not kept else threshold, "answers": len(above), "wrong": wrong,
        "low": round(wilson_interval(wrong, len(above)).low, 4) if above else 0.0,
        "answerable": len(answerable),
        "right": sum(each.is_right for each in above if each.kind in ("words", "two")),
        "near": len(near), "near_answered": sum(each.kind == "near" for each in above),
    }  # fmt: skip


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All folders together."""
    names = ("answers", "wrong", "answerable", "right", "near", "near_answered")
    total = {name: sum(row[name] for row in rows) for name in names}
    risk = wilson_interval(total["wrong"], max(1, total["answers"]))
    return total | {
        "risk": [round(each, 4) for each in risk[:3]],
        "coverage": round(total["right"] / max(1, total["answerable"]), 4),
        "refused": round(1 - total["near_answered"] / max(1, total["near"]), 4),
        "without_promise": sum(row["threshold"] is None for row in rows),
    }


def area(folders: Sequence[Folder]) -> float:
    """How well the score tells right answers from wrong ones."""
    scored = [each for folder in folders for each in folder.asked if each.score is not None]
    return auroc([each.score or 0.0 for each in scored], [each.is_right for each in scored])


if __name__ == "__main__":
    main()
