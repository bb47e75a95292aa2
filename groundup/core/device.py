"""The machine: what it has, how fast it is, and how to use it.

Code chooses by what the processor has and by measurement, never by name. Matrix peak and memory
bandwidth are measured once (two seconds) and kept in the user's cache folder. Figures of two
processors, class by class, stand in docs/performance notes of docs/LOG.md.
"""

import errno
import functools
import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .child import python_command, python_environment
from .errors import ConfigError

if TYPE_CHECKING:
    import torch

# Keep freed memory and use huge pages: worth 17 % of training speed with AMX, 28 % without.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=34359738368:glibc.malloc.top_pad=67108864"
)
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Device:
    """What the machine has."""

    processor: str
    cores: int
    instruction_sets: tuple[str, ...]
    memory_bytes: int
    cuda: str
    """Name of the first CUDA device, or empty."""
    compiler: str
    """C++ compiler that torch.compile would use, or empty."""


@dataclass(frozen=True)
class Speeds:
    """What the machine does, measured."""

    float32_flops: float
    """Floating-point operations a second of a 2048 x 768 x 3072 matrix product."""
    bfloat16_flops: float
    read_bytes_per_second: float
    """Memory read bandwidth."""
    measured: str = ""
    """When: ISO 8601, UTC, to the minute."""


def describe() -> Device:
    """Find what the machine has; no measurement, no torch unless CUDA may be there."""
    return Device(
        processor=processor_name(),
        cores=cores(),
        instruction_sets=instruction_sets(),
        memory_bytes=memory_bytes(),
        cuda=cuda_name(),
        compiler=compiler(),
    )


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def cpu_facts() -> dict[str, str]:
    """First processor's facts as the kernel tells them; empty where it does not."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def processor_name() -> str:
    """Name of the processor."""
    return cpu_facts().get("model name") or platform.processor() or platform.machine()


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets that matter here and that the processor has."""
    flags = set((cpu_facts().get("flags") or cpu_facts().get("Features") or "").split())
    return tuple(name for name in INSTRUCTION_SETS if name in flags)


def memory_bytes() -> int:
    """Memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cuda_name() -> str:
    """Name of the first CUDA device, or empty."""
    if not shutil.which("nvidia-smi"):
        return ""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def switch(variable: str, one: str, other: str) -> str:
    """Which of two words a variable of the environment says; empty if it is not set.

    Raises ConfigError if it says anything else.
    """
    wanted = os.environ.get(variable, "")
    if wanted not in ("", one, other):
        raise ConfigError(f"{variable}={wanted} must be {one} or {other}, or not set.")
    return wanted


def is_on(variable: str) -> bool:
    """Whether a variable of the environment leaves a lever on: 0 does not, 1 or nothing does."""
    return switch(variable, "0", "1") != "0"


def compiler() -> str:
    """Path of the C++ compiler, or empty if there is none or GROUNDUP_COMPILE=0 turns it off."""
    if not is_on("GROUNDUP_COMPILE"):
        return ""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (found := place_of(name, os.environ.get("PATH"))):
            return found
    return ""


@functools.cache
def place_of(program: str, folders: str | None) -> str | None:
    """Path of a program in the folders of PATH, looked for once."""
    return shutil.which(program, path=folders)


def fingerprint() -> dict[str, Any]:
    """The determinism contract: what must be equal for bit-equal results."""
    return {
        "processor": processor_name(),
        "cores": cores(),
        "instruction_sets": list(instruction_sets()),
        "compiled": bool(compiler()),
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def short_digest(facts: dict[str, Any]) -> str:
    """Sixteen letters that differ where facts do: the name of what is kept for a machine."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def package_version(name: str) -> str:
    """Installed version of a package, or empty."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def pick() -> "torch.device":
    """The device to compute on: CUDA where it is, else the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: "torch.device | None" = None) -> "torch.dtype":
    """The dtype to compute in: bfloat16 where it was measured at least 1.5 times as fast.

    GROUNDUP_DTYPE=float32 or bfloat16 says it instead.
    """
    import torch

    if wanted := switch("GROUNDUP_DTYPE", "float32", "bfloat16"):
        return getattr(torch, wanted)
    if (device or pick()).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    speeds = measure()
    faster = speeds.bfloat16_flops >= 1.5 * speeds.float32_flops
    return torch.bfloat16 if faster else torch.float32


