"""What the gguf package makes of random blocks of every type that it dequantises.

Run by `make oracles`. Writes tests/fixtures/gguf/blocks.json: for each type blocks (base64), the
sha256 of their values as float32 with every NaN made equal, and the values of the first block;
the sha256 of each grid; and what its quantisers make of numbers with ties, zeros and extremes.
"""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, quants
from gguf.constants import GGML_QUANT_SIZES

PLACE = Path(__file__).resolve().parents[1] / "fixtures" / "gguf" / "blocks.json"
FINITE, WILD = 14, 2
GRIDS = ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S")
WRITTEN = ("F32", "F16", "BF16", "Q8_0", "Q4_0")


def text(array: np.ndarray) -> str:
    """The bytes of an array, in base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def sha256(values: np.ndarray) -> str:
    """Of float32 values; all NaN are one."""
    values = np.where(np.isnan(values), np.float32("nan"), values)
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()


def blocks_of(kind: GGMLQuantizationType, random: np.random.Generator) -> np.ndarray:
    """Random blocks: most with finite values, some as they come, all zeros and all ones."""
    size = GGML_QUANT_SIZES[kind][1]
    kept = [np.zeros(size, np.uint8), np.full(size, 255, np.uint8)]
    kept += list(random.integers(0, 256, (WILD, size), dtype=np.uint8))
    while len(kept) < FINITE + WILD + 2:
        drawn = random.integers(0, 256, size, dtype=np.uint8)
        values = quants.dequantize(drawn[None], kind)
        if np.isfinite(values).all() and np.abs(values).max() < 1e6:
            kept.insert(0, drawn)
    return np.stack(kept)


def numbers(random: np.random.Generator) -> np.ndarray:
    """Rows of 64 to be rounded."""
    drawn = random.standard_normal((8, 64)).astype(np.float32)
    drawn[1] = np.round(drawn[1] * 4) / 8  # ties
    drawn[2, :32] = 0
    drawn[3, :32] = -drawn[3, 0]
    drawn[4] *= 1e-5
    drawn[5] *= 500
    drawn[6, ::2] = np.abs(drawn[6]).max() * np.where(np.arange(32) % 2, 1, -1)
    return drawn


def main() -> None:
    """Write the fixture anew."""
    np.seterr(all="ignore")
    random, found = np.random.default_rng(0), {"types": {}, "grids": {}, "rounded": {}}
    for kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16, *quants._type_traits):
        blocks = blocks_of(kind, random)
        values = quants.dequantize(blocks, kind)
        found["types"][kind.name] = {
            "code": int(kind), "sizes": GGML_QUANT_SIZES[kind], "blocks": text(blocks),
            "sha256": sha256(values), "first": text(values[0].astype("<f4")),
        }  # fmt: skip
    for name in GRIDS:
        one = getattr(quants, name)
        one.init_grid()
        found["grids"][name] = sha256(one.grid)
    drawn = numbers(random)
    found["rounded"]["numbers"] = text(drawn.astype("<f4"))
    for name in WRITTEN:
        found["rounded"][name] = text(quants.quantize(drawn, GGMLQuantizationType[name]))
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
