"""Saved checkpoints: what lies in a folder, whether it is whole, and reading slices of it.

    step-00001200/
      model-00000.safetensors        what process 0 wrote of the part `model`
      optimizer-00000.safetensors
      random-00000.safetensors
      checkpoint.json                written last: step, what it belongs to, determinism contract,
                                     each tensor's shape, dtype and pieces, each file's sha256, and
                                     at its end the sha256 of all that stands before

Whoever reads takes the pieces that meet his own, whatever mesh wrote them.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.core import ArtifactError, hash_file, write_text

from .pieces import Box, Piece, held

FORMAT = 2
ABOUT = "checkpoint.json"
FIRST_FORMAT = "state.json"
NAME = re.compile(r"step-([0-9]{8,})")
KEYS = {"format", "step", "identity", "contract", "tensors", "files"}
"""Of `checkpoint.json`; checkpoints of earlier groundups have these alone, and no seal."""
SEAL = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n')


class Saved(NamedTuple):
    """A whole checkpoint."""

    path: Path
    step: int
    """Number of steps done before it."""
    about: dict[str, Any]
    """What `checkpoint.json` says."""

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(entry["bytes"] for entry in self.about["files"].values())


def places(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the newest last; what has another name is someone else's."""
    return sorted(filter(is_named, folder.glob("step-*")), key=number_of)


def is_named(place: Path) -> bool:
    """Whether a place has the name of a checkpoint: `step-` and eight digits, or more."""
    return NAME.fullmatch(place.name) is not None


def place_of(folder: Path, step: int | None = None) -> Path | None:
    """The newest checkpoint, or a step's; None if there is none at all.

    Raises ArtifactError naming those that there are if the step has none.
    """
    found = places(folder)
    if step is None:
        return found[-1] if found else None
    wanted = folder / f"step-{step:08d}"
    if wanted not in found:
        steps = ", ".join(str(number_of(place)) for place in found) or "none"
        raise ArtifactError(f"{folder} has no checkpoint of step {step}; it has {steps}.")
    return wanted


def number_of(place: Path) -> int:
    """The step of a checkpoint, from its name."""
    return int(place.name.removeprefix("step-"))


