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
LEVELS = {"armv8.2-a+dotprod": "asimddp"} if IS_ARM else {
    "x86-64-v4": "avx2 bmi2 f16c fma avx512f avx512bw avx512cd avx512dq avx512vl",
    "x86-64-v3": "avx2 bmi2 f16c fma",
}  # fmt: skip
"""Instruction sets to compile for, the best first, and what of /proc/cpuinfo each needs."""


def compiler_flags(source: Path, level: str = "native") -> list[str]:
    """The flags of a source: those of all, the processor's, and those of its line `// flags:`."""
    own = OWN_FLAGS.search(source.read_text(encoding="utf-8"))
    target = f"-mcpu={level}" if IS_ARM and level == "native" else f"-march={level}"
    return [*COMPILER_FLAGS, target, *(own[1].split() if own else ())]


def library_path(source: Path, level: str) -> Path:
    """Where a wheel has the library of this very source, headers and flags."""
    texts = [path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))]
    flags = " ".join(compiler_flags(source, level)).encode()
    key = hashlib.sha256(b"\0".join([*texts, flags])).hexdigest()[:12]
    return source.parent / "prebuilt" / f"{source.stem}-{level}-{key}.so"
