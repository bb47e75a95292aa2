"""A model family, and the keys of config.json: read, of one supported value, or ignored.

Transformers keeps every key of a file, and its models read keys that no configuration class
declares (`is_causal` turns any decoder into an encoder). So a key in none of these lists is an
error: it could change the logits. The lists were checked against the configuration classes of
transformers 5.24 (tests/oracles/configurations.py) and against published models since 2018.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from groundup.core import ConfigError

from ..configuration.config import ModelConfig
from .names import StateDict, require_defaults

GENERATION = frozenset("""
    assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens
    cache_config cache_implementation constraints diversity_penalty do_sample early_stopping
    encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty force_bos_token_to_be_generated force_words_ids
    forced_bos_token_id forced_decoder_ids forced_eos_token_id guidance_scale length_penalty
    low_memory max_length max_matching_ngram_size max_new_tokens max_time min_length min_new_tokens
    min_p no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups
    num_beams num_return_sequences output_logits output_scores penalty_alpha prefix
    remove_invalid_values renormalize_logits repetition_penalty return_dict_in_generate
    sequence_bias stop_strings suppress_tokens target_lookbehind task_specific_params temperature
    top_k top_p typical_p use_cache watermarking_config
    """.split())  # fmt: skip
"""Defaults for generation; Transformers drops them when it opens a file."""

TOKENS = frozenset("""
    additional_special_tokens bos_token bos_token_id bos_token_ids cls_token_id
    decoder_start_token_id eos_token eos_token_id eos_token_ids mask_token_id model_max_length
    pad_token pad_token_id pad_token_ids sep_token_id tokenizer_class unk_token_id
    """.split())  # fmt: skip
"""Of the tokenizer. The padding id only affects loss and masks, except in RoBERTa's positions."""

METADATA = frozenset("""
    _commit_hash _name_or_path _num_labels architectures auto_map custom_pipelines dtype
    finetuning_task id2label label2id language license model_type name name_or_path num_labels
    problem_type quantization_config sbert_ce_default_activation_function sentence_transformers
    torch_dtype transformers.js_config transformers_version unsloth_fixed unsloth_version
    """.split())  # fmt: skip
"""Names and purpose. `architectures`, dtype, quantization and labels are read elsewhere; `auto_map`
names remote code, which is never run."""

RUNTIME = frozenset("""
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal
    _experts_implementation _experts_implementation_internal _flash_attn_2_enabled
    _pre_quantization_dtype attn_implementation chunk_size_feed_forward experts_implementation
    output_attentions output_hidden_states output_past pretraining_tp return_dict tf_legacy_loss
    torchscript use_bfloat16 use_return_dict xla_device
    """.split())  # fmt: skip
"""Choice of kernels and of the form of the output."""

TRAINING = frozenset("""
    activation_dropout attention_dropout attention_probs_dropout_prob attn_pdrop classif_dropout
    classifier_dropout decoder_layerdrop dropout dropout_rate embd_pdrop embedding_dropout
    encoder_layerdrop gradient_checkpointing hidden_dropout_prob init_std initializer_cutoff_factor
    initializer_factor initializer_range layerdrop mlp_dropout output_router_logits resid_pdrop
    router_aux_loss_coef router_jitter_noise router_z_loss_coef
    """.split())  # fmt: skip
"""Dropout, initialisation and losses: no effect at inference."""

IGNORED_KEYS = GENERATION | TOKENS | METADATA | RUNTIME | TRAINING
"""Keys that affect no family's logits."""

AllowedValues = dict[str, tuple[Any, ...]]

FIXED: AllowedValues = {
    "add_cross_attention": (False, None),
    "cross_attention_hidden_size": (None,),
    "is_decoder": (False, None),
    "is_encoder_decoder": (False, None),
    "per_layer_config": (None, {}),
    "pruned_heads": (None, {}),
    "tie_encoder_decoder": (False, None),
}
"""Keys of every family, with their supported values."""
CAUSAL: AllowedValues = {"is_causal": (True,)}
"""Of decoders; null makes attention in Transformers bidirectional."""

