"""The products of ARM's instructions, in an emulator.

It needs apt-get install g++-aarch64-linux-gnu qemu-user.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

import groundup.kernels
from groundup.core import device

HERE = Path(__file__).parent
SOURCES = Path(groundup.kernels.__file__).parent / "native"
CROSS, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiler", "flags", "run"),
    [
        (CROSS, ("-march=armv8.2-a+dotprod", "-static"), (EMULATOR, "-cpu", "max")),
        (CROSS, ("-march=armv8-a", "-static"), (EMULATOR, "-cpu", "max")),
        ("", ("-march=native",), ()),
    ],
    ids=["dot products", "without", "this processor"],
)
def test_products_are_those_of_double_precision(compiler, flags, run, tmp_path):
    compiler = compiler or device.compiler()
    needed = [each for each in (compiler, *run[:1]) if not each or not shutil.which(each)]
    if needed:
        pytest.skip(f"needs {compiler or 'a compiler'} and {' '.join(run[:1])}")
    program = tmp_path / "products"
    words = [compiler, "-std=c++17", "-O2", *flags, "-pthread", f"-I{SOURCES}", "-o", program]
    subprocess.run([*words, HERE / "products.cpp"], check=True, timeout=120)
    done = subprocess.run([*run, program], check=True, capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 24
    assert all(float(error) < 2e-6 for _, _, error in lines), done.stdout
