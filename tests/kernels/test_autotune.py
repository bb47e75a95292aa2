"""Ways of attention are tried once, kept, and said by whoever knows better."""

import pytest

from groundup.core import ConfigError, write_json
from groundup.kernels import AttentionBackend, AttentionShape, autotuned_backend
from groundup.kernels.autotune import (
    _cache_file,
    _candidate_backends,
    _fastest_backend,
    _measure_backends,
)

SHAPE = AttentionShape(2, 1, 16, 64, True, "float32")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GROUNDUP_ATTENTION", raising=False)


def test_what_was_measured_is_read_again():
    _cache_file().parent.mkdir(parents=True)
    write_json(_cache_file(), {SHAPE.key: {"way": ["matmul", 64], "ms": {}}})
    assert autotuned_backend(SHAPE) == AttentionBackend("matmul", 64)
    assert autotuned_backend(SHAPE._replace(heads=4), try_now=False) is None


@pytest.mark.parametrize("content", ["", "[]", '{"NAME": {"way": ["matmul", -1]}}', "{\x00"])
def test_a_damaged_cache_is_as_none(content):
    _cache_file().parent.mkdir(parents=True)
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
