"""Compiled functions and their persistent cache.

torch caches compiled code below /tmp under a key of graph, settings and version. The code targets
this CPU, which is not in the key, so a cache shared by two machines may contain unsupported
instructions. So the cache is a folder in the user's cache, one per CPU, version, compiler and
number of threads. torch loads pickles from it, so it must be private to the user; else a new folder
is used.

GCC 12 at -O3 miscompiles torch's bfloat16 transpose with AVX-512: gradients are garbage or NaN.
Disabling the SLP vectoriser, which that code does not need, avoids it; see
docs/reference/kernels.md and benchmarks/kernels/gcc_transpose.py.
"""

import functools
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from groundup.core import device, native

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