def measure(again: bool = False) -> Speeds:
    """Measure matrix peaks and read bandwidth once; later calls read the cached figures."""
    place = cache_folder() / f"device-{short_digest(fingerprint())}.json"
    if not again:
        try:
            if (kept := Speeds(**json.loads(place.read_text()))).measured:
                return kept
        except (OSError, ValueError, TypeError):
            pass  # not measured yet, or an older groundup's figures, which have no date
    speeds = _measure_now()
    if os.getloadavg()[0] > 2 * cores():
        return speeds  # of a machine that is busy with other things: not worth keeping
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(asdict(speeds)))
    except OSError:
        pass  # an unwritable cache costs two seconds the next time, nothing more
    return speeds


def cache_folder() -> Path:
    """Folder for what may be lost: $XDG_CACHE_HOME/groundup or ~/.cache/groundup."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "groundup"


def private_cache(*names: str) -> Path:
    """A folder of the cache for what is run: this user's, and nobody else may write there.

    It is made if it is missing. Raises OSError if it is another's, or cannot be made.
    """
    place = cache_folder()
    for name in ("", *names):
        place = place / name
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if {place.lstat().st_uid, place.stat().st_uid} != {os.geteuid()}:
            raise PermissionError(errno.EPERM, "the folder is another user's", str(place))
        if place.stat().st_mode & 0o077:
            place.chmod(0o700)
    return place


def _measure_now() -> Speeds:
    import torch

    def flops(dtype: "torch.dtype") -> float:
        a, b = torch.randn(2048, 768).to(dtype), torch.randn(768, 3072).to(dtype)
        return 2 * 2048 * 768 * 3072 / best_seconds(lambda: torch.mm(a, b))

    block = torch.ones(2**26)  # 256 MiB: larger than any cache here
    half = block.numel() // 2
    seconds = best_seconds(lambda: torch.dot(block[:half], block[half:]))
    return Speeds(
        float32_flops=flops(torch.float32),
        bfloat16_flops=flops(torch.bfloat16),
        read_bytes_per_second=block.numel() * block.element_size() / seconds,
        measured=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    )


def best_seconds(work: Callable[[], object], budget_seconds: float = 0.4) -> float:
    """Shortest time of one call within a small budget, after one warm-up call."""
    work()
    times: list[float] = []
    end = time.perf_counter() + budget_seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def use_cores(threads: int | None = None) -> int:
    """Let torch use these threads (OMP_NUM_THREADS, else all cores, if None); return the number.

    Raises ConfigError if either is no number of threads.
    """
    import torch

    levels = os.environ.get("OMP_NUM_THREADS", "").split(",")  # OpenMP's list: of nested teams
    wanted = levels[0].strip()
    if not wanted.isdecimal() and wanted:
        raise ConfigError(f"OMP_NUM_THREADS={wanted!r} must be a number of threads, such as 2.")
    threads = threads or int(wanted or 0) or cores()
    if threads < 1:
        raise ConfigError(f"threads={threads} must be at least 1.")
    torch.set_num_threads(threads)
    return threads


def allocator_settings() -> dict[str, str]:
    """Environment variables that tune the C library's allocator; empty if it is to be left.

    A user's own GLIBC_TUNABLES or a preloaded allocator is respected; GROUNDUP_ALLOCATOR=0 leaves
    it as it is.
    """
    own = "GLIBC_TUNABLES" in os.environ or "LD_PRELOAD" in os.environ
    if not is_on("GROUNDUP_ALLOCATOR") or own or platform.libc_ver()[0] != "glibc":
        return {}
    return {"GLIBC_TUNABLES": ALLOCATOR}


def restart_with_allocator() -> None:
    """Start this process again, as it was started, with the C library's allocator tuned.

    Does nothing if it is tuned already: glibc reads its tunables only when a process starts.
    """
    if settings := allocator_settings():
        command = python_command(*sys.orig_argv[1:])
        os.execve(command[0], command, python_environment(settings))


def one_line() -> str:
    """The machine and the choices made for it, in one line."""
    import torch

    device, threads = describe(), torch.get_num_threads()
    dtype = str(compute_dtype()).removeprefix("torch.")
    speeds = measure()
    peak = max(speeds.float32_flops, speeds.bfloat16_flops) / 1e9
    place = device.cuda or f"{device.processor}, {threads} threads"
    how = "compiled" if device.compiler else "not compiled (no C++ compiler)"
    return (
        f"{place}: {dtype}, {how}; matrix peak {peak:,.0f} GFLOP/s, "
        f"memory {speeds.read_bytes_per_second / 1e9:.0f} GB/s"
    )
