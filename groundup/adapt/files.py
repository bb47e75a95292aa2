"""Adapter directories: PEFT's for LoRA and prefixes, AdapterHub's for bottlenecks.

Modules have the names of the model's Hugging Face architecture, so the libraries open what we
write, and we open what they write; but their pickles never. See peft.py and adapterhub.py.
"""

from pathlib import Path

from groundup.core import MANIFEST, Artifact, ArtifactError, ConfigError, atomic_replace, write_json
from groundup.model import Transformer, save_tensors

from .adapterhub import BOTTLENECK_WEIGHTS, read_bottleneck, write_bottleneck
from .attach import AdapterSize, discard_modules, get_selection, register_adapter, reserve_name
from .config import BottleneckConfig, LoraConfig
from .peft import PEFT_WEIGHTS, read_lora, read_prefix, write_lora, write_prefix
from .source import ADAPTER_CONFIG, AdapterSource

CHAT_TEMPLATE, GENERATION_CONFIG = "chat_template.jinja", "generation_config.json"
ADAPTER_FILES = (
    ADAPTER_CONFIG, PEFT_WEIGHTS, BOTTLENECK_WEIGHTS, CHAT_TEMPLATE, GENERATION_CONFIG
)  # fmt: skip
"""What groundup reads of an adapter's directory."""


def save_adapter(model: Transformer, name: str, path: Path | str, base: str = "") -> None:
    """Write an adapter of a model, named `base` in the file; adapter_config.json comes last.

    Raises ConfigError for a model whose family has no names for the adapted modules.
    """
    path, config = Path(path), get_selection(model).require(name)
    file, owner = PEFT_WEIGHTS, "base_model_name_or_path"
    if isinstance(config, LoraConfig):
        tensors, values = write_lora(model, name, config)
    elif isinstance(config, BottleneckConfig):
        tensors, values = write_bottleneck(model, name, config)
        file, owner = BOTTLENECK_WEIGHTS, "model_name"
    else:
        tensors, values = write_prefix(model, name)
    path.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with atomic_replace(path / file) as temporary:
        save_tensors(tensors, temporary)
    write_json(path / ADAPTER_CONFIG, values | {owner: base or None})


def load_adapter(
    model: Transformer, path: Path | str, name: str = "default", *,
    base: Path | None = None, trainable: bool = False,
) -> AdapterSize:  # fmt: skip
    """Attach the adapter of a directory under a name, and let it act.

    base       the model's directory; if both are artifacts, the adapter must be this model's
    trainable  whether training may continue, such as from fine-tuning into preferences

    Raises ArtifactError for an adapter of another model, or damaged, unsupported or pickled files.
    """
    path = Path(path)
    _check_parent(path, base)
    selection = reserve_name(model, name)
    source = AdapterSource(path, model, name, selection, base)
    read = {"LORA": read_lora, "PREFIX_TUNING": read_prefix, None: read_bottleneck}
    kind = source.values.get("peft_type")
    if kind not in read:
        raise ArtifactError(f"{path} is of PEFT's type {kind}; groundup reads LORA, PREFIX_TUNING.")
    try:
        config = read[kind](source)
    except Exception as error:
        discard_modules(model, name)
        if isinstance(error, ConfigError | KeyError | TypeError):
            raise source.rejected(f"{path / ADAPTER_CONFIG} is not valid ({error})") from None
        raise
    return register_adapter(model, selection, name, config, trainable=trainable)


def _check_parent(path: Path, base: Path | None) -> None:
    """Raise ArtifactError if the manifest names another model than this directory's."""
    if base is None or not all((place / MANIFEST).is_file() for place in (path, base)):
        return
    own = Artifact.open(base, kind="model").id
    for parent in Artifact.open(path, kind="adapter").parents:
        if parent.name == "model" and parent.id != own:
            what = f"{path} is an adapter of the model {parent.id[:12]} ({parent.path})"
            raise ArtifactError(f"{what}, and {base} is the model {own[:12]}; give the former.")
