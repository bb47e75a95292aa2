"""Products by every set of instructions: this processor's, and ARM's in an emulator.

The emulator needs apt-get install g++-aarch64-linux-gnu qemu-user.
"""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import groundup.kernels
from groundup.core import device

HERE = Path(__file__).parent
SOURCES = Path(groundup.kernels.__file__).parent / "native"
CROSS, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
WIDE = ("-march=native", "-mno-amx-bf16")


def check_products(compiler, flags, run, folder):
    program = folder / "products"
    words = [compiler, "-std=c++17", "-O2", *flags, "-pthread", f"-I{SOURCES}", "-o", program]
    subprocess.run([*words, HERE / "products.cpp"], check=True, timeout=120)
    done = subprocess.run([*run, program], check=True, capture_output=True, text=True, timeout=60)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 32
    assert all(float(error) < 2e-6 for _, _, error in lines), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of x86-64")
@pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
@pytest.mark.parametrize(
    ("flags", "needs"),
    [
        (("-march=native",), ""),
        ((*WIDE, "-DGROUNDUP_PAIRS"), "avx512_bf16"),
        ((*WIDE, "-mno-avx512bf16"), "avx512f"),
        (("-march=x86-64-v3",), "avx2"),
    ],
    ids=["all that there is", "pairs of halves", "AVX-512 without halves", "AVX2"],
)
def test_products_are_those_of_double_precision(flags, needs, tmp_path):
    if needs and needs not in device.cpu_flags():
        pytest.skip(f"this processor has no {needs}")
    check_products(device.compiler(), flags, (), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["armv8.2-a+dotprod", "armv8-a"])
def test_products_of_arm_are_those_of_double_precision(architecture, tmp_path):
    if not shutil.which(CROSS) or not shutil.which(EMULATOR):
        pytest.skip(f"needs {CROSS} and {EMULATOR}")
    flags = (f"-march={architecture}", "-static")
    check_products(CROSS, flags, (EMULATOR, "-cpu", "max"), tmp_path)
