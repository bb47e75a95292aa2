"""Compiled functions, and a cache of them that outlives the process.

torch keeps what it compiles under a key of the graph, its settings and its own version, below /tmp.
Code is made for this processor, which that key does not name: on a folder that two machines share,
or after a move to another, a program may meet instructions that there are not. So here the folder
lies in the user's cache and is one for each processor, version, compiler and number of threads.
torch reads pickles there, as it does below /tmp; so the folder is the user's alone, or a new one.

GCC 12 at -O3 miscompiles the routine by which torch's generated code transposes bfloat16 with
AVX-512: gradients are garbage or no numbers. Without its vectoriser of straight code, which that
code has no use for, it is right; see docs/kernels.md and benchmarks/gcc_transpose.py.
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

TORCHS_OWN, PREFIX = Path(tempfile.gettempdir()), "torchinductor_"
"""Where torch keeps it by itself; it sets the variable to that as soon as it looks for it."""
SOUND = "native -fno-tree-slp-vectorize"
"""What follows `-march=` on Linux and x86-64, in the place of `native` alone."""


@functools.cache
def compiled_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled, the same object for every caller; anew for a new shape."""
    keep_compiled()
    return torch.compile(function, dynamic=False)


@functools.cache
def keep_compiled() -> Path | None:
    """Let torch keep what it compiles for later processes; return the folder, None if torch's own.

    TORCHINDUCTOR_CACHE_DIR is respected; GROUNDUP_COMPILE_CACHE=0 leaves torch its own below /tmp.
    """
    compile_soundly()
    given = Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR", TORCHS_OWN / PREFIX))
    if given.parent != TORCHS_OWN or not given.name.startswith(PREFIX):
        return given
    if not device.is_on("GROUNDUP_COMPILE_CACHE"):
        return None
    try:
        place = device.private_cache("compiled", compile_folder().name)
    except OSError:
        place = native.private_folder()  # costs the time to compile; torch's own may be another's
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(place)
    return place


def compile_soundly() -> None:
    """Let the C++ compiler leave out what miscompiles; TORCHINDUCTOR_CPP_MARCH is respected."""
    import torch._inductor.config  # a second, which only those who compile pay

    settings = torch._inductor.config.cpp
    if settings.march is None and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        settings.march = SOUND


def compile_folder() -> Path:
    """Folder of what is compiled for this processor by these versions and threads."""
    made_for = {**device.fingerprint(), "threads": torch.get_num_threads()}
    made_for["march"] = os.environ.get("TORCHINDUCTOR_CPP_MARCH", SOUND)
    if found := device.compiler():
        real = Path(found).resolve()
        made_for["compiler"] = [str(real), real.stat().st_size]  # another size: another version
    return device.cache_folder() / "compiled" / device.short_digest(made_for)
