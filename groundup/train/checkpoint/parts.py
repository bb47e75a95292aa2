"""Parts: the things whose state a checkpoint keeps, each a set of named tensors."""

import math
import random
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from groundup.core import digest


@runtime_checkable
class Part(Protocol):
    """Anything with a state; tensors may be plain or DTensors, and may be the live ones."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, by name; the same names and shapes before and after a save."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over what a checkpoint kept: tensors as `state` gives them, filled."""
        ...


class Weights:
    """Live tensors: a module's parameters and the buffers that it keeps, or those of a mapping."""

    def __init__(self, source: nn.Module | Mapping[str, Tensor]) -> None:
        self.source = source

    def state(self) -> dict[str, Tensor]:
        """The live tensors; one that a module has under two names comes once."""
        if not isinstance(self.source, nn.Module):
            return {name: tensor.detach() for name, tensor in self.source.items()}
        named: dict[str, Tensor] = dict(self.source.named_parameters())
        shared = {name for name, _ in self.source.named_parameters(remove_duplicate=False)}
        kept = {n: t for n, t in self.source.state_dict().items() if n not in shared}
        buffers = {name: tensor for name, tensor in kept.items() if isinstance(tensor, Tensor)}
        return {name: tensor.detach() for name, tensor in (named | buffers).items()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy what is not yet in its place."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class Random:
    """This process's random states: Python's, numpy's, torch's and the card's.

    Names begin with the process's number: nobody takes another's.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def state(self) -> dict[str, Tensor]:
        """All states as tensors."""
        _, words, gauss = random.getstate()
        kind = np.random.get_state(legacy=False)
        assert isinstance(kind, dict), "not the old tuple"
        found = {
            "python": torch.tensor(words, dtype=torch.long),
            "python.gauss": torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
            "numpy": torch.from_numpy(kind["state"]["key"].astype(np.int64)),
            "numpy.place": torch.tensor([kind["state"]["pos"], kind["has_gauss"]]),
            "numpy.gauss": torch.tensor(kind["gauss"], dtype=torch.float64),
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            found["cuda"] = torch.cuda.get_rng_state()
        return {f"{self.number:05d}.{name}": tensor for name, tensor in found.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set all states."""
        found = {name.partition(".")[2]: tensor for name, tensor in state.items()}
        gauss = float(found["python.gauss"])
        words = tuple(found["python"].tolist())
        random.setstate((3, words, None if math.isnan(gauss) else gauss))
        key, (place, has) = found["numpy"].numpy().astype(np.uint32), found["numpy.place"].tolist()
        np.random.set_state(("MT19937", key, place, has, float(found["numpy.gauss"])))
        torch.set_rng_state(found["torch"])
        if "cuda" in found and torch.cuda.is_available():
            torch.cuda.set_rng_state(found["cuda"])

    def begin_anew(self, state: Tensor) -> None:
        """Set states that follow from another process's and this one's number, not from chance."""
        seed = int(digest([state.tolist(), self.number]), 16)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed % 2**63)
