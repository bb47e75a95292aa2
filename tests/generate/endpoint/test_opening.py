"""A model is named by its directory, or by a server's address and its name there."""

import pytest

from groundup.core import ConfigError
from groundup.generate import EndpointConfig, endpoint_settings, open_language_model


def test_a_name_on_a_server_fills_the_settings_and_one_without_a_model_is_told():
    settings = EndpointConfig(key_env="KEY", concurrency=2)
    found = endpoint_settings("http://host/v1#org/m", settings)
    assert (found.url, found.model, found.key_env) == ("http://host/v1", "org/m", "KEY")
    with pytest.raises(ConfigError, match="as in http://host/v1#NAME"):
        endpoint_settings("http://host/v1", settings)
    with pytest.raises(ConfigError, match="http://HOST/v1#NAME") as caught:
        endpoint_settings("http://me:secret@host/v1", settings)
    assert "secret" not in str(caught.value)


def test_a_directory_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigError, match="There is no directory .*none"):
        open_language_model(str(tmp_path / "none"))
