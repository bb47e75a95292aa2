"""Wheels with the native sources compiled for the levels of groundup/core/prebuilt.py.

Without a C++ compiler the wheel is pure, and what has no library runs in numpy or torch.
"""

import runpy
import shutil
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
PREBUILT = runpy.run_path(str(Path(__file__).parent / "groundup" / "core" / "prebuilt.py"))


class BuildLibraries(build_py):
    """Compiles every native source of the package for each level."""

    def run(self) -> None:
        super().run()
        if not COMPILER or self.editable_mode:
            return
        for source in sorted(Path(self.build_lib).rglob("*.cpp")):
            for level in PREBUILT["LEVELS"]:
                target = PREBUILT["library_path"](source, level)
                target.parent.mkdir(exist_ok=True)
                flags = PREBUILT["compiler_flags"](source, level)
                made = subprocess.run([COMPILER, *flags, "-o", target, source])
                if made.returncode:  # an old compiler, or one without OpenMP
                    print(
                        f"{source.name} has no library for {level}; without it numpy or torch runs."
                    )


class PlatformWheel(bdist_wheel):
    """A wheel for any Python 3: the libraries know nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


class WithLibraries(Distribution):
    """A distribution for one platform, if there is a compiler."""

    def has_ext_modules(self) -> bool:
        return bool(COMPILER)


setup(cmdclass={"build_py": BuildLibraries, "bdist_wheel": PlatformWheel}, distclass=WithLibraries)
