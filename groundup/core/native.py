"""C++ beside a Python file as a loaded library: compiled at first use, kept in the user's cache.

The name in the cache is a hash of source, flags, compiler and processor, so nothing stale is ever
loaded; the file appears whole or not at all, so processes that start together do not meet. Without
a compiler there is no library, and callers run their definition in numpy or torch instead.
"""

import atexit
import ctypes
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from . import device, record
from .artifact import digest
from .errors import CapacityError

FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
ALIGNMENT = 64
LANES = 16
SECONDS = 120


def library(source: Path, instead: str, flags: tuple[str, ...] = ()) -> ctypes.CDLL | None:
    """The compiled source, or None if there is no compiler or it fails, which is told once.

    instead  what its caller then does: `numpy, hundreds of times slower`; empty: tell nothing
    flags    of the compiler, besides FLAGS
    """
    return load(source, device.compiler(), instead, flags)


@cache
def load(
    source: Path, compiler: str, instead: str, flags: tuple[str, ...] = ()
) -> ctypes.CDLL | None:
    """The library that this compiler makes; see `library`."""
    if not compiler:
        tell(f"No C++ compiler: {source.stem}", instead)
        return None
    for folder in (lambda: device.private_cache("native"), private_folder):
        try:
            return ctypes.CDLL(str(compiled(source, compiler, folder(), flags)))
        except OSError:
            continue  # a cache that cannot be written to, or lies where nothing may be run from
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or "").strip() or str(error)
            tell(f"{compiler} cannot compile {source.stem} ({said.splitlines()[0]}): it", instead)
            return None
    return None


@cache
def private_folder() -> Path:
    """A folder of this process alone: what lies in a shared one, anybody may have put there."""
    folder = tempfile.mkdtemp(prefix="groundup-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def tell(what: str, instead: str) -> None:
    """Say what runs slower than it could, where that matters to anybody."""
    if instead:
        record.say(f"{what} runs in {instead}.")


def compiled(source: Path, compiler: str, folder: Path, flags: tuple[str, ...] = ()) -> Path:
    """Path of the compiled source, compiling it unless it is there."""
    flags = (*FLAGS, tuned(), *flags)
    headers = [path.read_text(encoding="utf-8") for path in sorted(source.parent.glob("*.h"))]
    facts = device.cpu_facts()
    processor = [device.processor_name(), facts.get("flags") or facts.get("Features") or ""]
    key = digest([source.read_text(encoding="utf-8"), headers, flags, compiler, processor])
    target = folder / f"{source.stem}-{key[:16]}.so"
    if target.is_file() and is_own(target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{source.stem}-", suffix=".so")
    os.close(handle)
    try:
        subprocess.run(
            [compiler, *flags, "-o", partial, str(source)],
            check=True, capture_output=True, text=True, errors="replace", timeout=SECONDS,
        )  # fmt: skip
        os.chmod(partial, 0o755)
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def is_own(file: Path) -> bool:
    """Whether a file is this user's, and nobody else may have written it."""
    about = file.lstat()
    return (
        stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o022
    )


def tuned() -> str:
    """The flag that uses all of this processor's instructions."""
    is_arm = platform.machine().lower() in ("arm64", "aarch64")
    return "-mcpu=native" if is_arm else "-march=native"


def padded(width: int) -> int:
    """The width rounded up to whole vectors of the native loops.

    >>> padded(100)
    112
    """
    return -(-width // LANES) * LANES


def aligned(rows: int, width: int, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """A matrix of zeros (rows, padded width) whose rows begin at multiples of 64 bytes.

    Raises CapacityError if it does not fit into memory.
    """
    size = np.dtype(dtype).itemsize
    count = rows * padded(width)
    if count * size > device.memory_bytes():
        raise CapacityError(
            f"{rows:,} vectors of {width} numbers need {record.size(count * size)}, more than the "
            f"machine's {record.size(device.memory_bytes())}; raise min_count or lower width."
        )
    room = np.zeros(count + ALIGNMENT // size, dtype)
    start = (-room.ctypes.data % ALIGNMENT) // size
    return room[start : start + count].reshape(rows, padded(width))


def pointer(values: np.ndarray | None) -> int | None:
    """Address of an array's first element; None for none."""
    return None if values is None else values.ctypes.data
