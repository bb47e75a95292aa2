"""What attention costs by length: full, flash, sparse, cached and computed anew.

    python -m benchmarks.kernels.attention [--rounds 7] [--sweep] [--page FOLDER]

First the race: a window of 256 over 8,192 tokens, 8 heads of 64, beside PyTorch's flash kernel,
once causal (which sees more and needs no mask) and once under the window's mask (which is what we
compute); the same in torch's own products, as where no compiler is; and whole causal rows beside
the flash kernel. Results are compared with the masked definition first. `--sweep` measures time and
peak memory of every way over a range of lengths, each point in a process of its own, and writes the
tables of docs/reference/kernels/attention.md; `--page` also writes an HTML page with the two
charts.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from benchmarks import table
from groundup.core import device, write_text
from groundup.core.page import HtmlPage, Series, line_chart
from groundup.kernels import (
    AttentionPattern,
    Mask,
    attention,
    flash_attention,
    matmul_attention,
    sparse_attention,
    visible_mask,
)

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "reference" / "kernels" / "attention.md"
BLOCK = re.compile(r"(<!-- cost -->\n).*?(<!-- end of cost -->)", re.DOTALL)
HEADS, HEAD_DIM, WINDOW, LENGTH = 8, 64, 256, 8192
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16_384)
REPEATS = 3
LEAST = 0.1
"""Milliseconds or MiB that are drawn; less is noise."""
TOO_LONG = {"full": 8192, "anew": 2048}
"""Longest length at which a way is measured: beyond, its scores fill the memory or the day."""


def tensors(length: int, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Random queries, keys and values (B, H, T, K), float32."""
    generator = torch.Generator().manual_seed(0)
    shape = (3, batch, HEADS, length, HEAD_DIM)
    q, k, v = torch.randn(shape, generator=generator)
    return q, k, v


def race(rounds: int) -> None:
    """Ours beside flash at 8,192 tokens; the rows go to results/attention.json."""
    q, k, v = tensors(LENGTH)
    mask = Mask(pattern=AttentionPattern("window", window=WINDOW))
    seen = visible_mask(mask, LENGTH, LENGTH, "cpu")
    sides: dict[str, Callable[[], Tensor]] = {
        "window": lambda: attention(q, k, v, mask=mask),
        "bands": lambda: sparse_attention(q, k, v, mask=mask),
        "whole": lambda: attention(q, k, v),
        "flash": lambda: scaled_dot_product_attention(q, k, v, is_causal=True),
        "masked": lambda: scaled_dot_product_attention(q, k, v, attn_mask=seen),
    }
    with torch.inference_mode():
        checked(sides, matmul_attention(q, k, v, mask=mask), ("window", "bands", "masked"))
        checked(sides, matmul_attention(q, k, v), ("whole", "flash"))
        speeds = table.alternate({name: rate(run) for name, run in sides.items()}, rounds)
    window, peer = f"window {WINDOW} of {LENGTH:,} tokens", torch.__version__.partition("+")[0]
    rows = [
        table.compare(f"attention, {work}", "tokens/s", speeds[ours], speeds[theirs],
                      table.Peer("torch", peer))
        for work, ours, theirs in (
            (f"{window}, flash causal", "window", "flash"),
            (f"{window}, flash with the mask", "window", "masked"),
            (f"{window} without a compiler, flash causal", "bands", "flash"),
            (f"{LENGTH:,} tokens, flash causal", "whole", "flash"),
        )
    ]  # fmt: skip
    rows += [row for dtype in (torch.float32, torch.bfloat16) for row in batches(rounds, dtype)]
    table.report("attention", rows, {"heads": HEADS, "head_dim": HEAD_DIM, "dtype": "float32"})


def batches(rounds: int, dtype: torch.dtype) -> list[table.Row]:
    """Eight rows of 512 tokens, whole and with a quarter of padding before them."""
    q, k, v = (each.to(dtype) for each in tensors(512, batch=8))
    padded = Mask(documents=(torch.arange(512)[None] >= 128).long().expand(8, -1) - 1)
    sides: dict[str, Callable[[], Tensor]] = {
        "whole": lambda: attention(q, k, v),
        "flash": lambda: flash_attention(q, k, v),
        "padded": lambda: attention(q, k, v, mask=padded),
        "masked": lambda: flash_attention(q, k, v, mask=padded),
    }
    with torch.inference_mode():
        speeds = table.alternate({name: rate(run) for name, run in sides.items()}, rounds)
    work, peer = str(dtype).removeprefix("torch."), torch.__version__.partition("+")[0]
    return [
        table.compare(f"attention, 8 x 512 tokens, {work}, {named}", "tokens/s", speeds[ours],
                      speeds[theirs], table.Peer("torch", peer))
        for named, ours, theirs in (
            ("flash causal", "whole", "flash"),
            ("a quarter padding, flash with the mask", "padded", "masked"),
        )
    ]  # fmt: skip


