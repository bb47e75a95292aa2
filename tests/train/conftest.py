"""The small chain up to tokens, made once for the tests of training."""

import pytest

from tests.train.small import Small, small


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Small:
    return small(tmp_path_factory.mktemp("small"))