ROPE = frozenset(("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"))
"""Keys that `parse_rope` reads."""


class ConfigKeys(NamedTuple):
    """How a family treats the keys of a config.json; all others are errors."""

    used: frozenset[str]
    """Keys that the family's reader uses or checks."""
    fixed: AllowedValues = {}
    """Keys that must have one of these values, in addition to FIXED."""
    ignored: frozenset[str] = frozenset()
    """Keys that do not affect the logits, in addition to HARMLESS."""
    aliases: Mapping[str, str] = {}
    """Alternative names of keys; Transformers accepts them in any file."""

    @property
    def known(self) -> frozenset[str]:
        """Every accepted key."""
        return IGNORED_KEYS.union(self.used, FIXED, self.fixed, self.ignored, self.aliases)


def word_set(*lists: str | Iterable[str]) -> frozenset[str]:
    """The set of words in strings (separated by spaces) and lists.

    >>> sorted(word_set("b c", ["a"]))
    ['a', 'b', 'c']
    """
    return frozenset(
        word for each in lists for word in (each.split() if isinstance(each, str) else each)
    )


def validate_keys(values: Mapping[str, Any], keys: ConfigKeys, family: str) -> dict[str, Any]:
    """Check the keys of a config.json and replace aliases by the keys' own names.

    >>> validate_keys({"num_hidden_layers": 2}, ConfigKeys(word_set("n_layer"),
    ...     aliases={"num_hidden_layers": "n_layer"}), "gpt2")
    {'n_layer': 2}

    Raises ConfigError naming an unknown key, an unsupported value, or two names of one key with
    different values.
    """
    for key in values:
        if key not in keys.known:
            what = f"config.json has {key}={repr(values[key])[:60]}, which is unknown in {family}"
            raise ConfigError(f"{what} and may change the logits; delete the key if it does not.")
    for key, allowed in {**FIXED, **keys.fixed}.items():
        if key not in keys.used and key in values and not _is_one_of(values[key], allowed):
            what = f"config.json has {key}={repr(values[key])[:60]}; groundup supports"
            raise ConfigError(f"{what} {family} only with {key}={allowed[0]!r}.")
    named = {key: value for key, value in values.items() if key not in keys.aliases}
    for alias, key in keys.aliases.items():
        value = values.get(alias)
        if alias in values and not _is_one_of(named.setdefault(key, value), [value]):
            what = f"config.json has {alias}={value!r} and {key}={named[key]!r}"
            raise ConfigError(f"{what}, two names of one {family} value; delete the wrong one.")
    return named


def _is_one_of(value: Any, allowed: Iterable[Any]) -> bool:
    """Whether a value equals one of these without confusing 1 and true.

    >>> _is_one_of(0, (False, None)), _is_one_of(False, (False, None))
    (False, True)
    """
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)


class Family(NamedTuple):
    """How to read and write the files of one Hugging Face model_type."""

    name: str
    """The model_type."""
    keys: ConfigKeys
    """Keys of its config.json."""
    from_hf_config: Callable[[dict[str, Any]], ModelConfig]
    """Raises ArtifactError naming the key that is missing or has an unsupported value."""
    write_config: Callable[[ModelConfig], dict[str, Any]]
    """The config.json of a configuration that the family may not be able to express."""
    from_hf_state_dict: Callable[[StateDict, ModelConfig], StateDict]
    """Hugging Face tensors to groundup's names and layout."""
    to_hf_state_dict: Callable[[StateDict, ModelConfig], StateDict]
    """The inverse."""
    supports_packed: bool = True
    """Whether its files can hold packed int8 weights; transposed or stacked ones cannot."""

    def to_hf_config(self, config: ModelConfig) -> dict[str, Any]:
        """The config.json; raises ConfigError naming the field that the family cannot express."""
        values = self.write_config(config)
        require_defaults(config, self.from_hf_config(values), self.name)
        return values


ROTARY_BUFFERS = r".*\.rotary_emb\.inv_freq$"
"""Buffers of rotary frequencies in files from before 2023-07; they follow from config.json."""
