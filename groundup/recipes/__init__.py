"""Recipes: end-to-end runs as functions, whose parameters are the flags of `groundup run NAME`.

They may import every package and connect their stages; only the command line imports recipes.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from groundup.core import ConfigError


class Recipe(NamedTuple):
    """A line of help, and example arguments of `groundup run NAME`."""

    about: str
    example: str
    folder: str = ""
    """Where its module is, with the dot; empty: in this package."""


RECIPES = {
    "tiny": Recipe("from Python's own text to a chat model, an 8-bit copy, an index and a report",
                   "--out runs/tiny --tokens 1000000"),
    "align": Recipe("a model tuned for a task, then trained on by DPO, KTO, PPO and GRPO, compared",
                    "--base runs/tiny/base --tokens runs/tiny/tokens", "tuning."),
    "grounded": Recipe("an encoder and a reader for a folder, an index, its calibration, a verdict",
                       "--documents ~/handbook --base minilm --questions squad.json"),
    "own": Recipe("a model of your documents: test set, examples, adapter, report, verdict",
                  "--documents ~/handbook --base qwen", "tuning."),
    "reason": Recipe("chains of thought, rewarded for the outcome, the steps, and both",
                     "--base runs/tiny/base --tokens runs/tiny/tokens", "tuning."),
    "abstain": Recipe("a model learns what it does not know, on facts of which it was taught half",
                      "--base base --examples examples --tokens tokens", "tuning."),
    "harmless": Recipe("a toxic model, rewarded for what is helpful, harmless and honest",
                       "--prompts toxic.txt --words words.txt", "tuning."),
    "replicas": Recipe("a server on a Ray cluster, by as many replicas as you ask for",
                       "--model tuned --count 2"),
}  # fmt: skip
EXAMPLES = ("encoder", "translate", "vectors")
"""Former recipes, which are scripts of the project's repository."""


def run(name: str | None = None) -> Callable[..., Any]:
    """Return the recipe of this name; without a name, list the recipes."""
    if name is None:
        rows = [f"  {key:<11}{recipe.about}" for key, recipe in RECIPES.items()]
        print("groundup run RECIPE [--help], where RECIPE is one of\n" + "\n".join(rows))
        print("or FILE.py:function, whose parameters are its flags.\n")
        print("Example:\n  groundup run tiny --out runs/tiny\n\nDocs: docs/reference/recipes.md")
        return run
    if name in EXAMPLES:
        raise ConfigError(
            f"The recipe `{name}` is now an example of the project's repository; run: groundup run "
            f"examples/{name}/{name}.py:{name}."
        )
    if name not in RECIPES:
        raise ConfigError(
            f"There is no recipe `{name}`; expected {', '.join(RECIPES)} or FILE.py:function."
        )
    return getattr(import_module(f"groundup.recipes.{RECIPES[name].folder}{name}"), name)


__all__ = ["EXAMPLES", "RECIPES", "Recipe", "run"]
