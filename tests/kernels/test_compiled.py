"""What is compiled or tried is kept for later processes, apart for every kind of processor."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import torch._inductor.config as inductor

from groundup.core import ConfigError, device, write_json
from groundup.kernels import AttentionBackend, AttentionShape, autotuned_backend
from groundup.kernels.compiled import (
    _cache_file,
    _candidate_backends,
    _fastest_backend,
    _measure_backends,
    compile_cache_folder,
    compiled_once,
    use_compile_cache,
)

ROOT = Path(__file__).resolve().parents[2]
KEPT = os.environ["XDG_CACHE_HOME"]
"""Where all other tests keep what they compile, such as torch's precompiled headers."""

COMPILE = """
import json, torch
from torch._dynamo.utils import counters
from groundup.kernels import compiled_once
def double(x): return (2 * x).tanh().sum()
x = torch.ones(64, requires_grad=True)
found = compiled_once(double)(x)
found.backward()
kept = {**counters["inductor"], **counters["aot_autograd"]}
print(json.dumps({"sum": float(found), "counters": kept}))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("TORCHINDUCTOR_CACHE_DIR", "GROUNDUP_ATTENTION"):
        monkeypatch.delenv(name, raising=False)
    use_compile_cache.cache_clear()
    yield
    use_compile_cache.cache_clear()


def test_the_folder_is_the_user_s_alone_and_torch_is_told():
    place = use_compile_cache()
    assert place == compile_cache_folder() == Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert place.stat().st_mode & 0o077 == 0


def test_another_processor_or_number_of_threads_has_another_folder(monkeypatch):
    own, threads = compile_cache_folder(), torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert compile_cache_folder() != own
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(device, "instruction_sets", lambda: ("sse4_2",))
    assert compile_cache_folder() != own


def test_a_folder_of_the_user_s_choice_is_respected(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "mine"))
    assert use_compile_cache() == tmp_path / "mine"


def test_the_place_that_torch_wrote_down_by_itself_is_not_the_user_s(monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/torchinductor_someone")
    assert use_compile_cache() == compile_cache_folder()


def test_it_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("GROUNDUP_COMPILE_CACHE", "0")
    assert use_compile_cache() is None
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert (place := use_compile_cache()) is not None and place.stat().st_mode & 0o077 == 0


def test_pickles_in_another_s_folder_are_not_read(tmp_path, monkeypatch):
    planted = device.private_cache_folder("compiled", compile_cache_folder().name)
    planted.chmod(0o777)
    assert use_compile_cache() == planted and planted.stat().st_mode & 0o077 == 0
    use_compile_cache.cache_clear()
    monkeypatch.setattr(os, "geteuid", lambda: planted.stat().st_uid + 1)
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    assert (place := use_compile_cache()) is not None and tmp_path not in place.parents


def compiled_in_a_process(cache: Path) -> dict:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    environment = {n: v for n, v in environment.items() if n not in
                   ("GROUNDUP_COMPILE", "TORCHINDUCTOR_CACHE_DIR")}  # fmt: skip
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")
def test_a_second_process_compiles_nothing_and_damage_is_compiled_anew(tmp_path):
    cold, warm = compiled_in_a_process(tmp_path), compiled_in_a_process(tmp_path)
    assert warm["sum"] == cold["sum"]
    assert cold["counters"].get("autograd_cache_hit", 0) == 0
    assert warm["counters"]["autograd_cache_hit"] == 1
    for path in (tmp_path / "groundup" / "compiled").rglob("*"):
        if path.is_file() and path.suffix in (".so", "", ".py", ".cpp"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert compiled_in_a_process(tmp_path)["sum"] == cold["sum"]


def test_halves_of_transposed_bfloat16_are_compiled_right(monkeypatch):
    """GCC 12 miscompiles them as torch compiles alone; see benchmarks/kernels/gcc_transpose.py."""

    def rotated(x, sin, cos):
        b, a = (half.float() for half in x.mT.chunk(2, dim=-1))
        parts = (a * sin + b * cos).to(x.dtype), (a * cos - b * sin).to(x.dtype)
        return torch.cat(parts, dim=-1)

    monkeypatch.setenv("XDG_CACHE_HOME", KEPT)
    monkeypatch.setattr(inductor, "cpp_cache_precompile_headers", False)  # takes twice as long
    torch.manual_seed(0)
    x, angles = torch.randn(2, 64, 128).bfloat16(), torch.rand(2, 1, 128, 32)
    torch.testing.assert_close(compiled_once(rotated)(x, *angles), rotated(x, *angles))


SHAPE = AttentionShape(2, 1, 16, 64, True, "float32")


def test_what_was_measured_is_read_again():
    _cache_file().parent.mkdir(parents=True, exist_ok=True)
    write_json(_cache_file(), {SHAPE.key: {"way": ["matmul", 64], "ms": {}}})
    assert autotuned_backend(SHAPE) == AttentionBackend("matmul", 64)
    assert autotuned_backend(SHAPE._replace(heads=4), try_now=False) is None


@pytest.mark.parametrize("content", ["", "[]", '{"NAME": {"way": ["matmul", -1]}}', "{\x00"])
def test_a_damaged_cache_is_as_none(content):
    _cache_file().parent.mkdir(parents=True, exist_ok=True)
    _cache_file().write_text(content.replace("NAME", SHAPE.key))
    assert autotuned_backend(SHAPE, try_now=False) is None


def test_the_way_can_be_said(monkeypatch):
    for wanted, way in (
        ("flash", AttentionBackend("flash")),
        ("matmul", AttentionBackend("matmul")),
    ):
        monkeypatch.setenv("GROUNDUP_ATTENTION", wanted)
        assert autotuned_backend(SHAPE, try_now=False) == way
    monkeypatch.setenv("GROUNDUP_ATTENTION", "fast")
    with pytest.raises(ConfigError, match="GROUNDUP_ATTENTION=fast"):
        autotuned_backend(SHAPE)


def test_matrix_products_must_be_faster_by_a_margin():
    flash, matmul = AttentionBackend("flash"), AttentionBackend("matmul", 64)
    assert _fastest_backend({flash: 1.0, matmul: 0.96}) == flash
    assert _fastest_backend({flash: 1.0, matmul: 0.9}) == matmul


def test_rows_beyond_the_memory_of_their_scores_have_one_way():
    assert _candidate_backends(4096) == [AttentionBackend("flash")]
    assert _measure_backends(SHAPE._replace(length=4096)) == {AttentionBackend("flash"): 0.0}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_trial_takes_every_way_and_is_kept():
    way = autotuned_backend(SHAPE)
    assert way in _candidate_backends(64)
    assert autotuned_backend(SHAPE, try_now=False) == way
    assert all(seconds > 0 for seconds in _measure_backends(SHAPE).values())
