"""What a critic adds to the rules of `groundup verify`: made claims, and 200 by a person.

    python -m benchmarks.retrieve.critic --critic DIR

Development: made claims (retrieve/readers/claims.py) of folders of benchmarks/data/ask, some of
each. What rules support is refused below the largest log-odds that refuse at most ALLOWED of the
true ones, what rules call nowhere supported above the smallest that support at most ALLOWED of the
false ones. Then the 200 sentences of claims.py, once, with those thresholds and with those of
retrieve/verification. Results: results/critic.json.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import table
from benchmarks.retrieve.claims import DATA as CLAIMS
from benchmarks.retrieve.strangers import DATA
from groundup.documents import Record, read_folder
from groundup.measure import auroc
from groundup.retrieve import PairScorer, index, open_index
from groundup.retrieve.readers.claims import document_claims
from groundup.retrieve.verification import texts as verification

FOLDERS = ("dairy", "marina", "library", "boathouse", "museum", "kiln", "station", "bottles")
EACH, ALLOWED, SEED = 30, 0.02, 20261201
"""Claims of a folder; share of right verdicts that a threshold may turn."""


class Row(NamedTuple):
    """A claim, what the rules say of it, and the critic's log-odds; None where it does not read."""

    is_true: bool
    kind: str
    support: str
    log_odds: float | None


def main() -> None:
    """Print and keep what the critic adds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--critic", type=Path, required=True)
    path = parser.parse_args().critic
    critic, begun = PairScorer.open(path), time.perf_counter()
    made = list[Row]()
    for name in FOLDERS:
        folder = DATA / name / "documents"
        documents = [each for each in read_folder(folder) if isinstance(each, Record)]
        claims = [(c.first, c.is_right, c.kind) for c in document_claims(documents, SEED)
                  if c.kind != "unrelated"]  # fmt: skip
        drawn = random.Random(SEED)
        true = [each for each in claims if each[1] and each[2] != "verbatim"]
        false = [each for each in claims if not each[1]]
        chosen = [drawn.sample(side, min(EACH // 2, len(side))) for side in (true, false)]
        made += rows_of(folder, [*chosen[0], *chosen[1]], critic)
    lines = (CLAIMS / "claims.jsonl").read_text().splitlines()
    asked = [(r["claim"], r["true"], r["kind"]) for r in map(json.loads, lines)]
    people = rows_of(CLAIMS / "documents", asked, critic)
    own = (verification.REJECTED, verification.SUPPORTED)
    found: dict[str, Any] = {"seconds": round(time.perf_counter() - begun)}
    rejected, supported = chosen_thresholds(made)
    ways = {"rules": (-1e9, 1e9), "in use": own, "chosen": (rejected, supported),
            "refusing alone": (rejected, 1e9), "supporting alone": (-1e9, supported)}  # fmt: skip
    for name, rows in (("made", made), ("strangers", people)):
        read = [row for row in rows if row.log_odds is not None and row.support != "quoted"]
        marks = [float(row.support != "nowhere") for row in read]
        rules = auroc(marks, [row.is_true for row in read])
        found[name] = {"read": len(read), "auroc": area(read), "rules auroc": round(rules, 3)}
        for way, thresholds in ways.items():
            found[name][way] = {"thresholds": thresholds, **verdicts(rows, *thresholds)}
        print(name, json.dumps(found[name], indent=1))
    by_kind = {
        kind: [row for row in people if row.kind == kind] for kind in {r.kind for r in people}
    }
    found["kinds"] = {
        f"{kind} ({own[0].is_true})": f"{median(own):.1f} of {len(own)}"
        for kind, own in sorted(by_kind.items())
    }
    print(json.dumps(found["kinds"], indent=1))
    table.keep_part("critic", path.name, found)


def rows_of(folder: Path, claims: Iterable[tuple[str, bool, str]], critic: PairScorer) -> list[Row]:
    """What rules and critic say of claims about a folder."""
    rows, odds = list[Row](), list[float | None]()
    best = critic.best_support

    def keep(claim: str, texts: Sequence[Any]) -> Any:
        found = best(claim, texts)
        odds.append(found and found.log_odds)
        return None  # the rules' verdict stands

    with tempfile.TemporaryDirectory() as out:
        index(folder, Path(out) / "index")
        opened = open_index(Path(out) / "index")
        critic.best_support = keep  # type: ignore[method-assign]
        for claim, is_true, kind in claims:
            odds.clear()
            checked = verification._check_sentence(opened, claim, critic)
            rows.append(Row(is_true, kind, checked.support, odds[0] if odds else None))
        critic.best_support = best  # type: ignore[method-assign]
    return rows


def chosen_thresholds(rows: Sequence[Row]) -> tuple[float, float]:
    """Log-odds below which to refuse, and above which to support."""
    read = [row for row in rows if row.log_odds is not None]
    kept = [row.log_odds or 0.0 for row in read if row.is_true and row.support == "supported"]
    away = [row.log_odds or 0.0 for row in read if not row.is_true and row.support == "nowhere"]
    low, high = np.quantile(kept, ALLOWED), np.quantile(away, 1 - ALLOWED)
    return round(float(low), 2), round(float(high), 2)


def verdicts(rows: Sequence[Row], rejected: float, supported: float) -> dict[str, str]:
    """True ones kept and false ones caught by rules and critic."""

    def is_kept(row: Row) -> bool:
        if row.log_odds is None or row.support == "quoted":
            return row.support != "nowhere"
        return row.log_odds > supported if row.support == "nowhere" else row.log_odds >= rejected

    true, false = ([row for row in rows if row.is_true == side] for side in (True, False))
    return {
        "true kept": f"{sum(map(is_kept, true))} of {len(true)}",
        "false caught": f"{sum(not is_kept(row) for row in false)} of {len(false)}",
    }


def area(rows: Sequence[Row]) -> float:
    """AUROC of the log-odds."""
    return round(auroc([row.log_odds or 0.0 for row in rows], [row.is_true for row in rows]), 3)


def median(rows: Sequence[Row]) -> float:
    """Median log-odds of what was read."""
    return float(np.median([row.log_odds for row in rows if row.log_odds is not None] or [np.nan]))


if __name__ == "__main__":
    main()
