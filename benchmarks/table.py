"""Side by side: alternate two or more sides, compare round by round, print and keep the rows.

    speeds = alternate({"ours": ours, "peer": peer})   # each call: one round, units a second
    row = compare("training", "tokens/s", speeds["ours"], speeds["peer"], Peer("peer", "1.0"))
    report("train", [row])                             # a table, and results/train.json

Machines drift, so a ratio is taken within a round, and the median of the ratios is what counts; the
spread is the smallest and the largest of them. Figures of different machines do not mix: a row
names the class of its machine. What is reported is in docs/benchmarks/results.md at once, and in
the README if it is a headline; `python -m benchmarks.table` makes both tables again.
"""

import datetime
import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from groundup.core import device, write_json

RESULTS = Path(__file__).resolve().parent / "results"
README = RESULTS.parents[1] / "README.md"
PAGE = RESULTS.parents[1] / "docs" / "benchmarks" / "results.md"
ARGUMENTS = {
    "lm_eval": "--peer PYTHON --keep",
    "speed_beside": "VECTORS.npy ENCODER --peer PYTHON",
    "tokenizer": "TEXTS --megabytes 25",
    "train_memory": "--peers PYTHON",
    "word2vec": "--text PROSE --words 500000 --keep",
}
"""What the commands of results are given, where that is more than their defaults."""
HEADLINES = (
    ("attention", "attention, window 256 of 8,192 tokens, flash causal", "torch"),
    ("attention", "attention, 8 x 512 tokens, bfloat16, flash causal", "torch"),
    ("tokenizer", "vocabulary of 16,384, 25 MB of text: training", "tokenizers"),
    ("tokenizer", "vocabulary of 16,384, 25 MB of text: encoding, one core", "tiktoken"),
    ("word2vec", "word2vec, skip-gram, negatives, 1 thread, 0.5M words", "gensim"),
    ("train", "training 13.8 M, 8 x 256, bfloat16", "transformers compiled, our allocator"),
    ("measures_speed", "ROUGE-L", "rouge-score"),
    ("lm_eval", "evaluation: choice, float32, peer's batch 4", "lm-eval"),
)
"""Result, work and peer of the README's rows."""
CLASSES = {"AMD, AVX-512 with BF16": "avx512_vnni,", "Intel with AMX": "amx_int8,"}
"""Classes of machines in the README, by a part of a row's machine."""
HEAD = "| work | unit | groundup | peer | peer's | ratio | spread | machine, date | command |"


class Peer(NamedTuple):
    """What ours is compared with."""

    name: str
    version: str


class Row(NamedTuple):
    """One comparison."""

    work: str
    unit: str
    ours: float
    """Median over the rounds."""
    peer: float
    """Median over the rounds."""
    peer_name: str
    peer_version: str
    ratio: float
    """How many times as good ours is: median over the rounds, above 1 is better."""
    low: float
    """Smallest ratio of a round."""
    high: float
    """Largest ratio of a round."""
    rounds: int
    machine: str
    date: str


def alternate(
    sides: Mapping[str, Callable[[], float]], rounds: int = 7, warm_up: int = 1
) -> dict[str, list[float]]:
    """Call every side once a round, in turned order every other round; return what they gave."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(warm_up + rounds):
        order = list(sides) if number % 2 == 0 else list(reversed(list(sides)))
        for name in order:
            value = sides[name]()
            if number >= warm_up:
                found[name].append(value)
    return found


def compare(
    work: str,
    unit: str,
    ours: Sequence[float],
    peer: Sequence[float],
    named: Peer,
    *,
    less_is_better: bool = False,
) -> Row:
    """Compare two sides round by round."""
    pairs = zip(ours, peer, strict=True)
    ratios = sorted(b / a if less_is_better else a / b for a, b in pairs)
    return Row(
        work, unit, median(ours), median(peer), named.name, named.version,
        median(ratios), ratios[0], ratios[-1], len(ratios), machine_class(),
        datetime.date.today().isoformat(),
    )  # fmt: skip


def show(name: str, rows: Sequence[Row], notes: Mapping[str, object] | None = None) -> None:
    """Print the rows as a table, and the notes below it."""
    from rich.console import Console
    from rich.table import Table

    measured = f"  ({rows[0].machine}, {rows[0].date})" if rows else ""
    table = Table(title=name + measured, title_justify="left")
    for head in ("work", "peer", "unit", "ours", "peer's", "ratio", "spread"):
        table.add_column(head, justify="left" if head in ("work", "peer", "unit") else "right")
    for row in rows:
        table.add_row(
            row.work, f"{row.peer_name} {row.peer_version}", row.unit, figure(row.ours),
            figure(row.peer), f"{row.ratio:.2f}", f"{row.low:.2f} to {row.high:.2f}",
        )  # fmt: skip
    console = Console(width=max(120, Console().width))
    console.print(table)
    for key, value in (notes or {}).items():
        console.print(f"  {key}: {value}", highlight=False)


def report(name: str, rows: Sequence[Row], notes: Mapping[str, object] | None = None) -> Path:
    """Print the rows and write them to `results/NAME.json`; return that path.

    What another class of machine measured stays there, and so do notes of other names.
    """
    show(name, rows, notes)
    place = RESULTS / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    here = {row.machine for row in rows}
    others = [row for row in before.get("rows", []) if row["machine"] not in here]
    kept = before.get("notes", {}) if others else {}
    all_rows = [*others, *(row._asdict() for row in rows)]
    write_json(place, {"rows": all_rows, "notes": {**kept, **(notes or {})}})
    renew_pages()
    return place


def figure(value: float) -> str:
    """A number with three or four digits that mean something.

    >>> figure(12345.6), figure(12.345), figure(0.012345)
    ('12,346', '12.35', '0.01234')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


