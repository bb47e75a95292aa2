"""What the configuration classes of Transformers say: keys, defaults, other names of keys.

Run by `make oracles`. Writes tests/fixtures/configurations.json: of each family that opens here the
config.json of a class without arguments, with every key, and the names that stand for others; and
the keys of generation that every class drops.
"""

import json
from pathlib import Path

import transformers
from transformers import CONFIG_MAPPING, GenerationConfig

from groundup.model.families import FAMILIES

OUT = Path(__file__).resolve().parents[1] / "fixtures" / "configurations.json"


def values_of(kind: str) -> dict:
    """Every key of a class, as its config.json has them."""
    values = json.loads(CONFIG_MAPPING[kind]().to_json_string(use_diff=False))
    values.pop("transformers_version")
    if kind == "gemma3":  # the part that sees pictures has no place here
        values["vision_config"] = {}
    return values | {"model_type": kind}


def main() -> None:
    """Write the fixture anew."""
    families = {
        kind: {
            "defaults": values_of(kind),
            "aliases": dict(CONFIG_MAPPING[kind].attribute_map),
        }
        for kind in FAMILIES
        if kind in CONFIG_MAPPING
    }
    found = {
        "transformers": transformers.__version__,
        "families": families,
        "generation": sorted(GenerationConfig._get_default_generation_params()),
    }
    OUT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
