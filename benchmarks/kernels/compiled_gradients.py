"""Compiled gradients beside uncompiled ones: loss and every weight, over twenty shapes.

    python -m benchmarks.kernels.compiled_gradients          # a few minutes
    python -m benchmarks.kernels.compiled_gradients --few  # the first three shapes, nothing is kept

Two layers of each shape with all weights drawn, a batch of packed documents, forward and back, in
float32 and bfloat16; the largest difference of a gradient as a share of its norm. What is compared
is what `groundup pretrain` compares before it starts. Rows of each class of machine are kept. The
first two shapes gave no numbers in bfloat16 with GCC 12 on Intel (see gcc_transpose.py).
"""

import datetime
import json
import sys

import torch

SHAPES = (
    "2 128 128 16", "6 384 512 4", "1 64 64 4", "2 64 96 3", "2 128 256 8", "3 192 80 5",
    "3 192 128 2", "4 256 64 8", "4 256 100 3", "4 256 256 2", "5 256 512 1", "5 320 128 2",
    "5 320 33 7", "6 320 192 2", "6 384 128 1", "7 384 256 1", "8 512 64 2", "8 512 128 1",
    "9 448 48 4", "10 512 160 1",
)  # fmt: skip
"""Depth, width, tokens of a row, rows."""


def compared(shape: str, dtype: torch.dtype) -> tuple[str, float, float]:
    """Weight, largest difference and its limit, of one shape."""
    from groundup.model import Transformer, from_depth
    from groundup.train import CompilationCheck, MicroBatch, Precision, causal_loss
    from groundup.train.services.compiling import _compare_gradients

    depth, width, length, rows = map(int, shape.split())
    model = Transformer(from_depth(depth, 512, length, width=width).config)
    assert model.compile_blocks(), "a C++ compiler is needed"
    ids = torch.randint(512, (rows, length), generator=torch.Generator().manual_seed(0))
    documents = (torch.arange(length) // 50).expand(rows, -1).to(torch.int32).contiguous()
    batch = MicroBatch(ids, ids.roll(-1, 1), torch.ones(rows, length), documents)
    torch.compiler.reset()
    return _compare_gradients(model, CompilationCheck(causal_loss, [batch], Precision(dtype)))


def main() -> int:
    """Compare, print and keep; 1 if a shape is off by more than rounding explains."""
    from benchmarks.table import RESULTS, machine_class
    from groundup.core import write_json

    is_few, rows = "--few" in sys.argv, []
    for shape in SHAPES[:3] if is_few else SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            weight, share, limit = compared(shape, dtype)
            name = str(dtype).removeprefix("torch.")
            print(f"{shape:<14} {name:<9} {share:.2e} of {limit:g}  {weight}", flush=True)
            rows.append({"shape": shape, "dtype": name, "weight": weight,
                         "share": float(f"{share:.3g}"), "limit": limit})  # fmt: skip
    if not is_few:
        place = RESULTS / "compiled_gradients.json"
        kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
        own = {"torch": torch.__version__, "date": str(datetime.date.today()), "shapes": rows}
        machines = kept.get("machines", {}) | {machine_class(): own}
        write_json(place, {"rows": [], "machines": machines})
    return int(any(not row["share"] <= row["limit"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
