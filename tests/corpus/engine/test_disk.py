"""A full disk is told wherever it is met; other errors stay what they are."""

import pytest

from groundup.core import CapacityError
from groundup.corpus.engine.disk import as_capacity_error, catch_full_disk


@pytest.mark.parametrize("error", [OSError(28, "full"), OSError(122, "quota"), OSError(27, "big")])
def test_a_full_disk_is_an_error_of_capacity(tmp_path, error):
    with pytest.raises(CapacityError, match="complete shards are kept"):
        with catch_full_disk(tmp_path):
            raise error


def test_numpy_gives_no_number_and_others_are_left_alone(tmp_path):
    short = OSError("8192 requested and 4096 written")
    assert isinstance(as_capacity_error(tmp_path, short), CapacityError)
    with pytest.raises(PermissionError):
        with catch_full_disk(tmp_path):
            raise PermissionError(13, "closed")
