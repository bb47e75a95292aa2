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
from .backends import (
    MAX_MATMUL_LENGTH,
    AttentionBackend,
    AttentionShape,
    parse_backend,
    quarter_chunk,
)
from .compiled import use_compile_cache
from .mask import Mask
from .native.softmax import has_native_softmax

MATMUL_MARGIN = 0.95
"""Maximum time of matmul relative to flash."""
ROUNDS = 7


def autotuned_backend(shape: AttentionShape, *, try_now: bool = True) -> AttentionBackend | None:
    """The fastest backend for a shape, from the cache or, with `try_now`, measured; else None.

    GROUNDUP_ATTENTION=matmul or flash overrides it.
    """
    if wanted := device.env_choice("GROUNDUP_ATTENTION", "matmul", "flash"):
        return AttentionBackend("matmul") if wanted == "matmul" else AttentionBackend("flash")
    place = _cache_file()
    kept = _read_cache(place)
    try:
        return parse_backend(kept[shape.key]["way"])
    except (KeyError, TypeError, ConfigError):
        pass  # not measured yet, or an old format
    if not try_now:
        return None
    seconds = _measure_backends(shape)
    way = _fastest_backend(seconds)
    ms = {f"{tried.kind} {tried.chunk}": round(1000 * s, 3) for tried, s in seconds.items()}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, _read_cache(place) | {shape.key: {"way": list(way), "ms": ms}})
    except OSError:
        pass  # with an unwritable cache, the next run measures again
    return way


def _cache_file() -> Path:
    """The cache file for this machine's fingerprint, threads and softmax."""
    key = {**device.fingerprint(), "threads": torch.get_num_threads()}
    key["native softmax"] = has_native_softmax("cpu", torch.float32)
    return device.cache_folder() / f"attention-{device.short_digest(key)}.json"


def _read_cache(path: Path) -> dict[str, dict[str, object]]:
    """The cache's contents; empty if it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _candidate_backends(length: int) -> list[AttentionBackend]:
    """Candidate backends for a sequence length.

    >>> [way.chunk for way in _candidate_backends(256)]
    [512, 64, 256]
    """
    if length > MAX_MATMUL_LENGTH:
        return [AttentionBackend("flash")]
    chunks = dict.fromkeys((quarter_chunk(length), length))
    return [AttentionBackend("flash"), *(AttentionBackend("matmul", chunk) for chunk in chunks)]


def _fastest_backend(seconds: dict[AttentionBackend, float]) -> AttentionBackend:
    """The fastest backend; flash unless another is faster by the margin.

    >>> flash, matmul = AttentionBackend("flash"), AttentionBackend("matmul", 128)
    >>> _fastest_backend({flash: 1.0, matmul: 0.97})
    AttentionBackend(kind='flash', chunk=512)
    """
    best = min(seconds, key=lambda way: seconds[way])
    flash = AttentionBackend("flash")
    return best if seconds[best] <= MATMUL_MARGIN * seconds[flash] else flash


def _measure_backends(shape: AttentionShape) -> dict[AttentionBackend, float]:
    """Seconds of a forward and backward pass by backend; the minimum over alternating rounds."""
    ways = _candidate_backends(shape.length)
    if len(ways) == 1:
        return {ways[0]: 0.0}
    use_compile_cache()
    calls = {way: _make_timed_call(shape, way) for way in ways}
    for call in calls.values():
        call()  # compiles
    times: dict[AttentionBackend, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, call in calls.items():
            times[way].append(call())
    return {way: min(own) for way, own in times.items()}


def _make_timed_call(shape: AttentionShape, backend: AttentionBackend) -> Callable[[], float]:
    """A function that runs one sequence forward and backward and returns its seconds."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator().manual_seed(0)

    def random(heads: int) -> Tensor:
        size = (1, heads, shape.length, shape.head_dim)
        return torch.randn(size, generator=generator).to(dtype).requires_grad_()

    q, k, v = random(shape.heads), random(shape.kv_heads), random(shape.kv_heads)
    documents = (torch.arange(shape.length) // 100)[None] if shape.is_packed else None
    function = torch.compile(_backend_function(backend), dynamic=False)

    def call() -> float:
        started = time.perf_counter()
        out = function(q, k, v, Mask(documents=documents))
        torch.autograd.grad(out, (q, k, v), torch.ones_like(out))
        return time.perf_counter() - started

    return call


def _backend_function(
    backend: AttentionBackend,
) -> Callable[[Tensor, Tensor, Tensor, Mask], Tensor]:
    """Attention by one backend."""

    def run(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        if backend.kind == "flash":
            return flash_attention(q, k, v, mask=mask)
        return matmul_attention(q, k, v, mask=mask, chunk=backend.chunk)

    return run