def checked(
    sides: dict[str, Callable[[], Tensor]], expected: Tensor, names: tuple[str, ...]
) -> None:
    """Every side's result beside the definition's."""
    for name in names:
        gap = (sides[name]() - expected).abs().max().item()
        print(f"{name}: largest difference from the masked definition {gap:.1e}")
        assert gap < 1e-5


def rate(run: Callable[[], Tensor]) -> Callable[[], float]:
    """A side of the race: tokens a second."""

    def measured() -> float:
        started = time.perf_counter()
        rows, _, length, _ = run().shape
        return rows * length / (time.perf_counter() - started)

    return measured


def full(q: Tensor, k: Tensor, v: Tensor) -> None:
    """All scores at once: the definition as two matrix products."""
    matmul_attention(q, k, v, chunk=q.shape[2])


def flash(q: Tensor, k: Tensor, v: Tensor) -> None:
    """PyTorch's fused kernel: all products, no stored scores."""
    flash_attention(q, k, v)


def native(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Our loop for CPUs: all products, no stored scores."""
    attention(q, k, v)


def sparse(q: Tensor, k: Tensor, v: Tensor) -> None:
    """A window of 256: what lies beyond is never touched."""
    attention(q, k, v, mask=Mask(pattern=AttentionPattern("window", window=WINDOW)))


def cached(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Generation, one token after another, keys and values kept."""
    for end in range(1, q.shape[2] + 1):
        attention(q[:, :, end - 1 : end], k[:, :, :end], v[:, :, :end])


def anew(q: Tensor, k: Tensor, v: Tensor) -> None:
    """Generation without a cache: every token computes all before it again."""
    for end in range(1, q.shape[2] + 1):
        attention(q[:, :, :end], k[:, :, :end], v[:, :, :end])


WAYS = {each.__name__: each for each in (full, flash, native, sparse, cached, anew)}


def point(way: str, length: int) -> dict[str, float]:
    """Seconds and bytes of one way at one length; called in a process of its own."""
    given, seconds = tensors(length), []
    with torch.inference_mode():
        WAYS[way](*tensors(64))  # what is loaded at first use is not counted
        before = peak_bytes(reset=True)
        for _ in range(REPEATS):
            started = time.perf_counter()
            WAYS[way](*given)
            seconds.append(time.perf_counter() - started)
    return {"seconds": median(seconds), "bytes": peak_bytes() - before}


def peak_bytes(reset: bool = False) -> int:
    """The most memory that this process held, since the last reset; Linux alone tells."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def sweep() -> dict[str, list[dict[str, float]]]:
    """Every way over the lengths that it can bear."""
    found: dict[str, list[dict[str, float]]] = {}
    for way in WAYS:
        for length in LENGTHS:
            if length > TOO_LONG.get(way, LENGTHS[-1] if way != "cached" else 8192):
                continue
            command = [sys.executable, "-m", "benchmarks.kernels.attention"]
            command += ["--point", way, str(length)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            row = {"length": length} | json.loads(out)
            print(way, row, flush=True)
            found.setdefault(way, []).append(row)
    return found


def markdown(found: dict[str, list[dict[str, float]]]) -> str:
    """Time and memory by length, a column a way."""
    lines = []
    for name, unit, scale in (("seconds", "ms", 1e3), ("bytes", "MiB", 2.0**-20)):
        lines += [f"| tokens | {' | '.join(f'{way}, {unit}' for way in found)} |"]
        lines += ["|" + "---|" * (1 + len(found))]
        for length in LENGTHS:
            cells = []
            for rows in found.values():
                value = next((row[name] * scale for row in rows if row["length"] == length), None)
                cells.append("" if value is None else f"{value:,.1f}")
            lines.append(f"| {length:,} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def page(found: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """The two charts as one page."""
    sheet = HtmlPage(
        "What attention costs", f"{HEADS} heads of {HEAD_DIM}, {table.machine_class()}."
    )
    for name, title, label, scale in (
        ("seconds", "Time of one pass over a row", "milliseconds", 1e3),
        ("bytes", "Memory on top of the row", "MiB", 2.0**-20),
    ):
        series = [
            Series(way, [row["length"] for row in rows],
                   [value if (value := row[name] * scale) > LEAST else None for row in rows])
            for way, rows in found.items()
        ]  # fmt: skip
        chart = line_chart(title, series, x_label="tokens", y_label=label, logarithmic=True)
        told = "Both axes are logarithmic: the square of the length climbs twice as steeply as it."
        sheet.section(title, told, chart)
    write_text(folder / "attention.html", sheet.render())


def main() -> None:
    """Race, then sweep."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of the race; 0: no race")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--point", nargs=2)
    given = parser.parse_args()
    device.set_num_threads()
    if given.point:
        print(json.dumps(point(given.point[0], int(given.point[1]))))
        return
    if given.rounds:
        race(given.rounds)
    if given.sweep:
        found = sweep()
        text = DOCS.read_text("utf-8")
        block = f"{markdown(found)}\n{table.machine_class()}.\n"
        DOCS.write_text(BLOCK.sub(lambda m: m[1] + block + m[2], text), "utf-8")
        if given.page:
            page(found, given.page)


if __name__ == "__main__":
    main()
