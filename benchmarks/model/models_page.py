"""docs/benchmarks/models.md: every preset: what is special, parameters, parity and learning.

    python -m benchmarks.model.models_page

Parity is of results/parity.json (`python -m benchmarks.model.parity`), learning of
results/train_learning.json
(`python -m benchmarks.train.learning`); a test compares the page with what this makes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup.model import Preset, count_parameters, presets
from groundup.model.families import choose_family
from groundup.model.families.registry import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "benchmarks" / "models.md"
TINY = "-tiny"
HEAD = """# Models: the field's published shapes

Made by `python -m benchmarks.model.models_page`; do not edit. `groundup model describe NAME` tells
more.

*here* counts our weights; *paper* is what the source prints (–: nothing). *parity* is the largest
difference of a logit from Transformers' in float32, on small random models of three and more odd
shapes ({date}), with the `model_type` that it is against: the one whose files say the preset
whole, which need not have its name (Jurassic-1 is written as a `gpt2`, SpanBERT as a `bert`);
*written out*: no peer has the class, so a reference in the tests computes it. *learning* is what
the family's tiny preset reached against its threshold, which was set before the run.
"""
SCALES = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3))


def counted(number: int) -> str:
    """A number of parameters with three digits.

    >>> counted(1_557_611_200)
    '1.56B'
    """
    letter, scale = next(each for each in SCALES if number >= each[1] * 0.9995)
    return f"{float(f'{number / scale:.3g}'):g}{letter}"


def results(name: str) -> dict[str, Any]:
    """A result file, empty if it was never made."""
    place = RESULTS / f"{name}.json"
    return json.loads(place.read_text("utf-8")) if place.is_file() else {}


def file_kind(each: Preset) -> str:
    """The model_type under which a preset is saved."""
    family = choose_family(each.config)
    return next(kind for kind, known in FAMILIES.items() if known is family)


def parity_of(each: Preset, parity: dict[str, Any]) -> str:
    """The largest difference of the files that a preset is written as, and whose they are."""
    kind = file_kind(each)
    found = parity.get("families", {}).get(kind)
    if not found:
        return "written out"
    return f"{found['largest']:.0e} `{kind}`" if found["largest"] else f"0 `{kind}`"


def learning_of(family: str, learning: dict[str, Any]) -> str:
    """Reached and threshold of the family's tiny preset."""
    name = family.lower().replace(" ", "-") + TINY
    row = next((row for row in learning.get("presets", []) if row["preset"] == name), None)
    if row is None:
        return "to come"
    return f"{row['reached']:.2f} {'' if row['passed'] else 'not '}below {row['threshold']:.2f}"


def notes_of(members: Sequence[Preset]) -> list[str]:
    """What differs from the papers: once each, behind the names that it is of if not of all."""
    named: dict[str, list[str]] = {}
    told_of = [(each.differs, each.name) for each in members]
    for note, name in told_of + [(each.shared, each.name) for each in members]:
        if note:
            named.setdefault(note, []).append(f"`{name}`")
    told = [
        note if len(names) == len(members) else f"{', '.join(names)}: {note}"
        for note, names in named.items()
    ]
    return [f"- {note}" for note in told]


def markdown() -> str:
    """The whole page."""
    parity, learning = results("parity"), results("train_learning")
    lines = [HEAD.format(date=parity.get("date", "not measured"))]
    families: dict[str, list[Preset]] = {}
    for each in presets().values():
        families.setdefault(each.family, []).append(each)
    for family, members in families.items():
        first = members[0]
        lines += [
            f"## {family}",
            "",
            f"{first.special[0].upper()}{first.special[1:]}. {first.source}.",
            "",
        ]
        lines += [
            "| preset | kind | here | paper | parity | learning |",
            "|---|---|---|---|---|---|",
        ]
        for each in members:
            is_tiny = each.name.endswith(TINY)
            cells = (
                f"`{each.name}`", each.config.kind.replace("_", "–"),
                counted(count_parameters(each.config).total), "" if is_tiny else each.paper or "–",
                parity_of(each, parity), learning_of(family, learning) if is_tiny else "",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        notes = notes_of([each for each in members if not each.name.endswith(TINY)])
        lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(markdown(), "utf-8")
