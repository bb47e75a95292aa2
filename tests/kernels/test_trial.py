"""Ways of attention are tried once, kept, and said by whoever knows better."""

import pytest

from groundup.core import ConfigError, write_json
from groundup.kernels import RowShape, Way, kept_way
from groundup.kernels.trial import best_of, candidates, kept_file, measured_ways

SHAPE = RowShape(2, 1, 16, 64, True, "float32")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GROUNDUP_ATTENTION", raising=False)


def test_what_was_measured_is_read_again():
    kept_file().parent.mkdir(parents=True)
    write_json(kept_file(), {SHAPE.name: {"way": ["matmul", 64], "ms": {}}})
    assert kept_way(SHAPE) == Way("matmul", 64)
    assert kept_way(SHAPE._replace(heads=4), try_now=False) is None


@pytest.mark.parametrize("content", ["", "[]", '{"NAME": {"way": ["matmul", -1]}}', "{\x00"])
def test_a_damaged_cache_is_as_none(content):
    kept_file().parent.mkdir(parents=True)
    kept_file().write_text(content.replace("NAME", SHAPE.name))
    assert kept_way(SHAPE, try_now=False) is None


def test_the_way_can_be_said(monkeypatch):
    for wanted, way in (("flash", Way("flash")), ("matmul", Way("matmul"))):
        monkeypatch.setenv("GROUNDUP_ATTENTION", wanted)
        assert kept_way(SHAPE, try_now=False) == way
    monkeypatch.setenv("GROUNDUP_ATTENTION", "fast")
    with pytest.raises(ConfigError, match="GROUNDUP_ATTENTION=fast"):
        kept_way(SHAPE)


def test_matrix_products_must_be_faster_by_a_margin():
    flash, matmul = Way("flash"), Way("matmul", 64)
    assert best_of({flash: 1.0, matmul: 0.96}) == flash
    assert best_of({flash: 1.0, matmul: 0.9}) == matmul


def test_rows_beyond_the_memory_of_their_scores_have_one_way():
    assert candidates(4096) == [Way("flash")]
    assert measured_ways(SHAPE._replace(length=4096)) == {Way("flash"): 0.0}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_trial_takes_every_way_and_is_kept():
    way = kept_way(SHAPE)
    assert way in candidates(64)
    assert kept_way(SHAPE, try_now=False) == way
    assert all(seconds > 0 for seconds in measured_ways(SHAPE).values())
