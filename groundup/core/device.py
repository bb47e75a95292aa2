"""The machine: its hardware, its measured speed, and the torch settings derived from them.

Decisions depend on instruction sets and measurements, never on processor names. Matrix peak and
memory bandwidth are measured once (two seconds) and cached in the user's cache folder.
docs/log/2026-11.md has the figures of two processors.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .child import python_command, python_environment
from .errors import ConfigError

if TYPE_CHECKING:
    import torch

# Keep freed memory and use huge pages: trains 17 % faster with AMX, 28 % without.
ALLOCATOR = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=34359738368:glibc.malloc.top_pad=67108864"
)
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Device:
    """The machine's hardware."""

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
    """Measured speeds of the machine."""

    float32_flops: float
    """Floating-point operations a second of a 2048 x 768 x 3072 matrix product."""
    bfloat16_flops: float
    read_bytes_per_second: float
    """Memory read bandwidth."""
    measured: str = ""
    """When: ISO 8601, UTC, to the minute."""


def detect_device() -> Device:
    """Detect the hardware without measuring; imports torch only if nvidia-smi exists."""
    return Device(
        processor=processor_name(),
        cores=available_cores(),
        instruction_sets=instruction_sets(),
        memory_bytes=total_memory_bytes(),
        cuda=_cuda_name(),
        compiler=compiler(),
    )


def available_cores() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def cpu_info() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def processor_name() -> str:
    """Name of the processor."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """What the processor can do, by the kernel's names; none where it does not tell."""
    facts = cpu_info()
    return (facts.get("flags") or facts.get("Features") or "").split()


def instruction_sets() -> tuple[str, ...]:
    """Those of INSTRUCTION_SETS that the processor supports."""
    flags = set(cpu_flags())
    return tuple(name for name in INSTRUCTION_SETS if name in flags)


def total_memory_bytes() -> int:
    """Physical memory of the machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cuda_name() -> str:
    if not shutil.which("nvidia-smi"):
        return ""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""


def env_choice(variable: str, off: str, other: str) -> str:
    """Value of an environment variable that allows two values; empty if it is not set.

    Raises ConfigError for any other value.
    """
    value = os.environ.get(variable, "")
    if value not in ("", off, other):
        raise ConfigError(f"{variable}={value} must be {off} or {other}, or not set.")
    return value


def env_flag(variable: str) -> bool:
    """Whether an environment variable enables a feature: off for 0, on for 1 or unset."""
    return env_choice(variable, "0", "1") != "0"


def compiler() -> str:
    """Path of the C++ compiler; empty if there is none or GROUNDUP_COMPILE=0 disables it."""
    if not env_flag("GROUNDUP_COMPILE"):
        return ""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (found := _find_program(name, os.environ.get("PATH"))):
            return found
    return ""


def missing_compiler() -> str:
    """Why there is no compiler, for messages."""
    is_on = env_flag("GROUNDUP_COMPILE")
    return "no C++ compiler" if is_on else "GROUNDUP_COMPILE=0 turns the compiler off"


@functools.cache
def _find_program(program: str, folders: str | None) -> str | None:
    return shutil.which(program, path=folders)


def fingerprint() -> dict[str, Any]:
    """Properties of the machine that must be equal for bit-equal results."""
    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "instruction_sets": list(instruction_sets()),
        "compiled": bool(compiler()),
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def short_digest(facts: dict[str, Any]) -> str:
    """Hash of 16 hex digits that names a machine's cache entries."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def package_version(name: str) -> str:
    """Installed version of a package; empty if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def default_device() -> "torch.device":
    """CUDA if available, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(device: "torch.device | None" = None) -> "torch.dtype":
    """Dtype to compute in: bfloat16 if it was measured at least 1.5 times as fast as float32.

    GROUNDUP_DTYPE=float32 or bfloat16 overrides it.
    """
    import torch

    if name := env_choice("GROUNDUP_DTYPE", "float32", "bfloat16"):
        return getattr(torch, name)
    if (device or default_device()).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    speeds = measure_speeds()
    faster = speeds.bfloat16_flops >= 1.5 * speeds.float32_flops
    return torch.bfloat16 if faster else torch.float32


def measure_speeds(again: bool = False) -> Speeds:
    """Measure matrix peaks and read bandwidth once; later calls read the cached figures."""
    file = speeds_file()
    if not again:
        try:
            if (cached := Speeds(**json.loads(file.read_text()))).measured:
                return cached
        except (OSError, ValueError, TypeError):
            pass  # not measured yet, or an older groundup's figures, which have no date
    speeds = _measure_now()
    if os.getloadavg()[0] > 2 * available_cores():
        return speeds  # measured on a busy machine: do not cache
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(speeds)))
    except OSError:
        pass  # an unwritable cache only costs two seconds the next time
    return speeds


