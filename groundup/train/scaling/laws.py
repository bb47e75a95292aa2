"""Scaling laws: Kaplan's and Chinchilla's forms, fitted to runs.

    parametric   L(N, D) = E + A / N^α + B / D^β                           (Hoffmann et al.)
    kaplan       L(N, D) = [(Nc / N)^(αN/αD) + Dc / D]^αD                  (Kaplan et al., 1.5)
    power        L(x)    = (xc / x)^α                                      (their L(C))
    …_floor      the last two with an irreducible loss E added

N are weights, D tokens, L nats. All are fitted to log L with the Huber loss from a grid of starts,
summed, not averaged: an average makes an optimizer stop early, which is why the published fit of
Chinchilla was off. Internally logarithms are centred, which decorrelates intercepts and exponents.
Source: Kaplan et al. 2020, arXiv:2001.08361; Hoffmann et al. 2022, arXiv:2203.15556, approach 3;
Besiroglu et al. 2024, arXiv:2404.10102.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from groundup.core import DataError

from .minimise import minimise

FormName = Literal["parametric", "kaplan", "kaplan_floor", "power", "power_floor"]
HUBER_DELTA = 1e-3
"""Residual of log L above which the Huber loss is linear, as in Hoffmann et al."""
Array = Float64[np.ndarray, " _"]
"""A column, of any length."""


class LossPoints(NamedTuple):
    """Data of runs; a law of one quantity has it as `parameters`."""

    parameters: Array
    tokens: Array
    loss: Array
    """Nats."""


class LawForm(NamedTuple):
    """A family of laws: log loss as a function of centred logarithms."""

    predict: Callable[[Tensor, Tensor, Tensor], Tensor]
    """(B, P) parameters, and x and y, the centred logs of N and D, to (B, n) log losses."""
    levels: int
    """Number of leading parameters that are logarithms of loss terms."""
    exponents: int
    """Number of parameters that are exponents."""


def parametric(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """log(E + A / N^α + B / D^β) of e, a, b, α, β."""
    e, a, b, alpha, beta = theta[..., None].unbind(-2)
    parts = torch.stack([e + 0 * x, a - alpha * x, b - beta * y])
    return parts.logsumexp(0)


def kaplan(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """αD log((Nc / N)^(αN/αD) + Dc / D) of a, b, αN, αD."""
    a, b, alpha, beta = theta[..., None].unbind(-2)
    beta = beta.clamp(min=1e-3)
    return beta * torch.logaddexp((a - alpha * x) / beta, (b - beta * y) / beta)


def kaplan_floor(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The same with a loss that remains, e first."""
    return torch.logaddexp(theta[:, :1], kaplan(theta[:, 1:], x, y))


