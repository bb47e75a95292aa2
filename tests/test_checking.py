"""Under pytest a wrong type or shape is an error wherever it comes in or goes out."""

import inspect
from collections.abc import Iterator

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from groundup.core.device import package_version
from tests.checking import Calls, checked, is_plain, jaxtyped, names_a_shape, unchecked

hooked = jaxtyped(typechecker=checked)


@hooked
def doubled(number: float, word: str = "") -> str:
    return word if word else f"{2 * number}"


@hooked
def wrong(number: int) -> str:
    return number


@hooked
def added(x: Float[Tensor, "B T"], y: Float[Tensor, "B T"] | None = None) -> Float[Tensor, "B T"]:
    return x if y is None else x + y


@hooked
def later(own: "Unknown") -> list["Unknown"]:  # noqa: F821
    return own


@pytest.fixture(autouse=True)
def every_call(monkeypatch):
    """Check all calls of a function, not only the first two of a test."""
    monkeypatch.setattr(Calls, "limit", float("inf"))


def test_types_are_checked_without_shapes():
    assert doubled(2) == "4" and doubled(number=0.5, word="w") == "w"
    with pytest.raises(TypeCheckError):
        doubled("2")
    with pytest.raises(TypeCheckError):
        doubled(2, word=None)
    with pytest.raises(TypeCheckError):
        wrong(1)
    with pytest.raises(TypeError):
        doubled()


def test_sizes_of_one_name_are_equal():
    assert added(torch.ones(2, 3), torch.ones(2, 3)).sum() == 12
    with pytest.raises(TypeCheckError):
        added(torch.ones(2, 3), torch.ones(3, 3))
    with pytest.raises(TypeCheckError):
        added(torch.ones(2, 3, dtype=torch.int64))


def test_shapes_are_found_wherever_they_stand():
    rows = Float[Tensor, "B"]
    for hint in (rows, rows | None, dict[str, list[rows]], tuple[int, rows]):
        assert names_a_shape(hint)
    assert not any(map(names_a_shape, (int, int | None, dict[str, list[int]], Tensor, None)))


def test_the_rest_is_left_to_jaxtyping():
    def rows() -> Iterator[int]:
        yield 1

    assert not is_plain(rows) and not is_plain(inspect.unwrap(later))
    assert is_plain(inspect.unwrap(doubled)) and not is_plain(inspect.unwrap(added))
    assert later(3) == 3, "what is not known yet is anything"


def test_what_the_hook_puts_around_groundup_can_step_aside():
    with pytest.raises(TypeCheckError):
        package_version(3)
    with unchecked():
        assert wrong(1) == 1 and doubled(2, word=None) == "4"


@pytest.mark.parametrize("limit", [3, float("inf")])
def test_the_first_calls_in_a_test_are_checked(limit, monkeypatch):
    monkeypatch.setattr(Calls, "limit", limit)
    for _ in range(2):
        Calls.current += 1  # as the next test would
        for _ in range(3):
            with pytest.raises(TypeCheckError):
                added(torch.ones(2, 3), torch.ones(1, 3))
        if limit == 3:
            assert added(torch.ones(2, 3), torch.ones(1, 3)).sum() == 12
        else:
            with pytest.raises(TypeCheckError):
                added(torch.ones(2, 3), torch.ones(1, 3))


def test_a_function_inside_another_shares_its_calls(monkeypatch):
    def call(x: int) -> int:
        @hooked
        def inner(x: int) -> int:
            return x

        return inner(x)

    monkeypatch.setattr(Calls, "limit", 1)
    Calls.current += 1
    with pytest.raises(TypeCheckError):
        call("a")
    assert call("a") == "a"
