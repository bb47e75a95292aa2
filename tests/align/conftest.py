"""A chat model of random weights that preferences and rewards train."""

import pytest

from groundup.core import Artifact, Config, produce
from tests.serve.servers import write_chat_model


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory) -> Artifact:
    """A model of groundup's with one token a byte and a context of 256."""
    return produce(
        tmp_path_factory.mktemp("chat") / "model", kind="model", stage="test", version=1,
        config=Config(), parents={}, write=lambda draft: write_chat_model(draft.path, 256),
    )  # fmt: skip
