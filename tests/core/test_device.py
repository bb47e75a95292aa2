"""The machine is described without guessing, measured once, and used as told."""

import platform
import sys
from dataclasses import replace

import pytest
import torch

from groundup.core import ConfigError, device


def test_the_description_is_of_this_machine():
    found = device.detect_device()
    assert found.cores >= 1 and found.memory_bytes > 2**27
    assert set(found.instruction_sets) <= set(device.INSTRUCTION_SETS)


def test_speeds_are_measured_once_and_anew_where_the_cache_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    first = device.measure_speeds()
    assert first.float32_flops > 1e8 and first.read_bytes_per_second > 1e8
    assert device.measure_speeds() == first
    (path,) = (tmp_path / "groundup").iterdir()
    path.write_text("{")
    other = replace(first, float32_flops=2 * first.float32_flops)
    monkeypatch.setattr(device, "_measure_now", lambda: other)
    assert device.measure_speeds() == other == device.measure_speeds()


def test_one_thread_has_speeds_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device.os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    for threads, flops in (("1", 1e11), ("2", 2e11)):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found = device.Speeds(flops, flops, 1e10, "2026-12-03T14:00Z")
        monkeypatch.setattr(device, "_measure_now", lambda found=found: found)
        assert device.measure_speeds() == found
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert device.measure_speeds().float32_flops == 1e11


def test_speeds_of_a_busy_machine_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(device.os, "getloadavg", lambda: (2.1 * device.available_cores(), 0.0, 0.0))
    monkeypatch.setattr(device, "_measure_now", lambda: device.Speeds(1e11, 2e11, 1e10))
    assert device.measure_speeds().float32_flops == 1e11
    assert not (tmp_path / "groundup").exists()


def test_the_dtype_follows_the_measurement(monkeypatch):
    for ratio, wanted in ((1.0, torch.float32), (4.0, torch.bfloat16)):
        speeds = device.Speeds(1e11, ratio * 1e11, 1e10)
        monkeypatch.setattr(device, "measure_speeds", lambda speeds=speeds: speeds)
        assert device.compute_dtype(torch.device("cpu")) == wanted


def test_an_own_allocator_is_respected(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "libtcmalloc.so")
    started = []
    monkeypatch.setattr(device.os, "execve", lambda *words: started.append(words))
    device.restart_with_allocator()
    assert started == []
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(device, "allocator_settings", lambda: {"GLIBC_TUNABLES": "x"})
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # so that it is put back
    device.restart_with_allocator()
    ((program, command, environment),) = started
    assert program == command[0] == sys.executable and environment["GLIBC_TUNABLES"] == "x"


def test_the_allocator_is_tuned_unless_it_is_to_be_left(monkeypatch):
    for name in ("LD_PRELOAD", "GLIBC_TUNABLES", "GROUNDUP_ALLOCATOR"):
        monkeypatch.delenv(name, raising=False)
    tuned = {"GLIBC_TUNABLES": device.ALLOCATOR} if platform.libc_ver()[0] == "glibc" else {}
    assert device.allocator_settings() == tuned
    monkeypatch.setenv("GROUNDUP_ALLOCATOR", "0")
    assert device.allocator_settings() == {}


def test_the_dtype_can_be_said(monkeypatch):
    monkeypatch.setenv("GROUNDUP_DTYPE", "float32")
    assert device.compute_dtype() == torch.float32
    monkeypatch.setenv("GROUNDUP_DTYPE", "int8")
    with pytest.raises(ConfigError, match="GROUNDUP_DTYPE=int8 must be float32 or bfloat16"):
        device.compute_dtype()


def test_compilation_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    assert device.compiler() == ""
    assert device.fingerprint()["compiled"] is False


def test_levers_are_on_or_off_and_nothing_else(monkeypatch):
    for wanted, is_on in (("", True), ("1", True), ("0", False)):
        monkeypatch.setenv("GROUNDUP_COMPILE", wanted)
        assert device.env_flag("GROUNDUP_COMPILE") is is_on
    for name, asked in (
        ("GROUNDUP_COMPILE", device.compiler), ("GROUNDUP_ALLOCATOR", device.allocator_settings)
    ):  # fmt: skip
        monkeypatch.setenv(name, "no")
        with pytest.raises(ConfigError, match=f"{name}=no must be 0 or 1, or not set"):
            asked()


@pytest.mark.parametrize("wanted", ["many", "-1", "1.5", "x,2"])
def test_threads_that_are_no_number_are_an_error_that_says_where(wanted, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    with pytest.raises(ConfigError, match="OMP_NUM_THREADS="):
        device.set_num_threads()


def test_threads_may_be_said_by_level_of_nesting(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert device.set_num_threads() == 1
    torch.set_num_threads(before)
