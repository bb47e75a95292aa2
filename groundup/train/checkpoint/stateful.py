"""Objects with checkpointable state, each a set of named tensors."""

import math
import random
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from groundup.core import digest


@runtime_checkable
class Stateful(Protocol):
    """Anything with a state of plain or DTensor tensors, which may be the live ones."""

    def state(self) -> dict[str, Tensor]:
        """State by name; names and shapes are the same before and after a save."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore from a checkpoint: the tensors of `state`, filled."""
        ...


class TensorState:
    """Live tensors: a module's parameters and persistent buffers, or those of a mapping."""

    def __init__(self, source: nn.Module | Mapping[str, Tensor]) -> None:
        self.source = source

    def state(self) -> dict[str, Tensor]:
        """The live tensors; tied parameters appear once."""
        if not isinstance(self.source, nn.Module):
            return {name: tensor.detach() for name, tensor in self.source.items()}
        named: dict[str, Tensor] = dict(self.source.named_parameters())
        shared = {name for name, _ in self.source.named_parameters(remove_duplicate=False)}
        rest = {n: t for n, t in self.source.state_dict().items() if n not in shared}
        buffers = {name: tensor for name, tensor in rest.items() if isinstance(tensor, Tensor)}
        return {name: tensor.detach() for name, tensor in (named | buffers).items()}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copy into the live tensors."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


class RandomState:
    """This process's random states: Python's, numpy's, torch's and the GPU's.

    Names begin with the rank, so processes do not share them.
    """

    def __init__(self, number: int) -> None:
        self.rank = number

    def state(self) -> dict[str, Tensor]:
        """All states as tensors."""
        _, words, gauss = random.getstate()
        kind = np.random.get_state(legacy=False)
        assert isinstance(kind, dict), "not the legacy tuple"
        states = {
            "python": torch.tensor(words, dtype=torch.long),
            "python.gauss": torch.tensor(math.nan if gauss is None else gauss, dtype=torch.float64),
            "numpy": torch.from_numpy(kind["state"]["key"].astype(np.int64)),
            "numpy.place": torch.tensor([kind["state"]["pos"], kind["has_gauss"]]),
            "numpy.gauss": torch.tensor(kind["gauss"], dtype=torch.float64),
            "torch": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state()
        return {f"{self.rank:05d}.{name}": tensor for name, tensor in states.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Set all states."""
        own = {name.partition(".")[2]: tensor for name, tensor in state.items()}
        gauss = float(own["python.gauss"])
        words = tuple(own["python"].tolist())
        random.setstate((3, words, None if math.isnan(gauss) else gauss))
        key, (pos, has_gauss) = own["numpy"].numpy().astype(np.uint32), own["numpy.place"].tolist()
        np.random.set_state(("MT19937", key, pos, has_gauss, float(own["numpy.gauss"])))
        torch.set_rng_state(own["torch"])
        if "cuda" in own and torch.cuda.is_available():
            torch.cuda.set_rng_state(own["cuda"])

    def seed_from(self, state: Tensor) -> None:
        """Seed deterministically from another process's state and this one's rank."""
        seed = int(digest([state.tolist(), self.rank]), 16)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed % 2**63)