def speeds_file() -> Path:
    """Where the figures of this machine are kept, for each OMP_NUM_THREADS its own."""
    facts = fingerprint() | {"threads": os.environ.get("OMP_NUM_THREADS", "")}
    return cache_folder() / f"device-{short_digest(facts)}.json"


def cache_folder() -> Path:
    """Cache folder: $XDG_CACHE_HOME/groundup or ~/.cache/groundup."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "groundup"


def private_cache_folder(*names: str) -> Path:
    """A cache folder for executable files: owned by this user and writable by nobody else.

    It is created if missing. Raises OSError if another user owns it or it cannot be created.
    """
    folder = cache_folder()
    for name in ("", *names):
        folder = folder / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if {folder.lstat().st_uid, folder.stat().st_uid} != {os.geteuid()}:
            raise PermissionError(errno.EPERM, "the folder is another user's", str(folder))
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def _measure_now() -> Speeds:
    import torch

    def flops(dtype: "torch.dtype", rows: int = 2048) -> float:
        a, b = torch.randn(rows, 768).to(dtype), torch.randn(768, 3072).to(dtype)
        return 2 * rows * 768 * 3072 / best_seconds(lambda: torch.mm(a, b))

    block = torch.ones(2**26)  # 256 MiB: larger than any cache here
    half = block.numel() // 2
    seconds = best_seconds(lambda: torch.dot(block[:half], block[half:]))
    float32, bfloat16 = flops(torch.float32), flops(torch.bfloat16, rows=32)
    if bfloat16 > float32 / 4:  # with AVX2 alone it is a hundredth, and all rows take a minute
        bfloat16 = flops(torch.bfloat16)
    return Speeds(
        float32_flops=float32,
        bfloat16_flops=bfloat16,
        read_bytes_per_second=block.numel() * block.element_size() / seconds,
        measured=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    )


def best_seconds(work: Callable[[], object], budget_seconds: float = 0.4) -> float:
    """Minimum time of a call, repeated within a time budget after one warm-up call."""
    work()
    times: list[float] = []
    end = time.perf_counter() + budget_seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def set_num_threads(threads: int | None = None) -> int:
    """Set torch's thread count (default: OMP_NUM_THREADS, else all cores) and return it.

    Raises ConfigError if it is not a positive number.
    """
    import torch

    levels = os.environ.get("OMP_NUM_THREADS", "").split(",")  # OpenMP allows one per nesting level
    number = levels[0].strip()
    if not number.isdecimal() and number:
        raise ConfigError(f"OMP_NUM_THREADS={number!r} must be a number of threads, such as 2.")
    threads = threads or int(number or 0) or available_cores()
    if threads < 1:
        raise ConfigError(f"threads={threads} must be at least 1.")
    torch.set_num_threads(threads)
    return threads


def allocator_settings() -> dict[str, str]:
    """Environment variables that tune glibc's allocator; empty if it should not be tuned.

    A user's own GLIBC_TUNABLES or LD_PRELOAD is respected; GROUNDUP_ALLOCATOR=0 disables tuning.
    """
    own = "GLIBC_TUNABLES" in os.environ or "LD_PRELOAD" in os.environ
    if not env_flag("GROUNDUP_ALLOCATOR") or own or platform.libc_ver()[0] != "glibc":
        return {}
    return {"GLIBC_TUNABLES": ALLOCATOR}


def restart_with_allocator() -> None:
    """Re-execute this process with glibc's allocator tuned; glibc reads its tunables only at start.

    Does nothing if it is tuned already.
    """
    if settings := allocator_settings():
        command = python_command(*sys.orig_argv[1:])
        os.execve(command[0], command, python_environment(settings))


def device_summary() -> str:
    """One-line summary of the machine and the dtype and compiler chosen for it."""
    import torch

    device, threads = detect_device(), torch.get_num_threads()
    dtype = str(compute_dtype()).removeprefix("torch.")
    speeds = measure_speeds()
    peak = max(speeds.float32_flops, speeds.bfloat16_flops) / 1e9
    name = device.cuda or f"{device.processor}, {threads} threads"
    compiled = "compiled" if device.compiler else f"not compiled ({missing_compiler()})"
    return (
        f"{name}: {dtype}, {compiled}; matrix peak {peak:,.0f} GFLOP/s, "
        f"memory {speeds.read_bytes_per_second / 1e9:.0f} GB/s"
    )
