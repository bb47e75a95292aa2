"""Losses and adapters give what peers gave, and the docs say by how much they differ."""

from typing import get_args

from benchmarks.align.agreement import LIMIT, PAGE, page, rows
from groundup.align.direct.losses import LossName
from groundup.align.policy.losses import PolicyLossConfig

OF_FORMULAS = {"cdpo", "reinforce"}


def test_every_loss_and_adapter_is_its_peer_s_as_the_page_says():
    compared = rows()
    assert max(each.largest for each in compared) <= LIMIT
    assert PAGE.read_text(encoding="utf-8") == page(compared)
    policies = get_args(PolicyLossConfig.model_fields["name"].annotation)
    shown = {each.what.partition(",")[0] for each in compared}
    assert {*get_args(LossName), *policies} - OF_FORMULAS <= shown
