"""`groundup examples make`: the stage with a model that writes, whose quotes are verified."""

from pathlib import Path

from groundup.align import ExamplesConfig, ExampleWriter, make_examples
from groundup.core import MANIFEST, Answer, Artifact, ConfigError, Reason, Sample, Score, Scorer
from groundup.generate import open_language_model
from groundup.retrieve import check_claim, verify_quotes


def examples_from_documents(
    config: ExamplesConfig,
    source: Path | None = None,
    *,
    out: Path,
    corpus: Artifact | None = None,
    exclude: list[Path] | None = None,
    model: str = "",
) -> Artifact:
    """Create conversations for fine-tuning from own documents.

    source   folder of documents, or an artifact of them
    corpus   a corpus instead, whose splits are kept
    exclude  a test set: its documents are left out, and what repeats it; may be given again
    model    directory of a chat model, or URL#NAME of one on a server, that writes questions too;
             kept if their quotes are in the files and bear the answers out

    Raises ConfigError unless there is one source, and for a model without a folder to verify in.
    """
    given = corpus or source
    if given is None or (corpus and source):
        raise ConfigError("Give a folder of documents, or a corpus with --corpus; one of the two.")
    writer = None
    if model:
        if source is None or (source / MANIFEST).is_file():
            raise ConfigError("--model needs a folder of documents, to verify quotes in its files.")
        opened = open_language_model(model).model
        writer = ExampleWriter(opened, _identity(model), proven_quotes(source))
    return make_examples(config, given, out, exclude=exclude or (), writer=writer)


def proven_quotes(root: Path) -> Scorer:
    """Scorer: 1 if files under `root` have every quote of an answer, and these bear out its claims.

    A Reason if it has no quote.
    """

    def score(sample: Sample, answer: Answer) -> Score | Reason:
        if not answer.claims or not all(claim.quotes for claim in answer.claims):
            return Reason("no_quote", f"An answer to {sample.id} has a claim without a quote.")
        supports = (
            check_claim(claim.text, " ".join(quote.text for quote in claim.quotes))
            for claim in answer.claims
        )
        is_proven = not verify_quotes(answer, root) and "nowhere" not in supports
        return Score(float(is_proven), "proven_quotes")

    return score


def _identity(model: str) -> str:
    """Path and id of a model's directory, or the address of one on a server."""
    path = Path(model)
    return f"{model} {Artifact.open(path).id}" if (path / MANIFEST).is_file() else model
