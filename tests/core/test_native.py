"""Compiled code is made once, appears whole, and is done without where it cannot be had."""

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from groundup.core import CapacityError, device, prebuilt, record
from groundup.core.native import (
    _compile_library,
    _load_cached,
    _pad_width,
    aligned_zeros,
    data_pointer,
    load_library,
    private_folder,
)

SOURCE = 'extern "C" int answer() { return 42; }\n'
needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "small.cpp"
    path.write_text(SOURCE)
    return path


@needs_compiler
def test_what_is_compiled_is_kept(source, tmp_path):
    first = _compile_library(source, device.compiler(), tmp_path / "cache")
    made = first.stat().st_mtime_ns
    assert _compile_library(source, device.compiler(), tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == made
    source.write_text(SOURCE.replace("42", "43"))
    assert _compile_library(source, device.compiler(), tmp_path / "cache") != first
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".so", ".so"]


@needs_compiler
def test_all_that_makes_other_code_makes_another_file(source, tmp_path):
    known = _compile_library(source, device.compiler(), tmp_path / "cache")
    source.write_text("// flags: -DODD=1\n" + SOURCE.replace("42", "ODD"))
    odd = _compile_library(source, device.compiler(), tmp_path / "cache")
    assert odd != known and ctypes.CDLL(str(odd)).answer() == 1
    (tmp_path / "near.h").write_text("// included by nobody yet\n")
    beside = _compile_library(source, device.compiler(), tmp_path / "cache")
    (tmp_path / "near.h").write_text("// other words\n")
    assert (
        len({known, beside, _compile_library(source, device.compiler(), tmp_path / "cache")}) == 3
    )


@needs_compiler
def test_runs_that_start_together_do_not_meet(source, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(_compile_library, source, device.compiler(), tmp_path / "cache")
            for _ in range(4)
        ]
    found = {run.result() for run in runs}
    assert len(found) == 1 and set((tmp_path / "cache").iterdir()) == found
    assert ctypes.CDLL(str(found.pop())).answer() == 42


@needs_compiler
def test_a_failing_compiler_is_told_and_done_without(source, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'no such flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "log", print)
    _load_cached.cache_clear()
    assert _load_cached(source, str(broken), "numpy") is None
    assert "cannot compile small (no such flag)" in capsys.readouterr().out
    assert not list((tmp_path / "cache" / "groundup" / "native").iterdir())


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(source, tmp_path, monkeypatch):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root writes everywhere, but in a folder of the system itself
        folder = Path("/proc/self" if Path("/proc/self").is_dir() else "/dev/fd")
    with pytest.raises(OSError):
        (folder / "cache").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    _load_cached.cache_clear()
    assert load_library(source, "numpy") is not None


@needs_compiler
def test_a_cache_that_is_a_file_is_done_without(source, tmp_path, monkeypatch):
    (tmp_path / "groundup").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _load_cached.cache_clear()
    assert load_library(source, "numpy") is not None


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("GROUNDUP_COMPILE", "0", "GROUNDUP_COMPILE=0 turns the compiler off"),
        ("PATH", "/nowhere", "no C++ compiler"),
    ],
)
def test_without_a_compiler_the_reason_is_said(source, monkeypatch, capsys, variable, value, said):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(record, "log", print)
    assert load_library(source, "numpy") is None
    assert capsys.readouterr().out == f"Not compiled ({said}): small runs in numpy.\n"


