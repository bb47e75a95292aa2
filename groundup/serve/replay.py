"""The verb `replay`: give an answer again from its receipt, alone, and say where it parts.

The same weights are opened in this process, and each prompt is continued with its sampling and seed
as the only request. On the native stack a request has the same bits in any batch, so the ids are
the same; elsewhere, or on another processor, they may part where two tokens are nearly as likely.
"""

import contextlib
import json
from collections import Counter, defaultdict, deque
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic_core import from_json, to_json

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    GroundupError,
    Ledger,
    Reason,
    Sampling,
    TokenLogprob,
    device,
    record,
    setting_differences,
)

from .engine.settings import EngineSettings, identity_of
from .engine.worker import EngineWorker
from .receipts import CIRCUMSTANCES, default_folder, find_receipt, read_key, receipt_files

if TYPE_CHECKING:
    from torch import Tensor

UNCOMPARED = ("root", "changed")
"""What an answer from documents says of the folder that was indexed, as it was at that time."""


class Parting(NamedTuple):
    """The first token of an answer that is another one."""

    answer: int
    token: int
    was: TokenLogprob | None
    """What the receipt has, as likely as it is now; None behind its end."""
    now: TokenLogprob | None
    texts: tuple[str, str]

    def __str__(self) -> str:
        """`answer 0 parts at token 17: ' the' (-0.62 nats) before, ' a' (-0.63 nats) now`."""
        before, now = (
            f"{text!r} ({token.logprob:.4f} nats)" if token else text
            for token, text in zip((self.was, self.now), self.texts, strict=True)
        )
        return f"answer {self.answer} parts at token {self.token}: {before} before, {now} now"


class Replay(NamedTuple):
    """One answer that was given again."""

    id: str
    outcome: Literal["equal", "parted", "refused"]
    message: str = ""
    """Why it was refused, or where it parts."""
    tokens: int = 0
    partings: tuple[Parting, ...] = ()
    differences: tuple[str, ...] = ()
    """Circumstances that are others than they were."""
    is_promised: bool = True
    """Whether the stack gives a request the same bits in any batch."""

    @property
    def exit_code(self) -> int:
        """0 if it is equal."""
        return int(self.outcome != "equal")

    def __str__(self) -> str:
        """Its outcome, and below it what differs."""
        lines = [f"{self.id}  {self.outcome}  {self.tokens} tokens"]
        lines += [f"  {self.message}"] if self.message else []
        lines += [f"  circumstance: {each}" for each in self.differences]
        if not self.is_promised:
            lines.append("  equality is not promised: torch's kernels computed it, in a batch")
        return "\n".join(lines)


class Replays(NamedTuple):
    """All answers of a folder that were given again."""

    answers: tuple[Replay, ...]

    @property
    def exit_code(self) -> int:
        """0 if all are equal."""
        return max((each.exit_code for each in self.answers), default=0)

    def __str__(self) -> str:
        """How many are equal, and those that are not."""
        counts = Counter(each.outcome for each in self.answers)
        rows = [f"{name:<8}{counts[name]:>8,}" for name in ("equal", "parted", "refused")]
        return "\n".join([*rows, *(str(each) for each in self.answers if each.exit_code)])


def replay(id: str = "", *, all_: bool = False, receipts: Path | None = None) -> Replay | Replays:
    """Give an answer again from its receipt, and say whether it is equal or where it parts.

    Exit code 0 if it is equal, 1 if it parts or is refused, 2 if there is no such receipt.

    id        of an answer, as the server gave it
    all_      every receipt of the folder
    receipts  folder of `groundup serve`; default: ~/.local/state/groundup/receipts

    Raises ConfigError for an unknown id; ArtifactError for a receipt or weights that were edited,
    and for weights or documents that are gone.
    """
    folder = receipts or default_folder()
    if all_ == bool(id):
        raise ConfigError("Expected the id of an answer, or --all: `groundup replay ID`.")
    if id:
        content = find_receipt(folder, id)
        return _replay(content, _open(content))
    found, refused = list[dict[str, Any]](), list[Replay]()
    for file in reversed(receipt_files(folder)):
        try:
            found += [entry.content for entry in Ledger(file, read_key(folder)).read()]
        except ArtifactError as error:
            refused.append(Replay(file.name, "refused", str(error)))
    return Replays((*refused, *_replay_all(found)))


class _OpenedModel(NamedTuple):
    """What gave some answers, opened again."""

    worker: EngineWorker
    differences: tuple[str, ...]
    is_native: bool


def _replay_all(contents: Sequence[dict[str, Any]]) -> Iterator[Replay]:
    """Replay receipts; those of one model share it, and one is open at a time."""
    groups, done = defaultdict[str, list[int]](list), dict[int, Replay]()
    for at, content in enumerate(contents):
        facts = [content[name] for name in ("settings", "identity", "circumstances")]
        groups[json.dumps([facts, _snapshot_of(content)])].append(at)
    with record.progress("replay", len(contents), "answers") as bar:
        for places in groups.values():
            try:
                opened = _open(contents[places[0]])
            except GroundupError as error:
                opened = error
            for at in places:
                try:
                    if isinstance(opened, GroundupError):
                        raise opened
                    done[at] = _replay(contents[at], opened)
                except GroundupError as error:
                    done[at] = Replay(contents[at]["id"], "refused", str(error))
                bar.advance(1)
            del opened  # before the next is opened
    yield from (done[at] for at in range(len(contents)))


