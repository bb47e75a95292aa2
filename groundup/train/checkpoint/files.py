"""The files of a checkpoint: their format, how they are written, found, verified and read.

    step-00001200/
      model-00000.safetensors        what rank 0 wrote of the part `model`
      optimizer-00000.safetensors
      random-00000.safetensors
      checkpoint.json                written last: step, run identity, determinism contract, each
                                     tensor's shape, dtype and pieces, each file's sha256, and at
                                     its end the sha256 of everything before

A reader loads the pieces that overlap its own shard, whatever mesh wrote them. safetensors files
are written here rather than by the library so that they are hashed while written, without a copy,
and a full disk is an OSError; the bytes are those that the library writes.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from groundup.core import ArtifactError, hash_file, write_text

from .shards import Bounds, TensorShard, local_shard

FORMAT = 2
METADATA_FILE = "checkpoint.json"
FORMAT_1_FILE = "state.json"
DELETING_PREFIX = ".gone-"
CHECKPOINT_NAME = re.compile(r"step-([0-9]{8,})")
UNSEALED_KEYS = {"format", "step", "identity", "contract", "tensors", "files"}
"""Keys of `checkpoint.json`; earlier groundups wrote only these, without a final hash."""
HASH_SUFFIX = re.compile(rb',\n "sha256": "([0-9a-f]{64})"\n}\n')


class SavedCheckpoint(NamedTuple):
    """A complete checkpoint."""

    path: Path
    step: int
    """Number of completed steps."""
    metadata: dict[str, Any]
    """Content of `checkpoint.json`."""

    @property
    def bytes(self) -> int:
        """Total size of its files."""
        return sum(entry["bytes"] for entry in self.metadata["files"].values())


def checkpoint_paths(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the newest last."""
    named = (path for path in folder.glob("step-*") if CHECKPOINT_NAME.fullmatch(path.name))
    return sorted(named, key=step_of_path)


def find_checkpoint(folder: Path, step: int | None = None) -> Path | None:
    """The newest checkpoint, or the one of a step; None if there is none at all.

    Raises ArtifactError listing the available steps if `step` has no checkpoint.
    """
    paths = checkpoint_paths(folder)
    if step is None:
        return paths[-1] if paths else None
    wanted = folder / f"step-{step:08d}"
    if wanted not in paths:
        steps = ", ".join(str(step_of_path(path)) for path in paths) or "none"
        raise ArtifactError(f"{folder} has no checkpoint of step {step}; it has {steps}.")
    return wanted


def step_of_path(path: Path) -> int:
    """The step of a checkpoint, from its name."""
    return int(path.name.removeprefix("step-"))


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint, renamed first: half deleted, it would look damaged."""
    os.replace(path, deleting := path.with_name(f"{DELETING_PREFIX}{step_of_path(path):08d}"))
    shutil.rmtree(deleting, ignore_errors=True)


def open_checkpoint(path: Path) -> SavedCheckpoint:
    """Open a checkpoint by reading its `checkpoint.json`.

    Raises ArtifactError if it is damaged or of another format.
    """
    if (path / FORMAT_1_FILE).is_file() and not (path / METADATA_FILE).is_file():
        raise ArtifactError(
            f"The checkpoint {path} has format 1 of an older groundup, expected {FORMAT}; finish "
            f"the run with the older groundup, or remove {path.parent} to start again."
        )
    try:
        about = _read_metadata(path / METADATA_FILE)
        if about["format"] != FORMAT:
            raise ArtifactError(
                f"The checkpoint {path} has format {about['format']}, expected {FORMAT}; resume "
                "with the groundup that wrote it."
            )
        return SavedCheckpoint(path, about["step"], about)
    except FileNotFoundError:
        if not path.exists():  # deleted meanwhile: the caller may retry with the newest
            raise
        raise _damage_error(path, f"it has no {METADATA_FILE}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damage_error(path, f"{METADATA_FILE}: {error}") from None


def write_metadata(path: Path, about: dict[str, Any]) -> None:
    """Write `checkpoint.json`, ending with a hash of its text."""
    text = json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    write_text(path, f'{text},\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n')


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read `checkpoint.json`; ValueError if it differs from what was written.

    Earlier groundups wrote no hash; without one, any key beyond `UNSEALED_KEYS` means a damaged
    hash.
    """
    content = path.read_bytes()
    about = json.loads(content)
    seal = HASH_SUFFIX.search(content, max(0, len(content) - 128))
    if seal is None or seal.end() != len(content):
        if about["format"] == FORMAT and about.keys() != UNSEALED_KEYS:
            raise ValueError("it has other content than was written")
    elif hashlib.sha256(content[: seal.start()]).hexdigest() != seal[1].decode():
        raise ValueError("it has other content than was written")
    return about


def _damage_error(path: Path, how: str) -> ArtifactError:
    return ArtifactError(
        f"The checkpoint {path} is damaged ({how}); remove it to resume from the previous one."
    )


