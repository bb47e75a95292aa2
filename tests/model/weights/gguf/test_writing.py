"""What the format cannot hold is refused, and a failed write leaves nothing."""

import numpy as np
import pytest

from groundup.core import DataError
from groundup.model.weights.gguf.dequantize import BY_NAME
from groundup.model.weights.gguf.format import open_gguf
from groundup.model.weights.gguf.writing import TensorToWrite, _encode_value, write_gguf_file


def written(values, type="F32", name="t"):
    return TensorToWrite(name, BY_NAME[type], values.shape, lambda: values)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 64), [1, 2], np.ones((2, 2)), np.array(["a"])])
def test_values_that_metadata_cannot_hold_are_named(value):
    with pytest.raises(DataError, match="metadata cannot hold some.key="):
        _encode_value("some.key", value)


def test_a_failed_write_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.gguf"
    write_gguf_file(path, {}, [written(np.ones(3, np.float32))])
    before = path.read_bytes()
    bad = written(np.array([np.inf], np.float32), name="bad")
    with pytest.raises(DataError, match="Tensor bad: A value of magnitude inf"):
        write_gguf_file(path, {}, [written(np.ones(3, np.float32)), bad])
    with pytest.raises(DataError, match="5 dimensions; GGUF has 1 to 4"):
        write_gguf_file(path, {}, [written(np.ones((1,) * 5, np.float32))])
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.gguf"]


def test_tensors_begin_at_multiples_and_do_not_touch(tmp_path):
    path = tmp_path / "a.gguf"
    sizes = (1, 7, 8, 9, 31)
    write_gguf_file(path, {}, [written(np.full(n, n, np.float32), name=str(n)) for n in sizes])
    opened = open_gguf(path)
    for n in sizes:
        assert opened.tensors[str(n)].start % 32 == 0
        assert opened.values(str(n)).tolist() == [n] * n
    assert path.stat().st_size % 32 == 0
