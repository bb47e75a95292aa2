"""Every line says something, and what is absent is said with what it costs."""

import json

from groundup.core import device
from groundup.recipes.doctor import EXTRAS, doctor


def test_every_row_has_a_value_and_speeds_are_measured():
    rows = dict(line.split("  ", 1) for line in str(doctor()).splitlines())
    names = {"processor", "memory", "disk here", "float32", "bfloat16", "computes in", "torch"}
    assert names <= {name.strip() for name in rows}
    assert all(value.strip() for value in rows.values())
    speeds = device.measure_speeds()
    assert min(speeds.float32_flops, speeds.bfloat16_flops, speeds.read_bytes_per_second) > 0


def test_an_absent_package_is_told_with_its_use_and_its_remedy(monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_package", ("retrieve", "finding things"))
    last = str(doctor()).splitlines()[-1]
    assert last.startswith("no_such_package")
    assert last.endswith("absent, needed for finding things: pip install 'groundup[retrieve]'")


def test_facts_and_figures_have_names(monkeypatch):
    speeds = device.Speeds(1e11, 2e11, 3e10)  # a busy machine keeps none: two readings would differ
    monkeypatch.setattr(device, "measure_speeds", lambda again=False: speeds)
    found = doctor()
    assert found.machine == device.detect_device() and found.speeds == speeds
    assert found.compute_dtype in ("float32", "bfloat16") and found.disk_free_bytes > 0
    assert set(found.packages) == {"torch", *EXTRAS} and found.packages["torch"]


def test_without_a_compiler_it_says_what_that_means(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE", "0")
    said = "GROUNDUP_COMPILE=0 turns the compiler off: models run uncompiled, slower but equal"
    assert said in str(doctor())
    monkeypatch.delenv("GROUNDUP_COMPILE")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no C++ compiler: models run uncompiled, slower but equal" in str(doctor())


def test_kept_figures_have_their_date_and_the_command_that_renews_them(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    place = device.speeds_file()
    place.parent.mkdir()
    kept = {"float32_flops": 1e11, "bfloat16_flops": 2e11, "read_bytes_per_second": 3e10}
    place.write_text(json.dumps(kept | {"measured": "2025-01-31T12:00Z"}))
    (row,) = [line for line in str(doctor()).splitlines() if line.startswith("measured")]
    assert "2025-01-31T12:00Z" in row and "groundup doctor --again" in row
    place.write_text(json.dumps(kept))  # of a version that kept no date: measured anew
    assert doctor().speeds.measured.startswith("20") and doctor().speeds.float32_flops != 1e11
    assert json.loads(place.read_text())["measured"] == doctor().speeds.measured
