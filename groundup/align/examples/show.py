"""Conversations as a model reads them, with the trained tokens marked."""

from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from rich.console import Console
from rich.text import Text

from groundup.core import Artifact, ConfigError, Tokenizer
from groundup.tokenizer import RenderedChat

from ..form import load_chat_format, read_template
from .exchanges import ChatExample
from .make import read_examples


def show_examples(
    path: Path, *, tokenizer: Path, template: str = "", split: str = "train", kind: str = "",
    count: int = 3,
) -> None:  # fmt: skip
    """Print the first conversations of an examples artifact with trained tokens marked.

    On a terminal trained tokens are bold and green and the others dim; elsewhere trained tokens are
    between ⟦ and ⟧. Raises ConfigError if the split has no example of that kind.

    path       directory of the examples
    tokenizer  directory of a tokenizer or a model, whose chat template is used
    template   a file with another chat template, or `plain`; see `groundup finetune --help`
    split      train, validation or test
    kind       only conversations of this kind; default: all kinds
    count      number of conversations
    """
    artifact = Artifact.open(path, "examples")
    form = load_chat_format(tokenizer, read_template(template))
    wanted = (each for each in read_examples(artifact, split) if kind in ("", each.kind))
    shown = list(islice(wanted, None if count < 0 else count))
    for each in shown:
        rendered = form.render(each.messages, each.id)
        _print_example(Console(highlight=False), each, rendered, form.tokenizer)
    if not shown and count:
        kinds = ", ".join(sorted({example.kind for example in read_examples(artifact, split)}))
        raise ConfigError(f"{path} has no {split} example of kind {kind!r}; it has {kinds}.")


def _print_example(
    console: Console, example: ChatExample, rendered: RenderedChat, tokenizer: Tokenizer
) -> None:
    head = f"{example.id} · {example.kind} · {example.group} · {len(rendered.ids)} tokens"
    console.print(f"{head}, {sum(rendered.mask)} trained", style="bold", markup=False)
    text = Text()
    for is_trained, pairs in groupby(zip(rendered.ids, rendered.mask, strict=True), itemgetter(1)):
        segment = tokenizer.decode([token for token, _ in pairs])
        if console.is_terminal:
            text.append(segment, style="bold green" if is_trained else "dim")
        else:
            text.append(f"⟦{segment}⟧" if is_trained else segment)
    console.print(text, soft_wrap=True)
