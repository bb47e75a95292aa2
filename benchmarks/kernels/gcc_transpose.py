"""GCC 12 and bfloat16: torch.compile gives garbage where a transposed tensor is read in halves.

    python -m benchmarks.kernels.gcc_transpose
    CXX=g++-14 python -m benchmarks.kernels.gcc_transpose

No groundup is needed. Rotary positions turn the two halves of a gradient that comes transposed out
of a matrix product. torch's generated C++ transposes blocks of 32 x 32 by
`at::vec::transpose_mxn<BFloat16>` (AVX-512), which g++ 12.4 miscompiles at -O3; 13.3 and 14.2 do
not, nor does 12.4 with -fno-tree-slp-vectorize, which is tried second. See
docs/reference/kernels.md.
"""

import shutil
import subprocess

import torch
import torch._inductor.config as inductor


def rotated(x: torch.Tensor, sin: torch.Tensor, cos: torch.Tensor) -> torch.Tensor:
    """The halves of each transposed row, turned by angles."""
    b, a = x.mT.chunk(2, dim=-1)
    a, b = a.float(), b.float()
    parts = (a * sin + b * cos).to(x.dtype), (a * cos - b * sin).to(x.dtype)
    return torch.cat(parts, dim=-1)


def main() -> None:
    """Count wrong numbers as torch compiles by itself, and without the faulty optimisation."""
    compiler = shutil.which(inductor.cpp.cxx[1]) or "g++"
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    print(f"{said.splitlines()[0]}, torch {torch.__version__}, "
          f"{torch.backends.cpu.get_cpu_capability()}")  # fmt: skip
    torch.manual_seed(0)
    sin, cos = torch.rand(1, 128, 32), torch.rand(1, 128, 32)
    for flags in (None, "native -fno-tree-slp-vectorize"):
        inductor.cpp.march = flags
        for dtype in (torch.bfloat16, torch.float32):
            x = torch.randn(2, 64, 128).to(dtype)
            torch.compiler.reset()
            right, found = rotated(x, sin, cos), torch.compile(rotated)(x, sin, cos)
            apart = ~torch.isclose(right.float(), found.float(), rtol=0.01, atol=0.01)
            print(f"march={flags or 'native'}, {dtype}: {int(apart.sum()):,} of {apart.numel():,} "
                  f"numbers are wrong, {int((~found.isfinite()).sum()):,} not finite")  # fmt: skip


if __name__ == "__main__":
    main()