FAST_BFLOAT16 = 1.0
"""How many times float32's speed bfloat16 must have not to be called slow."""


def machine_class() -> str:
    """What decides speed, without the machine's name: cores, instructions, memory, card.

    amx_int8                       Intel with AMX
    avx512_vnni                    AVX-512 whose bfloat16 is faster than float32 (AMD since Zen 4)
    avx512_vnni, slow bfloat16     AVX-512 whose bfloat16 is slower (Intel without AMX)
    """
    found = device.detect_device()
    widest = found.instruction_sets[-1] if found.instruction_sets else platform.machine()
    if widest.startswith("avx512") and not found.cuda:
        speeds = device.measure_speeds()
        is_slow = speeds.bfloat16_flops < FAST_BFLOAT16 * speeds.float32_flops
        widest += ", slow bfloat16" if is_slow else ""
    memory = round(found.memory_bytes / 2**30)
    card = f", {found.cuda}" if found.cuda else ""
    return f"{found.cores} cores {platform.machine()} {widest}, {memory} GiB{card}"


def version(package: str) -> str:
    """Installed version of a peer."""
    return metadata.version(package)


def keep_part(name: str, part: str, found: Mapping[str, Any]) -> None:
    """Keep what was found of one part, and the machine, in results/NAME.json; others stay."""
    place = RESULTS / f"{name}.json"
    kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    kept[part] = {"machine": machine_class(), **found}
    place.parent.mkdir(exist_ok=True)
    write_json(place, dict(sorted(kept.items())))


def markdown(results: Path = RESULTS) -> str:
    """Every kept row as a Markdown table, in order of the files' names."""
    lines = [HEAD, "|---|---|---|---|---|---|---|---|---|"]
    for file in sorted(results.glob("*.json")):
        rows = json.loads(file.read_text(encoding="utf-8")).get("rows", [])  # others have no peer
        for row in (Row(**values) for values in rows if "ratio" in values):
            cells = (
                row.work, row.unit, figure(row.ours), f"{row.peer_name} {row.peer_version}",
                figure(row.peer), f"**{row.ratio:.2f}**", f"{row.low:.2f} to {row.high:.2f}",
                f"{row.machine}, {row.date}", f"`{command(file.stem, row.work)}`",
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def command(name: str, work: str) -> str:
    """What measures a row again, its arguments included.

    >>> command("lm_eval", "evaluation: choice, bfloat16, peer's batch 4")
    'python -m benchmarks.evaluate.lm_eval --peer PYTHON --keep --dtype bfloat16'
    """
    words = ["python -m", script(name), ARGUMENTS.get(name, "")]
    if name == "lm_eval" and "bfloat16" in work:
        words.append("--dtype bfloat16")
    return " ".join(filter(None, words))


def script(name: str) -> str:
    """Module that keeps the results of this name: the script's own, after its room's or alone.

    >>> script("corpus_speed"), script("attention")
    ('benchmarks.corpus.speed', 'benchmarks.kernels.attention')
    """
    scripts = Path(__file__).parent.glob("*/*.py")
    (found,) = (p for p in scripts if name in (p.stem, f"{p.parent.name}_{p.stem}"))
    return f"benchmarks.{found.parent.name}.{found.stem}"


def headlines(results: Path = RESULTS) -> str:
    """The README's table: ratios of the headlines by class of machine, a dash if not measured."""
    lines = [f"| work | peer | {' | '.join(CLASSES)} |", "|---|---|" + "---|" * len(CLASSES)]
    for name, work, peer in HEADLINES:
        rows = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["rows"]
        rows = [Row(**row) for row in rows if (row["work"], row["peer_name"]) == (work, peer)]
        ratios = (
            next((f"{row.ratio:.2f}" for row in rows if f"{part} 24" in row.machine), "–")
            for part in CLASSES.values()
        )
        lines.append(f"| {work} | {peer} {rows[0].peer_version} | {' | '.join(ratios)} |")
    return "\n".join(lines) + "\n"


def with_block(text: str, name: str, table: str) -> str:
    """A page's text with the table between its marks of this name replaced."""
    block = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    return re.sub(block, lambda found: found[1] + table + found[2], text, flags=re.DOTALL)


def renew_pages() -> None:
    """Bring the tables up to date, so that what is measured is what the pages show."""
    for page, name, table in (
        (PAGE, "results", markdown(RESULTS)),
        (README, "headlines", headlines(RESULTS)),
    ):
        page.write_text(with_block(page.read_text(encoding="utf-8"), name, table), "utf-8")


if __name__ == "__main__":
    renew_pages()
