"""A decoder's blocks in C++ on CPUs, for the tokens of many sequences whose keys lie in blocks.

    weights -> PackedMatrix      panels of outputs, in 32, 16, 8 or 4 bits; see product.h
    keys, values -> BlockCache   blocks of 32 tokens, in 32, 16 or 8 bits; shared by reference
    run_stack                    one pass: hidden states in, logits of chosen tokens out

The order of every sum is fixed by the token's own sequence, so a token's logits have the same bits
alone or in a batch, with its prompt computed at once or in chunks, and whichever blocks hold its
past. 8 and 4 bits round the activations to bytes too, 32 at a time. The reference is
`Transformer.forward`; without a compiler callers use it.
"""

import ctypes
import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import CapacityError, ShapeError, native

FORMATS = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2, torch.uint8: 3}
"""Codes of product.h; uint8 stands for two 4-bit weights."""
INPUT_GROUP = 32
"""Inputs that integer products round together."""
BLOCK_TOKENS = 32
ACTIVATION_CODES = {"relu": 0, "gelu": 1, "gelu_tanh": 2, "silu": 3, "relu2": 4}
NORM_CODES = {"none": 0, "rms": 1, "layer": 2}


class _Matrix(ctypes.Structure):
    """The struct Matrix of product.h."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("weights", "scales", "bias")],
        *[(name, ctypes.c_int64) for name in ("inputs", "outputs", "format", "group")],
    ]


class _Source(ctypes.Structure):
    _fields_ = [
        ("weights", ctypes.c_void_p), ("scales", ctypes.c_void_p), ("format", ctypes.c_int64),
    ]  # fmt: skip


class _Norm(ctypes.Structure):
    _fields_ = [
        ("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p),
        ("kind", ctypes.c_int64), ("eps", ctypes.c_float),
    ]  # fmt: skip


class _Layer(ctypes.Structure):
    _fields_ = [
        *[(name, _Norm) for name in (
            "attention", "queries", "keys", "attention_out", "feedforward", "feedforward_out"
        )],
        *[(name, _Matrix) for name in ("qkv", "out", "up", "down")],
        *[(name, ctypes.c_void_p) for name in (
            "key_cache", "value_cache", "key_scales", "value_scales", "cosines", "sines"
        )],
        ("window", ctypes.c_int64),
    ]  # fmt: skip


class _Stack(ctypes.Structure):
    _fields_ = [
        ("layers", ctypes.c_void_p), ("final_norm", _Norm), ("head", _Matrix),
        ("slopes", ctypes.c_void_p),
        *[(name, ctypes.c_int64) for name in (
            "num_layers", "width", "heads", "key_heads", "head_dim", "feed_width", "is_gated",
            "activation", "is_post_norm", "is_parallel", "norms_all_heads", "cache_format",
            "rotated_pairs", "is_interleaved",
        )],
        *[(name, ctypes.c_float) for name in (
            "scale", "softcap", "output_scale", "output_softcap", "residual_scale"
        )],
    ]  # fmt: skip


class _Products(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("qkv", "out", "up", "down")]


class _Batch(ctypes.Structure):
    _fields_ = [
        *[(name, ctypes.c_void_p) for name in (
            "hidden", "starts", "positions", "blocks", "selected", "logits", "room", "products"
        )],
        *[(name, ctypes.c_int64) for name in ("tokens", "sequences", "table_width", "count")],
    ]  # fmt: skip


def stack_library() -> ctypes.CDLL | None:
    """The compiled stack; None without a compiler."""
    code = native.load_library(Path(__file__).with_suffix(".cpp"), "torch, slower")
    if code is not None:
        for function in (code.room_size, code.rows_size, code.packed_inputs, code.fits_tables):
            function.restype = ctypes.c_int64
    return code


@functools.cache
def _library() -> ctypes.CDLL:
    code = stack_library()
    assert code is not None, "called without a compiler"
    return code


def _panel() -> int:
    return int(_library().panel_width())


def _packed_inputs(inputs: int, dtype: torch.dtype) -> int:
    """Numbers of an output when packed."""
    return _library().packed_inputs(ctypes.c_int64(inputs), ctypes.c_int64(FORMATS[dtype]))


def _allocate(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Zeros, in large pages if there are many."""
    memory = torch.zeros(size, dtype=dtype)
    bytes = memory.numel() * memory.element_size()
    _library().use_large_pages(ctypes.c_void_p(memory.data_ptr()), ctypes.c_int64(bytes))
    return memory


