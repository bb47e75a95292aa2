"""Every line says something, and what is absent is said with what it costs."""

from groundup.core import device
from groundup.recipes.doctor import EXTRAS, doctor


def test_every_row_has_a_value_and_speeds_are_measured():
    rows = dict(line.split("  ", 1) for line in str(doctor()).splitlines())
    names = {"processor", "memory", "disk here", "float32", "bfloat16", "computes in", "torch"}
    assert names <= {name.strip() for name in rows}
    assert all(value.strip() for value in rows.values())
    speeds = device.measure()
    assert min(speeds.float32_flops, speeds.bfloat16_flops, speeds.read_bytes_per_second) > 0


def test_an_absent_package_is_told_with_its_use_and_its_remedy(monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_package", ("retrieve", "finding things"))
    last = str(doctor()).splitlines()[-1]
    assert last.startswith("no_such_package")
    assert last.endswith("absent, needed for finding things: pip install 'groundup[retrieve]'")


def test_facts_and_figures_have_names(monkeypatch):
    speeds = device.Speeds(1e11, 2e11, 3e10)  # a busy machine keeps none: two readings would differ
    monkeypatch.setattr(device, "measure", lambda again=False: speeds)
    found = doctor()
    assert found.machine == device.describe() and found.speeds == speeds
    assert found.compute_dtype in ("float32", "bfloat16") and found.disk_free_bytes > 0
    assert set(found.packages) == {"torch", *EXTRAS} and found.packages["torch"]


def test_without_a_compiler_it_says_what_that_means(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    assert "none: models run uncompiled, slower but equal" in str(doctor())