def power(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """α log(xc / x) of a, α."""
    return theta[:, :1] - theta[:, 1:] * x


def power_floor(theta: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The same with a loss that remains, e first."""
    return torch.logaddexp(theta[:, :1], power(theta[:, 1:], x, y))


FORMS: dict[FormName, LawForm] = {
    "parametric": LawForm(parametric, 3, 2),
    "kaplan": LawForm(kaplan, 2, 2),
    "kaplan_floor": LawForm(kaplan_floor, 3, 2),
    "power": LawForm(power, 1, 1),
    "power_floor": LawForm(power_floor, 2, 1),
}
START_LEVELS, START_EXPONENTS = (0.05, 0.25, 0.8), (0.1, 0.4, 1.0)
"""Shares of the mean loss, and exponents, of the grid of starts."""

SCREENING_ITERATIONS, NUM_FINALISTS = 15, 24
"""Iterations before the starts are compared, and how many of the best are continued."""


class ScalingLaw(NamedTuple):
    """A fitted law."""

    form: FormName
    centre: tuple[float, float]
    """Means of log N and log D, which are subtracted."""
    theta: tuple[float, ...]
    """Parameters: levels at the centre, as logarithms, then exponents."""

    def log_loss(self, parameters: Array, tokens: Array) -> Array:
        """Predicted log L."""
        return predict_log_loss(
            self.form, self.centre, np.array([self.theta]), (parameters, tokens)
        )[0]

    def loss(self, parameters: float, tokens: float = 1.0) -> float:
        """Predicted nats at one point."""
        return float(
            np.exp(self.log_loss(np.array([float(parameters)]), np.array([float(tokens)]))[0])
        )

    def coefficients(self) -> dict[str, float]:
        """The coefficients as the paper writes them."""
        return coefficients(self.form, self.centre, self.theta)


def fit_law(form: FormName, points: LossPoints) -> ScalingLaw:
    """Fit a law to runs.

    Raises DataError if there are fewer runs than the law has parameters, or a loss is not above 0.
    """
    known, count = FORMS[form], len(points.loss)
    if count < known.levels + known.exponents:
        raise DataError(
            f"The law {form!r} has {known.levels + known.exponents} parameters, but there are only "
            f"{count} runs; sweep more sizes or budgets."
        )
    if not (np.isfinite(points.loss).all() and min(map(np.min, points)) > 0):
        raise DataError("A law needs weights, tokens and losses above 0 in every run.")
    centre = (float(np.log(points.parameters).mean()), float(np.log(points.tokens).mean()))
    logs = np.log(points.loss)[None]
    objective, begin = (
        _huber_objective(form, centre, points, logs),
        _start_grid(form, float(logs.mean())),
    )
    found = minimise(objective, begin, iterations=SCREENING_ITERATIONS)
    finalists = found.values.nan_to_num(torch.inf).argsort()[:NUM_FINALISTS]
    found = minimise(objective, found.points[finalists])
    best = int(found.values.nan_to_num(torch.inf).argmin())
    return ScalingLaw(form, centre, tuple(found.points[best].tolist()))


def refit_law(
    law: ScalingLaw, points: LossPoints, logs: Float64[np.ndarray, "B n"]
) -> Float64[np.ndarray, "B P"]:
    """Fit the same form to other losses at the same points, from the law's own parameters."""
    begin = torch.tensor([law.theta], dtype=torch.float64).repeat(len(logs), 1)
    return minimise(_huber_objective(law.form, law.centre, points, logs), begin).points.numpy()


def _start_grid(form: FormName, mean: float) -> Float[Tensor, "B P"]:
    """The grid: every combination of levels, as shares of the mean loss, and exponents."""
    known = FORMS[form]
    levels = [mean + np.log(share) for share in START_LEVELS]
    axes = [levels] * known.levels + [list(START_EXPONENTS)] * known.exponents
    return torch.tensor(list(itertools.product(*axes)), dtype=torch.float64)


def _huber_objective(
    form: FormName,
    centre: tuple[float, float],
    points: LossPoints,
    logs: Float64[np.ndarray, "B n"],
) -> Callable[[Tensor], Tensor]:
    """Sum of Huber losses over the runs, in units of `HUBER_DELTA`, for each row of parameters."""
    x, y = _centred_logs(centre, points.parameters, points.tokens)
    wanted = torch.from_numpy(logs)

    def objective(theta: Tensor) -> Tensor:
        residual = (FORMS[form].predict(theta, x, y) - wanted).abs() / HUBER_DELTA
        return torch.where(residual <= 1, residual.square() / 2, residual - 0.5).sum(1)

    return objective


def _centred_logs(
    centre: tuple[float, float], parameters: Array, tokens: Array
) -> tuple[Tensor, Tensor]:
    """Logarithms relative to the centre."""
    return (torch.from_numpy(np.log(parameters) - centre[0]),
            torch.from_numpy(np.log(tokens) - centre[1]))  # fmt: skip


def predict_log_loss(
    form: FormName,
    centre: tuple[float, float],
    thetas: Float64[np.ndarray, "B P"],
    places: tuple[Array, Array],
) -> Float64[np.ndarray, "B n"]:
    """log L of many parameter vectors at points (N, D)."""
    return FORMS[form].predict(torch.from_numpy(thetas), *_centred_logs(centre, *places)).numpy()


def coefficients(
    form: FormName, centre: tuple[float, float], theta: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """The coefficients as the paper writes them, from parameters at the centre."""
    (x, y), theta = centre, [float(value) for value in theta]
    floor = {"E": _finite_exp(theta[0])} if FORMS[form].levels == 3 or "floor" in form else {}
    match form:
        case "parametric":
            _, a, b, alpha, beta = theta
            return floor | {"A": _finite_exp(a + alpha * x), "B": _finite_exp(b + beta * y),
                            "alpha": alpha, "beta": beta}  # fmt: skip
        case "kaplan" | "kaplan_floor":
            a, b, alpha, beta = theta[-4:]
            return floor | {
                "Nc": _scale_coefficient(a, alpha, x),
                "Dc": _scale_coefficient(b, beta, y),
                "alpha_N": alpha,
                "alpha_D": beta,
            }
        case _:
            a, alpha = theta[-2:]
            return floor | {"xc": _scale_coefficient(a, alpha, x), "alpha": alpha}


def _scale_coefficient(level: float, exponent: float, centre: float) -> float:
    """xc of (xc / x)^α with the given level at the centre; infinite without a positive exponent."""
    return _finite_exp(level / exponent + centre) if exponent > 0 else math.inf


def _finite_exp(value: float) -> float:
    """exp(value), at most 1e304: a resample may diverge."""
    return math.exp(min(700.0, value))
