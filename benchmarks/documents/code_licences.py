"""Licences beside scancode: the same real files, the same question, each difference told.

    python -m benchmarks.documents.code_sources FOLDER              fetch packages (see there)
    SCANCODE/bin/python -m benchmarks.documents.code_licences ask FOLDER --seed 1 --count 1000
    python -m benchmarks.documents.code_licences compare FOLDER --seed 1 [--show 30]

Files are drawn package by package in turns, so no large package outweighs the others; the files of
seed 1 were for development, those of seed 2 leave them out and gave the final figure. Agreement is
of a file's set of SPDX ids, `-only` and `-or-later` told apart, with what names no licence left out
on both sides (scancode's LicenseRef- of unknown references, warranties, contributor agreements,
`proprietary` and `other` licences).
"""

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

NAMES_NONE = re.compile(r"LicenseRef-(?!scancode-public-domain\b)[\w.+-]+")
# Debian's copyright files list the licences of a whole package, dozens at times: told apart.
PACKAGING = re.compile(r'usr/share/doc/[^/"]+/copyright"')
IDS = re.compile(r"[A-Za-z0-9][\w.+-]*")


def sample(folder: Path, seed: int, count: int) -> list[str]:
    """Paths of `count` files, from the packages in turns; a later seed leaves out earlier ones'."""
    groups: dict[str, list[str]] = {}
    for path in (folder / "files.txt").read_text(encoding="utf-8").splitlines():
        groups.setdefault("/".join(path.split("/")[:2]), []).append(path)
    order = {name: random.Random(name).sample(paths, len(paths)) for name, paths in groups.items()}
    start, taken = (seed - 1) * count, []
    depth = 0
    while len(taken) < start + count:
        turn = [paths[depth] for paths in order.values() if depth < len(paths)]
        if not turn:
            break
        taken += turn
        depth += 1
    return taken[start : start + count]


def ask(folder: Path, seed: int, count: int) -> None:
    """Write what scancode says of each file, a line a file; goes on where it stopped."""
    from scancode.api import get_licenses

    out = folder / f"scancode-{seed}.jsonl"
    done = set()
    if out.exists():
        done = {json.loads(line)["path"] for line in out.read_text(encoding="utf-8").splitlines()}
    with out.open("a", encoding="utf-8") as file:
        for path in sample(folder, seed, count):
            if path in done:
                continue
            started = time.perf_counter()
            said = get_licenses(str(folder / path), deadline=time.time() + 60)
            matches = [
                [m["license_expression_spdx"], m["rule_identifier"], m["start_line"], m["score"]]
                for detection in said["license_detections"]
                for m in detection["matches"]
            ]
            row = {
                "path": path,
                "said": said["detected_license_expression_spdx"],
                "matches": matches,
                "seconds": round(time.perf_counter() - started, 3),
            }
            print(json.dumps(row), file=file, flush=True)


def named(expression: str | None) -> frozenset[str]:
    """The SPDX ids in an expression that name a licence."""
    ids = set(IDS.findall(NAMES_NONE.sub("", expression or ""))) - {"AND", "OR", "WITH"}
    return frozenset(ids)


def compare(folder: Path, seed: int, show: int, packaging: bool) -> None:
    """Print the agreement and the differences."""
    from groundup.documents.licences.texts import licence_of

    equal, differing, seconds, peer = 0, [], 0.0, 0.0
    with_licence = Counter()
    lines = (folder / f"scancode-{seed}.jsonl").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if PACKAGING.search(line) is None or packaging]
    licence_of("licence")  # reads the tables
    for line in lines:
        row = json.loads(line)
        text = (folder / row["path"]).read_text(encoding="utf-8", errors="replace")
        started = time.perf_counter()
        found = licence_of(text)
        seconds += time.perf_counter() - started
        peer += row["seconds"]
        ours, theirs = named(found.expression), named(row["said"])
        with_licence["theirs"] += bool(theirs)
        if ours == theirs:
            equal += 1
            with_licence["equal"] += bool(theirs)
        else:
            differing.append((row, found, ours, theirs))
    for row, found, ours, theirs in differing[:show]:
        print(
            f"{row['path']}\n   ours {' '.join(sorted(ours - theirs))} | theirs "
            f"{' '.join(sorted(theirs - ours))} | both {' '.join(sorted(ours & theirs))}"
        )
        print("   evidence", [(e.expression, e.by, e.line) for e in found.evidence][:8])
        print("   scancode", row["matches"][:8])
    rate = equal / max(1, len(lines))
    print(
        f"{equal} of {len(lines)} agree: {rate:.2%}; of {with_licence['theirs']} in which scancode "
        f"names a licence {with_licence['equal']}; {seconds:.1f} s (scancode {peer:.0f} s)"
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["ask", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--show", type=int, default=30)
    parser.add_argument("--packaging", action="store_true", help="Debian's copyright files too")
    given = parser.parse_args()
    if given.what == "ask":
        ask(given.folder, given.seed, given.count)
    else:
        compare(given.folder, given.seed, given.show, given.packaging)


if __name__ == "__main__":
    sys.exit(main())
