"""An address is an address and nothing more, and a key stays where it is."""

import pytest

from groundup.core import ConfigError
from groundup.generate.endpoint.settings import (
    EndpointConfig,
    check_endpoint_address,
    is_loopback,
    read_api_key,
)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000/v1", "ftp://host/v1", "http://", "", "http://host:x/v1", "http://[::1/v1"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="not an address"):
        check_endpoint_address(EndpointConfig(url=url, model="m"))


@pytest.mark.parametrize("url", ["http://ana:secret@host/v1", "https://host/v1?key=secret"])
def test_an_address_holds_no_secret_and_it_is_not_repeated(url):
    with pytest.raises(ConfigError, match="key_env") as caught:
        check_endpoint_address(EndpointConfig(url=url, model="m"))
    assert "secret" not in str(caught.value)


def test_a_model_needs_a_name():
    with pytest.raises(ConfigError, match="model is empty"):
        check_endpoint_address(EndpointConfig(url="http://localhost/v1", model=" "))


def test_a_key_does_not_travel_in_the_clear(monkeypatch):
    monkeypatch.setenv("TEST_KEY", " abc\n")
    far = EndpointConfig(url="http://far.example/v1", model="m", key_env="TEST_KEY")
    with pytest.raises(ConfigError, match="unencrypted"):
        read_api_key(far)
    assert read_api_key(far.model_copy(update={"allow_plain_key": True})) == "abc"
    assert read_api_key(far.model_copy(update={"url": "https://far.example/v1"})) == "abc"
    near = far.model_copy(update={"url": "http://127.0.0.1:1/v1"})
    assert is_loopback(near) and read_api_key(near) == "abc"
    assert read_api_key(far.model_copy(update={"key_env": ""})) == ""
