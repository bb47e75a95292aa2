"""Autotuning of attention backends, once per shape class and machine.

Each backend is compiled alone, as it would be inside a block, and timed forward and backward in
alternation with the others. Results are in the user's cache. The flash kernel stores no scores, so
matrix products must be faster by a margin to be chosen.
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
"""Maximum time of matmul relative to flash."""
ROUNDS = 7


def kept_way(shape: RowShape, *, try_now: bool = True) -> Way | None:
    """The fastest backend for a shape, from the cache or, with `try_now`, measured; else None.

    GROUNDUP_ATTENTION=matmul or flash overrides it.
    """
    if wanted := device.switch("GROUNDUP_ATTENTION", "matmul", "flash"):
        return Way("matmul") if wanted == "matmul" else Way("flash")
    place = kept_file()
    kept = read_kept(place)
    try:
        return read_way(kept[shape.name]["way"])
    except (KeyError, TypeError, ConfigError):
        pass  # not measured yet, or an old format
    if not try_now:
        return None
    seconds = measured_ways(shape)
    way = best_of(seconds)
    ms = {f"{tried.kind} {tried.chunk}": round(1000 * s, 3) for tried, s in seconds.items()}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, read_kept(place) | {shape.name: {"way": list(way), "ms": ms}})
    except OSError:
        pass  # with an unwritable cache, the next run measures again
    return way


def kept_file() -> Path:
    """The cache file for this machine's fingerprint, threads and softmax."""
    key = {**device.fingerprint(), "threads": torch.get_num_threads()}
    key["native softmax"] = has_native("cpu", torch.float32)
    return device.cache_folder() / f"attention-{device.short_digest(key)}.json"


def read_kept(place: Path) -> dict[str, dict[str, object]]:
    """The cache's contents; empty if it is missing or damaged."""
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def candidates(length: int) -> list[Way]:
    """Candidate backends for a sequence length.

    >>> [way.chunk for way in candidates(256)]
    [512, 64, 256]
    """
    if length > MATMUL_UP_TO:
        return [Way("flash")]
    chunks = dict.fromkeys((quarter(length), length))
    return [Way("flash"), *(Way("matmul", chunk) for chunk in chunks)]


def best_of(seconds: dict[Way, float]) -> Way:
    """The fastest backend; flash unless another is faster by the margin.

    >>> best_of({Way("flash"): 1.0, Way("matmul", 128): 0.97})
    Way(kind='flash', chunk=512)
    """
    best = min(seconds, key=lambda way: seconds[way])
    flash = Way("flash")
    return best if seconds[best] <= MARGIN * seconds[flash] else flash


def measured_ways(shape: RowShape) -> dict[Way, float]:
    """Seconds of a forward and backward pass by backend; the minimum over alternating rounds."""
    ways = candidates(shape.length)
    if len(ways) == 1:
        return {ways[0]: 0.0}
    keep_compiled()
    calls = {way: trial(shape, way) for way in ways}
    for call in calls.values():
        call()  # compiles
    times: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, call in calls.items():
            times[way].append(call())
    return {way: min(own) for way, own in times.items()}


def trial(shape: RowShape, way: Way) -> Callable[[], float]:
    """A function that runs one sequence forward and backward and returns its seconds."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator().manual_seed(0)

    def random(heads: int) -> Tensor:
        size = (1, heads, shape.length, shape.head_dim)
        return torch.randn(size, generator=generator).to(dtype).requires_grad_()

    q, k, v = random(shape.heads), random(shape.kv_heads), random(shape.kv_heads)
    documents = (torch.arange(shape.length) // 100)[None] if shape.is_packed else None
    function = torch.compile(attended(way), dynamic=False)

    def call() -> float:
        started = time.perf_counter()
        out = function(q, k, v, Mask(documents=documents))
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
        return time.perf_counter() - started

    return call


def attended(way: Way) -> Callable[[Tensor, Tensor, Tensor, Mask], Tensor]:
    """Attention by one backend."""

    def run(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        if way.kind == "flash":
            return flash_attention(q, k, v, mask=mask)
        return matmul_attention(q, k, v, mask=mask, chunk=way.chunk)

    return run
