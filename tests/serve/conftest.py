"""Servers that the tests of this room share: each starts once in a session."""

from collections.abc import Iterator

import pytest

from tests.serve.servers import Serving, serving, write_chat_model, write_encoder, write_index


@pytest.fixture(scope="session")
def chat_server(tmp_path_factory) -> Iterator[Serving]:
    """A server of a chat model."""
    with serving(write_chat_model(tmp_path_factory.mktemp("chat") / "model")) as server:
        yield server


@pytest.fixture(scope="session")
def index_server(tmp_path_factory) -> Iterator[Serving]:
    """A server of an index without a model."""
    path = write_index(tmp_path_factory.mktemp("index") / "index")
    with serving(None, "--index", str(path), name="documents") as server:
        yield server


@pytest.fixture(scope="session")
def encoder_server(tmp_path_factory) -> Iterator[Serving]:
    """A server of a text encoder."""
    path = write_encoder(tmp_path_factory.mktemp("encoder") / "vectors")
    with serving(path, name="encoder") as server:
        yield server