def open_saved(place: Path) -> Saved:
    """Read what a checkpoint says of itself.

    Raises ArtifactError if it is damaged or of another format.
    """
    if (place / FIRST_FORMAT).is_file() and not (place / ABOUT).is_file():
        raise ArtifactError(
            f"The checkpoint {place} has format 1 of an older groundup; this one reads {FORMAT}. "
            f"Finish the run with the older one, or remove {place.parent} to begin anew."
        )
    try:
        about = read_about(place / ABOUT)
        if about["format"] != FORMAT:
            raise ArtifactError(
                f"The checkpoint {place} has format {about['format']}; this groundup reads "
                f"{FORMAT}: go on with the groundup that wrote it."
            )
        return Saved(place, about["step"], about)
    except FileNotFoundError:
        if not place.exists():  # taken away meanwhile: whoever asked may ask for the next
            raise
        raise damaged(place, f"it has no {ABOUT}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(place, f"{ABOUT}: {error}") from None


def write_about(path: Path, about: dict[str, Any]) -> None:
    """Write what a checkpoint says of itself, sealed by a hash of its text."""
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    write_text(path, f'{text},\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')


def read_about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself; ValueError if it is not what was written.

    Checkpoints of earlier groundups have no seal; every other key beside theirs is damage to one.
    """
    content = path.read_bytes()
    about = json.loads(content)
    seal = SEAL.search(content, max(0, len(content) - 128))
    if seal is None or seal.end() != len(content):
        if about["format"] == FORMAT and about.keys() != KEYS:
            raise ValueError("it has other content than was written")
    elif hashlib.sha256(content[: seal.start()]).hexdigest() != seal[1].decode():
        raise ValueError("it has other content than was written")
    return about


def damaged(place: Path, how: str) -> ArtifactError:
    """The error of a checkpoint that is not as it was written."""
    return ArtifactError(
        f"The checkpoint {place} is damaged ({how}); remove it to go on from the one before."
    )


def check_files(saved: Saved, names: Iterable[str] | None = None, *, hashes: bool = True) -> None:
    """Compare sizes, and hashes too unless told not to, with those recorded; of some files or all.

    Raises ArtifactError naming the file that differs, FileNotFoundError if all are gone.
    """
    files = saved.about["files"]
    for name in files if names is None else names:
        path, wanted = saved.path / name, files[name]
        if not path.is_file():
            if not saved.path.exists():
                raise FileNotFoundError(saved.path)  # taken away since it was opened
            raise damaged(saved.path, f"{name} is missing")
        if path.stat().st_size != wanted["bytes"]:
            size = path.stat().st_size
            raise damaged(saved.path, f"{name} has {size} bytes of {wanted['bytes']}")
        if hashes and hash_file(path) != wanted["sha256"]:
            raise damaged(saved.path, f"{name} has other content than was written")


def contents(writes: Iterable[Iterable[Piece]]) -> dict[str, dict[str, Any]]:
    """Each part's tensors with their pieces, for `checkpoint.json`, of what each process writes."""
    parts: dict[str, dict[str, Any]] = {}
    for process, pieces in enumerate(writes):
        for piece in pieces:
            entry = parts.setdefault(piece.part, {}).setdefault(
                piece.name, {"dtype": piece.dtype, "shape": list(piece.shape), "pieces": []}
            )
            where = {"file": file_name(piece.part, process), "key": piece.key}
            box = {"starts": list(piece.box.starts), "sizes": list(piece.box.sizes)}
            entry["pieces"].append(where | box)
    return parts


def file_name(part: str, process: int) -> str:
    """Name of the file in which a process writes its pieces of a part."""
    return f"{part}-{process:05d}.safetensors"


class Tensors:
    """The tensors of an open checkpoint."""

    def __init__(self, saved: Saved, files: dict[str, Any]) -> None:
        self.saved, self.files, self.parts = saved, files, saved.about["tensors"]

    def check(self, part: str, state: dict[str, Tensor]) -> None:
        """Raise ArtifactError unless each tensor is there with its shape and dtype."""
        there = self.parts.get(part)
        if there is None:
            raise ArtifactError(
                f"The checkpoint {self.saved.path} has no part {part!r}; it has "
                f"{', '.join(self.parts)}."
            )
        missing = sorted(state.keys() - there.keys())
        if missing:
            raise self.foreign(part, ", ".join(missing[:3]) + " not in it")
        for name, tensor in state.items():
            shape, dtype = there[name]["shape"], there[name]["dtype"]
            own = str(tensor.dtype).removeprefix("torch.")
            if shape != list(tensor.shape) or dtype != own:
                told = f"{name} is {dtype} {shape} there and {own} {list(tensor.shape)} here"
                raise self.foreign(part, told)

    def foreign(self, part: str, how: str) -> ArtifactError:
        """The error of a checkpoint that was made of something else."""
        return ArtifactError(f"The checkpoint {self.saved.path} is of another {part}: {how}.")

    def fill(self, part: str, name: str, tensor: Tensor) -> None:
        """Write this process's share of a tensor into it, reading no more than that."""
        local, _, box = held(tensor)
        filled = 0
        for piece in self.parts[part][name]["pieces"]:
            other = Box(tuple(piece["starts"]), tuple(piece["sizes"]))
            common = box.overlap(other)
            if common is None:
                continue
            file = self.files[piece["file"]]
            if common == other:
                found = file.get_tensor(piece["key"])
            else:
                found = file.get_slice(piece["key"])[common.within(other)]
            local[common.within(box)] = found.to(local.device)
            filled += common.count
        if filled != box.count:
            raise damaged(self.saved.path, f"{filled} of {box.count} numbers of {name} are in it")

    def whole(self, part: str, name: str) -> Tensor:
        """A tensor, all of it."""
        entry = self.parts[part][name]
        tensor = torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]))
        self.fill(part, name, tensor)
        return tensor


@contextmanager
def reading(saved: Saved, parts: Iterable[str] | None = None) -> Iterator[Tensors]:
    """Open a checkpoint's files, of all parts or some; once open, they may be taken away.

    Raises ArtifactError if one cannot be read, FileNotFoundError if it is there no more.
    """
    wanted = saved.about["tensors"] if parts is None else parts
    names = {
        piece["file"]
        for part in wanted
        for entry in saved.about["tensors"].get(part, {}).values()
        for piece in entry["pieces"]
    }
    with ExitStack() as stack:
        try:
            files = {
                name: stack.enter_context(safe_open(saved.path / name, framework="pt"))
                for name in sorted(names)
            }
            yield Tensors(saved, files)
        except SafetensorError as error:
            raise damaged(saved.path, str(error)) from None
