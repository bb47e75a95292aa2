"""Compiled libraries that a wheel brings for machines without a compiler: flags, levels, names.

The wheel's build (setup.py) runs this file alone, so it imports nothing of the package.
"""

import hashlib
import platform
import re
from pathlib import Path

COMPILER_FLAGS = (
    "-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
OWN_FLAGS = re.compile(r"^// flags: (.*)$", re.MULTILINE)
IS_ARM = platform.machine().lower() in ("arm64", "aarch64")
AVX512 = "avx2 bmi2 f16c fma avx512f avx512bw avx512cd avx512dq avx512vl"
LEVELS = {"armv8.2-a+dotprod": "asimddp"} if IS_ARM else {
    "x86-64-v4+avx512vnni+avx512bf16+amx-tile+amx-bf16": f"{AVX512} avx512_vnni avx512_bf16",
    "x86-64-v4": AVX512,
    "x86-64-v3": "avx2 bmi2 f16c fma",
}  # fmt: skip
"""Instruction sets to compile for, the best first, and what of /proc/cpuinfo each needs.
Tiles (AMX) are used only where the system gives them."""


def compiler_flags(source: Path, level: str = "native") -> list[str]:
    """The flags of a source: those of all, the processor's, and those of its line `// flags:`."""
    own = OWN_FLAGS.search(source.read_text(encoding="utf-8"))
    if IS_ARM:
        target = [f"-mcpu={level}" if level == "native" else f"-march={level}"]
    else:
        first, *more = level.split("+")
        target = [f"-march={first}", *(f"-m{name}" for name in more)]
    return [*COMPILER_FLAGS, *target, *(own[1].split() if own else ())]


def library_path(source: Path, level: str) -> Path:
    """Where a wheel has the library of this very source, headers and flags."""
    texts = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    flags = " ".join(compiler_flags(source, level)).encode()
    key = hashlib.sha256(b"\0".join([*texts, flags])).hexdigest()[:12]
    return source.parent / "prebuilt" / f"{source.stem}-{level}-{key}.so"
