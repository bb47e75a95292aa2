"""Does `groundup verify --against` tell true sentences from false ones?

`planted`: 200 sentences about ten documents, by an author who had not seen the code: half follow
from one sentence, clause or row of theirs (reordered, shortened, passive …), half are made false
(numbers, subjects and roles swapped, negations, limits and conditions dropped, the wrong row).
`unseen`: 80 about five modules' documentation, written before the rules were changed last, with
sources named and conditions. `harder`: 120 about eight documents, written before the code was seen:
true ones that are near to their line, paraphrased or reworded, and false ones of one wrong word or
scope. A true one is kept if it is quoted or supported, a false one caught if
it is nowhere.

    python -m benchmarks.retrieve.claims
    python -m benchmarks.retrieve.claims --show      with every wrong one

Results: results/claims.json.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import table
from groundup.core import write_json
from groundup.measure import wilson_interval
from groundup.retrieve import check_text, index

DATA = Path(__file__).resolve().parents[1] / "data" / "claims"


def main() -> None:
    """Print how many sentences of each set and kind are told rightly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--show", action="store_true", help="show what is told wrongly")
    show = parser.parse_args().show
    sets = {"planted": DATA, "unseen": DATA / "unseen", "harder": DATA / "harder"}
    write_json(
        table.RESULTS / "claims.json", {name: measure(sets[name], name, show) for name in sets}
    )


def measure(folder: Path, name: str, show: bool) -> dict[str, Any]:
    """How many sentences of a folder's claims are told rightly, by kind."""
    rows = [json.loads(line) for line in (folder / "claims.jsonl").read_text().splitlines()]
    right, every = Counter[tuple[bool, str]](), Counter[tuple[bool, str]]()
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "index"
        index(folder / "documents", out)
        for row in rows:
            (sentence, *_) = check_text(row["claim"], out).sentences
            kind, is_found = (row["true"], row["kind"]), sentence.support != "nowhere"
            every[kind] += 1
            right[kind] += is_found == row["true"]
            if show and is_found != row["true"]:
                print(f"{row['kind']}: {sentence.support}: {row['claim']}")
    found = {}
    for is_true, what in ((True, "true kept"), (False, "false caught")):
        kinds = [kind for kind in every if kind[0] == is_true]
        number, of = sum(right[kind] for kind in kinds), sum(every[kind] for kind in kinds)
        interval = wilson_interval(number, of)
        print(f"{name}, {what}: {number} of {of} [{interval.low:.2f}, {interval.high:.2f}]")
        for kind in sorted(kinds):
            print(f"  {kind[1]:20s} {right[kind]} of {every[kind]}")
        parts = {kind[1]: [right[kind], every[kind]] for kind in sorted(kinds)}
        found[what] = {"right": number, "of": of, "kinds": parts}
    return found


if __name__ == "__main__":
    main()
