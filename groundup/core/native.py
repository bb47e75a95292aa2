"""C++ extensions compiled at first use and cached in the user's cache folder.

The cached file's name is a hash of source, flags, compiler and processor, so no stale library is
loaded; it is renamed into place, so processes that start together do not conflict. Without a
compiler a library that the wheel brings is taken (prebuilt.py), and without one callers fall back
to numpy or torch.
"""

import atexit
import ctypes
import os
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from . import device, prebuilt, record
from .artifact import digest
from .errors import CapacityError

if TYPE_CHECKING:
    import numpy

ALIGNMENT = 64
SIMD_LANES = 16
COMPILE_TIMEOUT_SECONDS = 120


def load_library(source: Path, instead: str) -> ctypes.CDLL | None:
    """Load the compiled source; None if there is no compiler or it fails, which is logged once.

    A line `// flags: …` of the source has flags of its own.

    instead  the caller's fallback for the log: `numpy, hundreds of times slower`; empty: no log
    """
    return _load_cached(source, device.compiler(), instead)


@cache
def _load_cached(source: Path, compiler: str, instead: str) -> ctypes.CDLL | None:
    """`load_library` with the compiler as part of the cache key."""
    if not compiler:
        has = set(device.cpu_flags())
        for level, needs in prebuilt.LEVELS.items():
            path = prebuilt.library_path(source, level)
            if set(needs.split()) <= has and path.is_file():
                return ctypes.CDLL(str(path))
        _log_fallback(f"Not compiled ({device.missing_compiler()}): {source.stem}", instead)
        return None
    for folder in (lambda: device.private_cache_folder("native"), private_folder):
        try:
            return ctypes.CDLL(str(_compile_library(source, compiler, folder())))
        except OSError:
            continue  # the cache is not writable, or its file system is mounted noexec
        except subprocess.SubprocessError as error:
            output = (getattr(error, "stderr", None) or "").strip() or str(error)
            _log_fallback(
                f"{compiler} cannot compile {source.stem} ({output.splitlines()[0]}): it", instead
            )
            return None
    return None


@cache
def private_folder() -> Path:
    """Temporary folder of this process; a shared one could contain files of other users."""
    folder = tempfile.mkdtemp(prefix="groundup-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _log_fallback(what: str, instead: str) -> None:
    if instead:
        record.log(f"{what} runs in {instead}.")


def _compile_library(source: Path, compiler: str, folder: Path) -> Path:
    flags = prebuilt.compiler_flags(source)
    headers = [path.read_text(encoding="utf-8") for path in sorted(source.parent.glob("*.h"))]
    processor = [device.processor_name(), *device.cpu_flags()]
    key = digest([source.read_text(encoding="utf-8"), headers, flags, compiler, processor])
    target = folder / f"{source.stem}-{key[:16]}.so"
    if target.is_file() and _is_private_file(target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{source.stem}-", suffix=".so")
    os.close(handle)
    try:
        subprocess.run(
            [compiler, *flags, "-o", partial, str(source)], check=True, capture_output=True,
            text=True, errors="replace", timeout=COMPILE_TIMEOUT_SECONDS,
        )  # fmt: skip
        os.chmod(partial, 0o755)
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def _is_private_file(file: Path) -> bool:
    about = file.lstat()
    return (
        stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o022
    )


def _pad_width(width: int) -> int:
    """Round a width up to a multiple of the native loops' vector length.

    >>> _pad_width(100)
    112
    """
    return -(-width // SIMD_LANES) * SIMD_LANES


def aligned_zeros(rows: int, width: int) -> "numpy.ndarray":
    """Zeros, float32, of shape (rows, padded width) whose rows are aligned to 64 bytes.

    Raises CapacityError if it does not fit into memory.
    """
    import numpy as np

    size = np.float32().itemsize
    count = rows * _pad_width(width)
    if count * size > device.total_memory_bytes():
        need, have = (record.format_bytes(n) for n in (count * size, device.total_memory_bytes()))
        raise CapacityError(
            f"{rows:,} vectors of {width} numbers need {need}, more than the machine's {have}; "
            "raise min_count or lower width."
        )
    buffer = np.zeros(count + ALIGNMENT // size, np.float32)
    start = (-buffer.ctypes.data % ALIGNMENT) // size
    return buffer[start : start + count].reshape(rows, _pad_width(width))


def data_pointer(values: "numpy.ndarray | None") -> int | None:
    """Address of an array's first element; None for None."""
    return None if values is None else values.ctypes.data
