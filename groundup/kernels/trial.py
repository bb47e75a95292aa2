"""Ways of attention tried against each other, once for a class of rows on a machine.

Each way is compiled alone, as it will be inside a block, and takes a row forward and back in turns
with the others. What was found is kept in the user's cache, beside the machine's own figures. The
flash kernel holds no scores, so matrix products must be faster by a margin to be chosen.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from groundup.core import ConfigError, device, write_json

from .attention import flash_attention, matmul_attention
from .compiled import keep_compiled
from .mask import Mask
from .native.softmax import has_native
from .ways import MATMUL_UP_TO, RowShape, Way, quarter, read_way

MARGIN = 0.95
"""Share of flash's time that matrix products may take at most."""
ROUNDS = 7


def kept_way(shape: RowShape, *, try_now: bool = True) -> Way | None:
    """The way that was measured for this class before; None if it was not and is not to be now.

    GROUNDUP_ATTENTION=matmul or flash says it instead.
    """
    if wanted := device.switch("GROUNDUP_ATTENTION", "matmul", "flash"):
        return Way("matmul") if wanted == "matmul" else Way("flash")
    place = kept_file()
    kept = read_kept(place)
    try:
        return read_way(kept[shape.name]["way"])
    except (KeyError, TypeError, ConfigError):
        pass  # not measured yet, or an older groundup's
    if not try_now:
        return None
    seconds = measured_ways(shape)
    way = best_of(seconds)
    told = {f"{one.kind} {one.chunk}": round(1000 * time, 3) for one, time in seconds.items()}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, read_kept(place) | {shape.name: {"way": list(way), "ms": told}})
    except OSError:
        pass  # an unwritable cache costs the trial the next time, nothing more
    return way


def kept_file() -> Path:
    """Where this machine's ways lie, by its contract, threads and softmax."""
    made_for = {**device.fingerprint(), "threads": torch.get_num_threads()}
    made_for["native softmax"] = has_native("cpu", torch.float32)
    return device.cache_folder() / f"attention-{device.short_digest(made_for)}.json"


def read_kept(place: Path) -> dict[str, dict[str, object]]:
    """What is kept there; nothing if there is none or it is damaged."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def candidates(length: int) -> list[Way]:
    """The ways that rows of a length could take.

    >>> [way.chunk for way in candidates(256)]
    [512, 64, 256]
    """
    if length > MATMUL_UP_TO:
        return [Way("flash")]
    chunks = dict.fromkeys((quarter(length), length))
    return [Way("flash"), *(Way("matmul", chunk) for chunk in chunks)]


def best_of(seconds: dict[Way, float]) -> Way:
    """The fastest way; flash unless another is faster by the margin.

    >>> best_of({Way("flash"): 1.0, Way("matmul", 128): 0.97})
    Way(kind='flash', chunk=512)
    """
    best = min(seconds, key=lambda way: seconds[way])
    flash = Way("flash")
    return best if seconds[best] <= MARGIN * seconds[flash] else flash


def measured_ways(shape: RowShape) -> dict[Way, float]:
    """Seconds of one row forward and back, by way; the shortest of rounds in turns."""
    ways = candidates(shape.length)
    if len(ways) == 1:
        return {ways[0]: 0.0}
    keep_compiled()
    calls = {way: trial(shape, way) for way in ways}
    for call in calls.values():
        call()  # compiles
    found: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, call in calls.items():
            found[way].append(call())
    return {way: min(times) for way, times in found.items()}


def trial(shape: RowShape, way: Way) -> Callable[[], float]:
    """A call that takes one row forward and back and returns its seconds."""
    dtype = getattr(torch, shape.dtype)
    made = torch.Generator().manual_seed(0)

    def drawn(heads: int) -> Tensor:
        size = (1, heads, shape.length, shape.head_dim)
        return torch.randn(size, generator=made).to(dtype).requires_grad_()

    q, k, v = drawn(shape.heads), drawn(shape.kv_heads), drawn(shape.kv_heads)
    documents = (torch.arange(shape.length) // 100)[None] if shape.is_packed else None
    function = torch.compile(attended(way), dynamic=False)

    def call() -> float:
        started = time.perf_counter()
        out = function(q, k, v, Mask(documents=documents))
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
        return time.perf_counter() - started

    return call


def attended(way: Way) -> Callable[[Tensor, Tensor, Tensor, Mask], Tensor]:
    """Attention by one way."""

    def run(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        if way.kind == "flash":
            return flash_attention(q, k, v, mask=mask)
        return matmul_attention(q, k, v, mask=mask, chunk=way.chunk)

    return run