def check_files(
    saved: SavedCheckpoint, names: Iterable[str] | None = None, *, hashes: bool = True
) -> None:
    """Check the sizes (and hashes) of some or all files against those recorded.

    Raises ArtifactError naming the file that differs, FileNotFoundError if the checkpoint is gone.
    """
    files = saved.metadata["files"]
    for name in files if names is None else names:
        path, wanted = saved.path / name, files[name]
        if not path.is_file():
            if not saved.path.exists():
                raise FileNotFoundError(saved.path)  # taken away since it was opened
            raise _damage_error(saved.path, f"{name} is missing")
        if path.stat().st_size != wanted["bytes"]:
            size = path.stat().st_size
            raise _damage_error(saved.path, f"{name} has {size} bytes of {wanted['bytes']}")
        if hashes and hash_file(path) != wanted["sha256"]:
            raise _damage_error(saved.path, f"{name} has other content than was written")


def tensor_index(writes: Iterable[Iterable[TensorShard]]) -> dict[str, dict[str, Any]]:
    """Each part's tensors with their pieces, for `checkpoint.json`, from what each rank writes."""
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
    """Name of the file of a process's pieces of a part."""
    return f"{part}-{process:05d}.safetensors"


class CheckpointTensors:
    """The tensors of an open checkpoint."""

    def __init__(self, saved: SavedCheckpoint, files: dict[str, Any]) -> None:
        self.saved, self.files, self.parts = saved, files, saved.metadata["tensors"]

    def check(self, part: str, state: dict[str, Tensor]) -> None:
        """Raise ArtifactError unless each tensor is stored with its shape and dtype."""
        stored = self.parts.get(part)
        if stored is None:
            raise ArtifactError(
                f"The checkpoint {self.saved.path} has no part {part!r}; it has "
                f"{', '.join(self.parts)}."
            )
        missing = sorted(state.keys() - stored.keys())
        if missing:
            raise self.mismatch_error(part, ", ".join(missing[:3]) + " not in it")
        for name, tensor in state.items():
            shape, dtype = stored[name]["shape"], stored[name]["dtype"]
            own = str(tensor.dtype).removeprefix("torch.")
            if shape != list(tensor.shape) or dtype != own:
                raise self.mismatch_error(
                    part, f"{name} is {dtype} {shape}, expected {own} {list(tensor.shape)}"
                )

    def mismatch_error(self, part: str, how: str) -> ArtifactError:
        """The error of a part that does not fit the checkpoint."""
        return ArtifactError(f"The checkpoint {self.saved.path} is of another {part}: {how}.")

    def read_into(self, part: str, name: str, tensor: Tensor) -> None:
        """Read this process's shard of a tensor into it, and no more than that."""
        local, _, box = local_shard(tensor)
        filled = 0
        for piece in self.parts[part][name]["pieces"]:
            other = Bounds(tuple(piece["starts"]), tuple(piece["sizes"]))
            common = box.overlap(other)
            if common is None:
                continue
            file = self.files[piece["file"]]
            if common == other:
                values = file.get_tensor(piece["key"])
            else:
                values = file.get_slice(piece["key"])[common.within(other)]
            local[common.within(box)] = values.to(local.device)
            filled += common.count
        if filled != box.count:
            raise _damage_error(self.saved.path, f"it has {filled} of {box.count} values of {name}")

    def read_full(self, part: str, name: str) -> Tensor:
        """Read the complete tensor."""
        entry = self.parts[part][name]
        tensor = torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]))
        self.read_into(part, name, tensor)
        return tensor


@contextmanager
def open_tensors(
    saved: SavedCheckpoint, parts: Iterable[str] | None = None
) -> Iterator[CheckpointTensors]:
    """Open a checkpoint's files, of all parts or some; once open, they may be deleted on disk.

    Raises ArtifactError if one cannot be read, FileNotFoundError if it was deleted.
    """
    wanted = saved.metadata["tensors"] if parts is None else parts
    names = {
        piece["file"]
        for part in wanted
        for entry in saved.metadata["tensors"].get(part, {}).values()
        for piece in entry["pieces"]
    }
    with ExitStack() as stack:
        try:
            files = {
                name: stack.enter_context(safe_open(saved.path / name, framework="pt"))
                for name in sorted(names)
            }
            yield CheckpointTensors(saved, files)
        except SafetensorError as error:
            raise _damage_error(saved.path, str(error)) from None


DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3", torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32",
    torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64",
}  # fmt: skip
"""Header names in the library's order: wide types come first in a file."""
ORDER = list(DTYPES)
CHUNK_BYTES = 2**23


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write and fsync a safetensors file; return its sha256 and bytes.

    OSError if the disk is full or fails.
    """
    entries = sorted(tensors.items(), key=lambda entry: (-ORDER.index(entry[1].dtype), entry[0]))
    hashed, size = hashlib.sha256(), 0
    with open(path, "wb", buffering=0) as file:
        for content in (_safetensors_header(entries), *(tensor for _, tensor in entries)):
            block = memoryview(content if isinstance(content, bytes) else _tensor_bytes(content))
            for start in range(0, len(block), CHUNK_BYTES):
                chunk = block[start : start + CHUNK_BYTES]
                hashed.update(chunk)
                while chunk:  # a write may be partial
                    chunk = chunk[file.write(chunk) :]
            size += len(block)
        os.fsync(file.fileno())
    return {"sha256": hashed.hexdigest(), "bytes": size}


def _safetensors_header(rows: list[tuple[str, Tensor]]) -> bytes:
    about: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in rows:
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind, shape = DTYPES[tensor.dtype], list(tensor.shape)
        about[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _tensor_bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, without copying if it is contiguous in main memory."""
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
