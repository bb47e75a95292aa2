"""Compiled functions, their persistent cache, and attention backends autotuned by it.

torch caches compiled code below /tmp under a key of graph, settings and version. The code targets
this CPU, which is not in the key, so a cache shared by two machines may contain unsupported
instructions. So the cache is a folder in the user's cache, one per CPU, version, compiler and
number of threads. torch loads pickles from it, so it must be private to the user; else a new folder
is used.

GCC 12 at -O3 miscompiles torch's bfloat16 transpose with AVX-512: gradients are garbage or NaN.
Disabling the SLP vectoriser, which that code does not need, avoids it; see
docs/reference/kernels.md and benchmarks/kernels/gcc_transpose.py.

Attention backends are tried once per shape class and machine: each is compiled alone, as it would
be inside a block, and timed forward and backward in alternation with the others. The flash kernel
stores no scores, so matrix products must be faster by a margin to be chosen.
"""

import functools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.core import ConfigError, device, native, write_json

from .attention import (
    MAX_MATMUL_LENGTH,
    AttentionBackend,
    AttentionShape,
    flash_attention,
    matmul_attention,
    parse_backend,
    quarter_chunk,
)
from .mask import Mask
from .native.interval import has_native_softmax

TORCH_CACHE_ROOT, TORCH_CACHE_PREFIX = Path(tempfile.gettempdir()), "torchinductor_"
"""torch's default cache; it sets the variable to that on first access."""
SAFE_MARCH = "native -fno-tree-slp-vectorize"
"""Replaces `native` after `-march=` on x86-64 Linux."""


@functools.cache
def compiled_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, once for all callers; recompiles for a new shape."""
    use_compile_cache()
    return torch.compile(function, dynamic=False)


@functools.cache
def use_compile_cache() -> Path | None:
    """Point torch to the persistent cache; returns its folder, or None for torch's default.

    TORCHINDUCTOR_CACHE_DIR is respected; GROUNDUP_COMPILE_CACHE=0 keeps torch's default below /tmp.
    """
    _avoid_miscompilation()
    current = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", TORCH_CACHE_ROOT / TORCH_CACHE_PREFIX))
    if current.parent != TORCH_CACHE_ROOT or not current.name.startswith(TORCH_CACHE_PREFIX):
        return current
    if not device.env_flag("GROUNDUP_COMPILE_CACHE"):
        return None
    try:
        folder = device.private_cache_folder("compiled", compile_cache_folder().name)
    except OSError:
        folder = native.private_folder()  # not persistent, but /tmp may belong to another user
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    return folder


def _avoid_miscompilation() -> None:
    """Disable the miscompiling pass of GCC; TORCHINDUCTOR_CPP_MARCH is respected."""
    import torch._inductor.config  # takes a second, so only when compiling

    settings = torch._inductor.config.cpp
    if settings.march is None and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        settings.march = SAFE_MARCH


def compile_cache_folder() -> Path:
    """Cache folder for this CPU, these versions and this number of threads."""
    key = {**device.fingerprint(), "threads": torch.get_num_threads()}
    key["march"] = os.environ.get("TORCHINDUCTOR_CPP_MARCH", SAFE_MARCH)
    if compiler := device.compiler():
        real = Path(compiler).resolve()
        key["compiler"] = [str(real), real.stat().st_size]  # the size identifies the version
    return device.cache_folder() / "compiled" / device.short_digest(key)


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
    key = {**device.fingerprint(), "threads": torch.get_num_threads()}
    key["native softmax"] = has_native_softmax("cpu", torch.float32)
    return device.cache_folder() / f"attention-{device.short_digest(key)}.json"


def _read_cache(path: Path) -> dict[str, dict[str, object]]:
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
    def run(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        if backend.kind == "flash":
            return flash_attention(q, k, v, mask=mask)
        return matmul_attention(q, k, v, mask=mask, chunk=backend.chunk)

    return run
