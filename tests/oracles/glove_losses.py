"""Losses and vectors of Stanford's glove.c on shuffled cells of a small made-up text.

    tests/fixtures/glove/expected.safetensors
        cells     (n, 3) float64: word, context, count, in the order of training
        first     (2 V, width + 1) float64: words then contexts, each with its bias
        last      the same after the last epoch
        losses    (epochs,) float64: mean loss of a cell

GLOVE names a checkout of github.com/stanfordnlp/GloVe at 52f7dbc (2025-07-27); one thread.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "glove"
WORDS, WIDTH, EPOCHS, SEED = 30, 8, 12, 5
RECORD = np.dtype([("word", "<i4"), ("context", "<i4"), ("count", "<f8")])


def cells() -> np.ndarray:
    """A shuffled half of all pairs of words, with counts on both sides of x_max."""
    random = np.random.default_rng(SEED)
    chosen = random.permutation(WORDS * WORDS)[: WORDS * WORDS // 2]
    made = np.empty(len(chosen), RECORD)
    made["word"], made["context"] = chosen // WORDS + 1, chosen % WORDS + 1
    made["count"] = np.exp(random.normal(1.0, 1.5, len(chosen)))
    return made


def main() -> None:
    """Compile glove.c, train, and write what it said."""
    source = Path(os.environ["GLOVE"]) / "src"
    made, random = cells(), np.random.default_rng(SEED)
    first = (random.random((2 * WORDS, WIDTH + 1)) - 0.5) / (WIDTH + 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [source / "glove.c", source / "common.c"]
        subprocess.run(["gcc", "-O2", "-o", folder / "glove", *files, "-lm", "-lpthread"],
                       check=True)  # fmt: skip
        made.tofile(folder / "cells.bin")
        first.tofile(folder / "first.bin")
        (folder / "vocab.txt").write_text("".join(f"w{n} 1\n" for n in range(WORDS)))
        options = {
            "input-file": "cells.bin", "vocab-file": "vocab.txt", "save-file": "vectors",
            "vector-size": WIDTH, "iter": EPOCHS, "threads": 1, "x-max": 10, "binary": 1,
            "load-init-param": 1, "init-param-file": "first.bin", "seed": 1,
        }  # fmt: skip
        words = [word for key, value in options.items() for word in (f"-{key}", str(value))]
        ran = subprocess.run(["./glove", *words], cwd=folder, capture_output=True, text=True)
        losses = [float(found) for found in re.findall(r"cost: ([\d.]+)", ran.stderr)]
        assert ran.returncode == 0 and len(losses) == EPOCHS, ran.stderr
        last = np.fromfile(folder / "vectors.bin").reshape(2 * WORDS, WIDTH + 1)
    rows = np.stack([made["word"] - 1.0, made["context"] - 1.0, made["count"]], 1)
    OUT.mkdir(parents=True, exist_ok=True)
    tensors = {"cells": rows, "first": first, "last": last, "losses": np.array(losses)}
    save_file({key: torch.from_numpy(array) for key, array in tensors.items()},
              OUT / "expected.safetensors")  # fmt: skip


if __name__ == "__main__":
    main()
