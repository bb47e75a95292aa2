"""Preference losses equal TRL's, and have the properties that their formulas have."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from groundup.align.direct.losses import PAIR_LOSSES, Answers, PreferenceLossConfig, kto

FIXTURE = Path(__file__).parents[2] / "fixtures/align/trl_losses.json"
SETTINGS = {"simpo": {"beta": 2.0, "gamma": 0.4}}
PAIRS = 5


@pytest.fixture(scope="module")
def trl():
    return json.loads(FIXTURE.read_text())


def answers_of(trl) -> Answers:
    names = ("logps", "reference", "tokens")
    return Answers(*(torch.tensor(trl[name], dtype=torch.float64) for name in names))


def part(answers: Answers, start: int, end: int | None = None) -> Answers:
    return Answers(*(values[start:end] for values in answers))


def settings(name: str) -> PreferenceLossConfig:
    return PreferenceLossConfig(
        name=name, **{"beta": 0.3, "smoothing": 0.2} | SETTINGS.get(name, {})
    )


@pytest.mark.parametrize("name", ["dpo", "robust", "hinge", "ipo", "dpo_mean", "simpo", "orpo"])
def test_losses_of_pairs_equal_trl(name, trl):
    answers = answers_of(trl)
    chosen, rejected = part(answers, 0, PAIRS), part(answers, PAIRS)
    found = PAIR_LOSSES[name](chosen, rejected, settings(name)).mean()
    expected = trl["losses"].get(name)
    if name == "orpo":  # its tuning term is the answer's, TRL's the batch's
        found, expected = found + chosen.mean.mean(), trl["losses"]["orpo without its tuning term"]
    assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_a_certain_answer_gives_orpo_a_gradient_that_is_a_number():
    policy = torch.tensor([0.0, -1e-9, -4.0], requires_grad=True)
    answers = Answers(policy, torch.zeros(3), torch.full((3,), 2.0))
    for chosen, rejected in ((0, 2), (0, 1), (2, 1)):
        pair = (part(answers, chosen, chosen + 1), part(answers, rejected, rejected + 1))
        loss = PAIR_LOSSES["orpo"](*pair, settings("orpo")).sum()
        (gradient,) = torch.autograd.grad(loss, policy)
        assert loss.isfinite() and gradient.isfinite().all()


def test_kto_equals_trl(trl):
    answers = answers_of(trl)
    is_good = torch.tensor([True, False, False, True, False])
    config = PreferenceLossConfig(name="kto", beta=0.3, desirable=1.5, undesirable=0.7)
    other = (answers.policy[PAIRS:] - (answers.reference[PAIRS:] - 5)).mean()
    found = kto(part(answers, 0, PAIRS), is_good, other, config).mean()
    assert_close(
        found, torch.tensor(trl["losses"]["kto"], dtype=torch.float64), rtol=1e-6, atol=1e-6
    )


def test_conservative_dpo_is_torch_s_cross_entropy_of_soft_labels():
    """As OpenRLHF, open-instruct and torchtune define it."""
    generator = torch.Generator().manual_seed(0)
    policy, reference = (torch.randn(8, generator=generator, dtype=torch.float64) for _ in "ab")
    answers = Answers(policy, reference, torch.ones_like(policy))
    chosen, rejected = part(answers, 0, 4), part(answers, 4)
    logits = 0.3 * (chosen.change - rejected.change)
    soft = torch.full_like(logits, 0.8)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    assert_close(PAIR_LOSSES["cdpo"](chosen, rejected, settings("cdpo")), expected)
    zero = settings("cdpo").model_copy(update={"smoothing": 0.0})
    assert_close(
        PAIR_LOSSES["cdpo"](chosen, rejected, zero), PAIR_LOSSES["dpo"](chosen, rejected, zero)
    )
    assert_close(
        PAIR_LOSSES["robust"](chosen, rejected, zero), PAIR_LOSSES["dpo"](chosen, rejected, zero)
    )


def test_before_training_a_pair_costs_the_logarithm_of_two():
    same = torch.tensor([-7.0, -2.0, -90.0])
    answers = Answers(same, same, torch.tensor([3.0, 1.0, 40.0]))
    for name in ("dpo", "cdpo", "dpo_mean"):
        found = PAIR_LOSSES[name](answers, answers, settings(name))
        assert_close(found, torch.full((3,), math.log(2)))
    assert_close(PAIR_LOSSES["hinge"](answers, answers, settings("hinge")), torch.ones(3))


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_a_step_down_the_gradient_prefers_the_chosen_answer(name):
    policy = torch.tensor([-6.0, -5.0], requires_grad=True)
    tokens, reference = torch.tensor([4.0, 3.0]), torch.tensor([-6.0, -5.0])

    def loss():
        sides = [
            Answers(policy[i : i + 1], reference[i : i + 1], tokens[i : i + 1]) for i in (0, 1)
        ]
        return PAIR_LOSSES[name](*sides, settings(name)).sum()

    slopes = torch.autograd.grad(loss(), policy)[0]
    assert slopes[0] < 0 < slopes[1]


def test_kto_moves_good_answers_up_and_bad_ones_down_and_never_the_usual_change():
    policy = torch.tensor([-6.0, -5.0], requires_grad=True)
    other = torch.tensor(0.3, requires_grad=True)
    answers = Answers(policy, torch.tensor([-6.0, -5.0]), torch.tensor([4.0, 3.0]))
    config = PreferenceLossConfig(name="kto")
    loss = kto(answers, torch.tensor([True, False]), other, config).sum()
    loss.backward()
    assert policy.grad[0] < 0 < policy.grad[1] and other.grad is None
    low = kto(answers, torch.tensor([True, False]), torch.tensor(-4.0), config)
    assert_close(low, torch.tensor([0.5, 0.5]))  # the usual change is at least 0