def _snapshot_of(content: dict[str, Any]) -> str:
    return content["asked"].get("answer", {}).get("index", "")


def _open(content: dict[str, Any]) -> _OpenedModel:
    """Open what gave an answer; ArtifactError if it is gone or another one."""
    settings = EngineSettings.model_validate(content["settings"])
    index = _find_snapshot(Path(settings.index), _snapshot_of(content))
    settings = settings.model_copy(update={"index": index})
    for name, id in identity_of(settings, rehash=True).items():
        if id != (was := content["identity"][name]):
            what = f"The answer is by the {name} {was[:12]}, and {getattr(settings, name)}"
            raise ArtifactError(f"{what} is {id[:12]} now; restore the former to replay it.")
    was = content["circumstances"]
    if "threads" in was:
        device.set_num_threads(was["threads"])
    worker = EngineWorker(settings, None)
    facts = worker.describe()
    now = {name: facts[name] for name in CIRCUMSTANCES if name in facts}
    differences = tuple(
        f"{name} was {before}, is {after}" for name, before, after in setting_differences(was, now)
    )
    is_native = was.get("native", True) and now.get("native", True)
    return _OpenedModel(worker, differences, is_native)


def _find_snapshot(index: Path, id: str) -> str:
    """The path of the snapshot that was asked; empty if none was."""
    if not id:
        return ""
    for path in (index, *index.glob("snapshots/*"), *index.parent.glob("*")):
        if (path / MANIFEST).is_file():
            with contextlib.suppress(ArtifactError):
                if Artifact.open(path).id == id:
                    return str(path)
    what = f"The answer is from the snapshot {id[:12]} of {index}, which is not there any more"
    raise ArtifactError(f"{what}: an index keeps two; restore it to replay the answer.")


def _replay(content: dict[str, Any], opened: _OpenedModel) -> Replay:
    """Give an answer again and compare."""
    partings, message = list[Parting](), ""
    if asked := content["asked"]:
        answer = opened.worker.documents.call("ask", asked["questions"], asked["options"])
        now = from_json(to_json(answer, inf_nan_mode="null"))
        was, now = (
            {name: value for name, value in each.items() if name not in UNCOMPARED}
            for each in (asked["answer"], now)
        )
        found = [name for name, _, _ in setting_differences(was, now)]
        message = f"the answer from the documents parts in {', '.join(found)}" if found else ""
    for at, ids in enumerate(content["answers"]):
        if ids and (parting := _find_parting(opened.worker, content, at)):
            partings.append(parting)
    message = message or "; ".join(map(str, partings))
    return Replay(
        content["id"], "parted" if message else "equal", message,
        sum(map(len, content["answers"])), tuple(partings), opened.differences, opened.is_native,
    )  # fmt: skip


def _find_parting(worker: EngineWorker, content: dict[str, Any], at: int) -> Parting | None:
    """Where an answer parts from what is chosen now; None if it does not, as far as it went."""
    was, ended = content["answers"][at], content["ended"][at]
    decode = worker.engine.tokenizer.decode
    with contextlib.closing(_continue(worker, content, at)) as chosen:
        for place, (id, reason, logits) in enumerate(chosen):
            before = was[place] if place < len(was) else None
            if id != before:
                logprobs = logits.double().log_softmax(-1)
                now = TokenLogprob(id, float(logprobs[id]))
                if before is None:
                    return Parting(at, place, None, now, (f"the end ({ended})", decode([id])))
                likely = TokenLogprob(before, float(logprobs[before]))
                return Parting(at, place, likely, now, (decode([before]), decode([id])))
            if place + 1 == len(was) and ended in ("abort", reason):
                return None
            if reason:
                ends = (f"the end ({ended})", f"the end ({reason})")
                return Parting(at, place + 1, None, None, ends)
    return None


def _continue(
    worker: EngineWorker, content: dict[str, Any], at: int
) -> Generator[tuple[int, str, "Tensor"], None, None]:
    """Continue a prompt as the only request: ids, why it ends, and the logits of each."""
    from groundup.generate import compile_grammar

    name, sampling = f"{content['id']} {at}", Sampling.model_validate(content["sampling"])
    request = {"id": name, "salt": name, "ids": content["prompts"][at]}
    request["seed"] = content["seeds"][at]
    engine, batch, rows = worker.engine, worker.batch, deque["Tensor"]()
    grammar = compile_grammar(sampling, engine.tokenizer, engine.end_ids)
    number = batch.add(worker.decode_request(request, sampling, grammar))
    batch.observe = lambda logits, _: rows.append(logits[0].clone())
    try:
        for event in batch.stream([number]):
            logits, ended = rows.popleft(), event.ended
            if isinstance(ended, Reason):
                raise ArtifactError(ended.message)
            yield event.id, ended.finish_reason if ended else "", logits
    finally:
        batch.observe = None
        batch.abort(number)
