"""Presets of experts: what a token uses is far less than what there is."""

import pytest

from groundup.model import active_parameters, parameters, preset


def test_mixtral_has_the_weights_of_its_published_file():
    config = preset("mixtral-8x7b").config
    assert parameters(config).total == 46_702_792_704
    assert active_parameters(config) == pytest.approx(12.9e9, rel=0.01)


def test_switch_uses_no_more_than_the_t5_that_it_grew_from():
    dense = parameters(preset("t5-base").config).total
    routers = 12 * 768 * 128
    assert active_parameters(preset("switch-base-128").config) == dense + routers


def test_where_capacity_acts_is_told():
    for name in ("switch-c", "switch-tiny", "glam-27b"):
        assert "acts in training alone" in preset(name).shared
