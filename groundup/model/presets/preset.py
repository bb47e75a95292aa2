"""A preset: a published shape, where it is from, and what is different here.

The paper's number of parameters stands beside ours, as the paper prints it; where the two are not
of the same thing, `differs` says why.
"""

from typing import Literal, NamedTuple

from ..config import ModelConfig

Objective = Literal["causal", "masked", "boundary", "corruption", "denoising"]
"""What it is trained to do; names of groundup.train's objectives."""


class Preset(NamedTuple):
    """A published model."""

    name: str
    config: ModelConfig
    family: str
    """Name of the paper's models together, such as `GPT-2`."""
    objective: Objective
    special: str
    """What it brought to the field, in one line."""
    source: str
    """Paper or report."""
    paper: str = ""
    """Number of parameters as the source prints it; empty if it prints none."""
    differs: str = ""
    """What is not as in the source, and why a number is not its."""
    shared: str = ""
    """What is not as in the source in all of the family, the tiny one too."""


class Paper(NamedTuple):
    """What the models of one paper have in common."""

    family: str
    objective: Objective
    special: str
    source: str
    shared: str = ""

    def preset(
        self, name: str, config: ModelConfig, *, paper: str = "", differs: str = ""
    ) -> Preset:
        """One of its models; see `Preset`."""
        return Preset(
            name, config, self.family, self.objective, self.special, self.source,
            paper=paper, differs=differs, shared=self.shared,
        )  # fmt: skip
