"""What is served: directories, or the bundle of a label, unless they were rejected.

    groundup serve production   what releases/ has under the label, also when it moves
    groundup serve tuned        the directory, unless its newest verdict nearby failed

What was accepted though it was rejected is in the artifact's ledger and in every receipt.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, ConfigError
from groundup.measure import Bundle, check_not_rejected, release_labels, resolve_label

from .engine.settings import EngineSettings

STAMPED = ("st_mtime_ns", "st_size", "st_ino")


class ResolvedEngine(NamedTuple):
    """Settings without labels, and what receipts say of them."""

    settings: EngineSettings
    release: dict[str, Any]


class Releases(NamedTuple):
    """Where labels are, and whether they may name what was rejected."""

    folder: Path
    accept_rejected: bool = False

    def label_of(self, engine: EngineSettings) -> str:
        """The label that is served; empty if it is a directory.

        Raises ConfigError for what is both or neither.
        """
        name, labels = engine.model, release_labels(self.folder)
        is_path = not name or os.sep in name or Path(name).exists()
        if name in labels and is_path:
            what = f"{name} is a directory, and a label in {self.folder}"
            raise ConfigError(f"{what}; give {Path(name).absolute()} for the directory.")
        if not is_path and name not in labels:
            known = ", ".join(labels) or "none"
            what = f"There is no directory {name}, and no label of that name in {self.folder}"
            raise ConfigError(f"{what}, which has {known}; give one of them, or --releases DIR.")
        return "" if is_path else name

    def stamp_of(self, engine: EngineSettings) -> tuple[int, ...]:
        """What changes when the label moves; empty for a directory."""
        label = self.label_of(engine)
        if not label:
            return ()
        state = (self.folder / f"{label}.jsonl").stat()
        return tuple(getattr(state, name) for name in STAMPED)

    def resolve(self, engine: EngineSettings) -> ResolvedEngine:
        """The settings with the directories that are served now.

        Raises GateFailed for what was rejected and not accepted, ArtifactError for what was edited,
        ConfigError for a bundle that cannot be served.
        """
        if label := self.label_of(engine):
            found = resolve_label(label, self.folder, accept_rejected=self.accept_rejected)
            return _of_bundle(found, engine)
        paths = {name: Path(getattr(engine, name)) for name in ("model", "index")}
        paths = {name: path.absolute() for name, path in paths.items() if getattr(engine, name)}
        accepted = [check_not_rejected(path, accept_rejected=self.accept_rejected)
                    for path in paths.values()]  # fmt: skip
        update = {name: str(path) for name, path in paths.items()}
        release = {"accepted": list(filter(None, accepted))} if any(accepted) else {}
        return ResolvedEngine(engine.model_copy(update=update), release)


def _of_bundle(found: Bundle, engine: EngineSettings) -> ResolvedEngine:
    parts = dict(found.artifacts)
    subject = parts.pop("subject")
    parts["index" if subject.kind == "index" else "model"] = subject
    if "adapter" in parts:
        what = f"{found.label} has an adapter, which is not served"
        raise ConfigError(f"{what}; release the model with the adapter merged into it.")
    if twice := [name for name in parts if name != "model" and getattr(engine, name)]:
        raise ConfigError(f"{found.label} has its own {twice[0]}; leave yours out.")
    update = {"model": ""} | {
        name: str((_prompt_of(part) if name == "prompt" else part.path).absolute())
        for name, part in parts.items()
    }
    release = {
        "label": found.label, "bundle": found.id, "verdict": found.last_move.verdict["id"],
        "accepted_rejected": found.last_move.accepted_rejected,
    }  # fmt: skip
    return ResolvedEngine(engine.model_copy(update=update), release)


def _prompt_of(artifact: Artifact) -> Path:
    files = sorted(artifact.files)
    if len(files) != 1:
        what = f"{artifact.path} must be one prompt to be served; it has {', '.join(files)}"
        raise ConfigError(f"{what}; release that one.")
    return artifact.file(files[0])