@pytest.mark.parametrize("said", ["  ", "\\377 is no letter"], ids=["blank", "bytes"])
def test_a_compiler_may_fail_in_any_words(source, tmp_path, monkeypatch, capsys, said):
    broken = tmp_path / "c++"
    broken.write_text(f"#!/bin/sh\nprintf '{said}' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "log", print)
    _load_cached.cache_clear()
    assert _load_cached(source, str(broken), "numpy") is None
    assert "cannot compile small" in capsys.readouterr().out


@needs_compiler
def test_what_lies_in_a_shared_folder_is_not_loaded(source, tmp_path, monkeypatch):
    (tmp_path / "groundup").write_text("")  # the cache cannot be used
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    planted = _compile_library(source, device.compiler(), tmp_path)
    planted.write_bytes(b"not ours")
    private_folder.cache_clear()
    assert load_library(source, "numpy").answer() == 42
    assert stat.S_IMODE(private_folder().stat().st_mode) == 0o700
    private_folder.cache_clear()


@needs_compiler
def test_a_library_that_another_may_have_written_is_made_anew(source, tmp_path):
    planted = _compile_library(source, device.compiler(), tmp_path)
    planted.write_bytes(b"not ours")
    planted.chmod(0o777)
    assert ctypes.CDLL(str(_compile_library(source, device.compiler(), tmp_path))).answer() == 42
    outside = tmp_path / "elsewhere.so"
    outside.write_bytes(b"not ours")
    planted.unlink()
    planted.symlink_to(outside)
    assert ctypes.CDLL(str(_compile_library(source, device.compiler(), tmp_path))).answer() == 42
    assert outside.read_bytes() == b"not ours" and not planted.is_symlink()


def test_the_cache_of_what_is_run_is_the_user_s_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "groundup" / "native").mkdir(parents=True, mode=0o777)
    (tmp_path / "groundup").chmod(0o777)
    place = device.private_cache_folder("native")
    assert [stat.S_IMODE(p.stat().st_mode) for p in (place, place.parent)] == [0o700, 0o700]
    monkeypatch.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="another user's"):
        device.private_cache_folder("native")


def test_without_a_compiler_there_is_no_library(source, monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    assert load_library(source, "numpy") is None


def test_rows_are_whole_vectors_at_even_places():
    for width in (1, 16, 17, 100):
        rows = aligned_zeros(5, width)
        assert rows.shape == (5, _pad_width(width)) and rows.dtype == np.float32
        assert data_pointer(rows) % 64 == 0 and rows.flags.c_contiguous and not rows.any()
    assert data_pointer(None) is None


def test_more_than_the_memory_is_refused():
    with pytest.raises(CapacityError, match="raise min_count or lower width"):
        aligned_zeros(10**9, 4096)


@needs_compiler
def test_without_a_compiler_a_wheel_s_library_is_loaded_if_the_processor_has_its_level(
    source, tmp_path, monkeypatch
):
    level = next(iter(prebuilt.LEVELS))
    path = prebuilt.library_path(source, level)
    path.parent.mkdir()
    flags = [f for f in prebuilt.compiler_flags(source, level) if not f.startswith("-m")]
    subprocess.run([device.compiler(), *flags, "-o", path, source], check=True)
    for has, loads in ((prebuilt.LEVELS[level], True), ("fpu sse2", False)):
        monkeypatch.setattr(device, "cpu_info", lambda has=has: {"flags": has})
        _load_cached.cache_clear()
        library = _load_cached(source, "", "")
        assert (library is not None) == loads and (not loads or library.answer() == 42)
    source.write_text(SOURCE + "// changed since\n")
    monkeypatch.setattr(device, "cpu_info", lambda: {"flags": prebuilt.LEVELS[level]})
    _load_cached.cache_clear()
    assert _load_cached(source, "", "") is None


@pytest.mark.slow
@needs_compiler
def test_a_wheel_has_a_library_of_every_source_for_every_level(tmp_path):
    root = Path(prebuilt.__file__).parents[2]
    copy = tmp_path / "source"
    shutil.copytree(root / "groundup", copy / "groundup")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(root / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-q", "-w", str(tmp_path)]
    subprocess.run(command, cwd=copy, check=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for source in root.glob("groundup/**/*.cpp"):
        for level in prebuilt.LEVELS:
            path = prebuilt.library_path(source, level).relative_to(root)
            assert path.as_posix() in names, path