class PackedMatrix(NamedTuple):
    """A weight (O, I) in panels, with its bias."""

    weights: Tensor
    scales: Tensor | None
    """Of integers, one for each output and group of inputs."""
    bias: Float[Tensor, " padded"] | None
    inputs: int
    outputs: int
    format: int
    group: int

    @property
    def bytes(self) -> int:
        """Memory that a product reads."""
        tensors = [each for each in (self.weights, self.scales, self.bias) if each is not None]
        return sum(each.numel() * each.element_size() for each in tensors)

    def struct(self) -> _Matrix:
        """For the library; valid while this matrix lives."""
        pointers = (_address(each) for each in (self.weights, self.scales, self.bias))
        return _Matrix(*pointers, self.inputs, self.outputs, self.format, self.group)


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def pack_matrix(
    weight: Tensor, *, bits: Literal[32, 16, 8, 4], scales: Float[Tensor, "O groups"] | None = None,
    bias: Float[Tensor, " O"] | None = None, into: PackedMatrix | None = None,
) -> PackedMatrix:  # fmt: skip
    """Pack a weight (O, I), in float32 or bfloat16, or in int8 with the scales of its groups.

    bits  as stored: 32 or 16 of floats, 8 or 4 of integers, which 4 bits take from -8 to 7
    into  a packed weight of the same shape and bits, whose memory is used again

    Raises ShapeError if groups do not divide the inputs, or integers need groups of 32.
    """
    outputs, inputs = weight.shape
    group = inputs if scales is None else inputs // scales.shape[1]
    if bits <= 8 and (group % INPUT_GROUP or inputs % group):
        raise ShapeError(f"{inputs} inputs in groups of {group}: integers need multiples of 32.")
    padded = -(-outputs // _panel()) * _panel()
    dtype = {32: torch.float32, 16: torch.bfloat16, 8: torch.int8, 4: torch.uint8}[bits]
    source = weight.detach().contiguous()
    if source.dtype not in (torch.float32, torch.bfloat16, torch.int8):
        source = source.float()
    size = padded * _packed_inputs(inputs, dtype) // (2 if bits == 4 else 1)
    packed = _allocate(size, dtype=dtype) if into is None else into.weights
    own = None if scales is None else scales.detach().float().contiguous()
    packed_scales = None if into is None else into.scales
    if scales is not None and packed_scales is None:
        packed_scales = _allocate(padded * scales.shape[1])
    full_bias = None
    if bias is not None:
        full_bias = torch.zeros(padded)
        full_bias[:outputs] = bias.detach().float()
    matrix = PackedMatrix(
        packed, packed_scales, full_bias, inputs, outputs, FORMATS[dtype], group
    )  # fmt: skip
    _library().pack_matrix(
        ctypes.byref(_Source(source.data_ptr(), _address(own), FORMATS[source.dtype])),
        ctypes.byref(matrix.struct()), ctypes.c_void_p(packed.data_ptr()),
        ctypes.c_void_p(_address(packed_scales)), ctypes.c_int64(torch.get_num_threads()),
    )  # fmt: skip
    return matrix


def multiply_rows(matrix: PackedMatrix, x: Float[Tensor, "N I"]) -> Float[Tensor, "N O"]:
    """x @ weightᵀ + bias in float32, as the stack computes it: a row does not depend on others."""
    x = x.float().contiguous()
    if x.shape[1] != matrix.inputs:
        raise ShapeError(f"The rows have {x.shape[1]} inputs and the weight {matrix.inputs}.")
    rows, padded = len(x), -(-matrix.outputs // _panel()) * _panel()
    out, code = torch.empty(rows, padded), _library()
    room = torch.empty(code.rows_size(ctypes.c_int64(rows), ctypes.byref(matrix.struct())))
    code.multiply_rows(
        ctypes.byref(matrix.struct()), ctypes.c_void_p(x.data_ptr()), ctypes.c_int64(rows),
        ctypes.c_void_p(room.data_ptr()), ctypes.c_void_p(out.data_ptr()),
        ctypes.c_int64(torch.get_num_threads()),
    )  # fmt: skip
    return out[:, : matrix.outputs]


class NormWeights(NamedTuple):
    """A norm over features, in float32; `none` is the identity."""

    kind: Literal["none", "rms", "layer"] = "none"
    weight: Float[Tensor, " D"] | None = None
    bias: Float[Tensor, " D"] | None = None
    eps: float = 0.0

    def struct(self) -> _Norm:
        """For the library; valid while the weights live."""
        return _Norm(_address(self.weight), _address(self.bias), NORM_CODES[self.kind], self.eps)


class LayerWeights(NamedTuple):
    """A block: its norms and products."""

    attention: NormWeights
    queries: NormWeights
    keys: NormWeights
    attention_out: NormWeights
    feedforward: NormWeights
    feedforward_out: NormWeights
    qkv: PackedMatrix
    """Queries, keys and values, one below the other."""
    out: PackedMatrix
    up: PackedMatrix
    """Gate and up, one below the other, if the feed-forward is gated."""
    down: PackedMatrix
    window: int = 0
    """Tokens that a query sees, itself included; 0: all earlier ones."""
    rotation: int | None = 0
    """Index of its rotation in the tables of `StackWeights.rotations`; None: it rotates nothing."""


class StackShape(NamedTuple):
    """What a stack computes besides its weights."""

    width: int
    heads: int
    key_heads: int
    head_dim: int
    feed_width: int
    activation: Literal["relu", "relu2", "gelu", "gelu_tanh", "silu"]
    is_gated: bool
    is_post_norm: bool
    is_parallel: bool
    norms_all_heads: bool
    scale: float
    """Of query-key products."""
    softcap: float
    """Of scores; 0: none."""
    output_scale: float
    output_softcap: float
    residual_scale: float = 1.0
    """Of what attention and feed-forward add."""
    rotated_pairs: int = 0
    """Of a head's features; 0: all."""
    is_interleaved: bool = False
    """Whether the two of a pair are neighbours."""


@dataclass
class StackWeights:
    """All weights of a stack."""

    shape: StackShape
    layers: list[LayerWeights]
    final_norm: NormWeights
    head: PackedMatrix
    rotations: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Cosines and sines (positions, head_dim / 2); empty: none."""
    slopes: Float[Tensor, " H"] | None = None
    """Penalty of each head for a token's distance."""

    @property
    def bytes(self) -> int:
        """Memory that a token reads of the products' weights."""
        return sum(each.bytes for each in self.matrices)

    @property
    def matrices(self) -> list[PackedMatrix]:
        """All products' weights, layer by layer, the head last."""
        own = [m for each in self.layers for m in (each.qkv, each.out, each.up, each.down)]
        return [*own, self.head]


class BlockCache:
    """Keys and values of `num_blocks` blocks of 32 tokens in every layer."""

    def __init__(
        self, weights: StackWeights, num_blocks: int, dtype: torch.dtype, *,
        is_shared: bool = False,
    ) -> None:  # fmt: skip
        """Allocate.

        dtype      float32, bfloat16, or int8 with a scale for each token and head
        is_shared  all layers use one memory in turn: for passes over complete sequences

        Raises CapacityError if there is no block.
        """
        if num_blocks < 1:
            raise CapacityError(f"A cache of {num_blocks} blocks holds nothing; use 1 or more.")
        shape, self.num_blocks, self.dtype = weights.shape, num_blocks, dtype
        tokens, panel = num_blocks * shape.key_heads * BLOCK_TOKENS, _panel()
        padded = -(-shape.head_dim // panel) * panel
        count = 1 if is_shared else len(weights.layers)
        repeats = len(weights.layers) // count
        new = lambda *size: [_allocate(*size, dtype=dtype) for _ in range(count)] * repeats  # noqa: E731
        features = _packed_inputs(shape.head_dim, dtype)
        self.keys, self.values = new(tokens * features), new(tokens * padded)
        self.scales: list[Tensor | None] = [None] * len(weights.layers)
        if dtype == torch.int8:
            self.scales = [torch.zeros(2, tokens) for _ in range(count)] * repeats
        self.rows = num_blocks * shape.key_heads
        """Rows of a layer's tensors, key heads of a block beside each other."""

    @property
    def bytes(self) -> int:
        """Memory of keys, values and scales."""
        tensors = [*self.keys, *self.values, *(each for each in self.scales if each is not None)]
        return sum(each.numel() * each.element_size() for each in tensors)

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block's keys and values in all layers."""
        for tensor in (*self.keys, *self.values, *self.scales):
            if tensor is not None:
                blocks = tensor.view(-1, self.num_blocks, tensor.numel() // self.num_blocks)
                if tensor.dim() == 2:
                    blocks = tensor.view(2, self.num_blocks, -1)
                blocks[:, target] = blocks[:, source]


class StackBatch(NamedTuple):
    """Tokens of some sequences, one after the other."""

    starts: Int[Tensor, " sequences+1"]
    """First token of each sequence, and the number of tokens."""
    positions: Int[Tensor, " tokens"]
    """Ascending by one within a sequence."""
    blocks: Int[Tensor, "sequences width"]
    """Block of each 32 positions of a sequence."""
    selected: Int[Tensor, " count"]
    """Tokens whose logits are wanted, ascending."""


class LayerProducts(NamedTuple):
    """What a layer's products gave for each token, biases added: before norms and activations."""

    qkv: Float[Tensor, "tokens O"]
    """Of queries, keys and values, beside each other."""
    out: Float[Tensor, "tokens D"]
    up: Float[Tensor, "tokens O"]
    """Of gate and up, beside each other, if the feed-forward is gated."""
    down: Float[Tensor, "tokens D"]


class NativeStack:
    """Weights with their cache, ready to run; see `groundup.model.native_stack`."""

    def __init__(self, weights: StackWeights, cache: BlockCache) -> None:
        self.weights, self.cache = weights, cache
        layers = (_Layer * len(weights.layers))()
        for i, layer in enumerate(weights.layers):
            scales, rotation = cache.scales[i], None
            if weights.rotations and layer.rotation is not None:
                rotation = weights.rotations[layer.rotation]
            layers[i] = _Layer(
                *(norm.struct() for norm in layer[:6]), *(m.struct() for m in layer[6:10]),
                cache.keys[i].data_ptr(), cache.values[i].data_ptr(),
                *((None, None) if scales is None else (scales[0].data_ptr(), scales[1].data_ptr())),
                *((None, None) if rotation is None else map(Tensor.data_ptr, rotation)),
                layer.window,
            )  # fmt: skip
        shape, self._layers = weights.shape, layers
        self._stack = _Stack(
            ctypes.addressof(layers), weights.final_norm.struct(), weights.head.struct(),
            _address(weights.slopes), len(layers), *shape[:5], shape.is_gated,
            ACTIVATION_CODES[shape.activation], *shape[7:10], FORMATS[cache.dtype],
            shape.rotated_pairs or shape.head_dim // 2, shape.is_interleaved, *shape[10:15],
        )  # fmt: skip
        self._room, self._code = torch.empty(0), _library()
        self._padded = -(-weights.head.outputs // _panel()) * _panel()

    def run(self, hidden: Float[Tensor, "tokens D"], batch: StackBatch) -> Float[Tensor, "count V"]:
        """Logits of the selected tokens, float32.

        hidden  token embeddings; overwritten

        Raises ShapeError if positions or blocks lie outside the tables: nothing else is read.
        """
        return self._run(self._stack, hidden, batch, None)

    def run_with_products(
        self, hidden: Float[Tensor, "tokens D"], batch: StackBatch
    ) -> list[LayerProducts]:
        """The products of each layer, with the bits that `run` computes; for training.

        hidden  token embeddings; overwritten by the output of the last layer, before the final norm

        Raises ShapeError as `run` does.
        """
        layers, panel = self.weights.layers, _panel()
        products = [[(m, torch.empty(len(hidden), -(-m.outputs // panel) * panel))
                     for m in layer[6:10]] for layer in layers]  # fmt: skip
        structs = (_Products * len(layers))(
            *(_Products(*(t.data_ptr() for _, t in each)) for each in products)
        )
        self._run(self._stack, hidden, batch._replace(selected=batch.selected[:0]), structs)
        return [LayerProducts(*(t[:, : m.outputs] for m, t in each)) for each in products]

    def read_out(self, hidden: Float[Tensor, "count D"]) -> Float[Tensor, "count V"]:
        """Logits of hidden states after the last layer: the end of `run`, to the bit.

        hidden  before the final norm; overwritten
        """
        count, stack = torch.arange(len(hidden)), _Stack.from_buffer_copy(self._stack)
        stack.num_layers = 0
        ends = torch.tensor([0, len(hidden)])
        return self._run(stack, hidden, StackBatch(ends, count * 0, ends[None] * 0, count), None)

    def _run(
        self, stack: _Stack, hidden: Tensor, batch: StackBatch,
        products: "ctypes.Array[_Products] | None",
    ) -> Tensor:  # fmt: skip
        batch = StackBatch(*(each.int().contiguous() for each in batch))
        starts, positions, blocks, selected = batch
        count, head = len(selected), self.weights.head
        logits = torch.empty(count, self._padded)
        work = _Batch(
            hidden.data_ptr(), starts.data_ptr(), positions.data_ptr(), blocks.data_ptr(),
            selected.data_ptr(), logits.data_ptr(), None,
            None if products is None else ctypes.addressof(products),
            len(hidden), len(blocks), blocks.shape[1], count,
        )  # fmt: skip
        self._check(hidden, batch, work)
        code, by_address = self._code, ctypes.byref(stack)
        size = code.room_size(by_address, ctypes.byref(work))
        if len(self._room) < size:
            self._room = _allocate(size)
        work.room = self._room.data_ptr()
        code.run_stack(by_address, ctypes.byref(work), ctypes.c_int64(torch.get_num_threads()))
        return logits[:, : head.outputs]

    def _check(self, hidden: Tensor, batch: StackBatch, work: _Batch) -> None:
        table = [self.weights.rotations[0][0].shape[0]] if self.weights.rotations else []
        bound = min([work.table_width * BLOCK_TOKENS, *table])
        if (
            hidden.dtype != torch.float32 or not hidden.is_contiguous()
            or hidden.shape != (len(batch.positions), self.weights.shape.width)
            or len(batch.starts) != work.sequences + 1
            or not self._code.fits_tables(
                ctypes.byref(work), ctypes.c_int64(bound), ctypes.c_int64(self.cache.num_blocks)
            )
        ):  # fmt: skip
            raise ShapeError("A batch of the native stack does not fit its tables.")
