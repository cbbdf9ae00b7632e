"""A transformer over slots with fixed random weights, in numpy. It is never trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.world_attributes import FloatArray

_SEED_STREAM = 24  # separates the weights from other random streams
_REFERENCE_LISTS, _REFERENCE_SLOTS = 512, 4  # random lists that standardize the output
Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape:
    """Size of the transformer; the weights follow from `seed`."""

    seed: int
    layers: int
    width: int
    heads: int
    sharpness: float  # scale of the attention scores


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Weights of one block: (width, width), the tanh layer (width, 2 width) and back."""

    query: Weights
    key: Weights
    value: Weights
    inner: Weights
    outer: Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomTransformer:
    """Self-attention blocks over the slots of a list."""

    shape: TransformerShape
    entry: Weights
    slot_rates: Weights
    blocks: tuple[_Block, ...]
    out: Weights

    def __call__(self, slots: FloatArray) -> FloatArray:
        """(L, M) float32 output for slots (L, M, inputs) float32."""
        place = np.arange(slots.shape[1], dtype=np.float32)[:, None]
        x = slots @ self.entry + np.sin(place * self.slot_rates)  # (L, M, width)
        for block in self.blocks:
            x = _normalized(x + _attend(x, block, self.shape))
            x = _normalized(x + np.tanh(x @ block.inner) @ block.outer)
        return np.asarray(x @ self.out)


@lru_cache(maxsize=8)
def build_random_transformer(shape: TransformerShape, inputs: int) -> RandomTransformer:
    """The transformer of this shape; the first two inputs count as much as all others together."""
    rng = np.random.default_rng((shape.seed, _SEED_STREAM))
    width = shape.width
    return RandomTransformer(
        shape=shape,
        entry=np.concatenate([_normal(rng, (2, width)), _scaled(rng, inputs - 2, width)]),
        slot_rates=rng.uniform(0.2, 2.0, width).astype(np.float32),
        blocks=tuple(_random_block(rng, width) for _ in range(shape.layers)),
        out=_scaled(rng, width, 1)[:, 0],
    )


@lru_cache(maxsize=8)
def output_scale(shape: TransformerShape, inputs: int) -> tuple[float, float]:
    """Mean and deviation of the output on random lists, which a caller standardizes with."""
    rng = np.random.default_rng((shape.seed, _SEED_STREAM, 1))
    lists = (_REFERENCE_LISTS, _REFERENCE_SLOTS)
    genres = rng.multinomial(2, np.full(inputs - 2, 1 / (inputs - 2)), lists) / 2
    own = np.concatenate([rng.standard_normal((*lists, 2)), genres], axis=-1)
    output = build_random_transformer(shape, inputs)(own.astype(np.float32))
    return float(output.mean()), float(output.std())


def _random_block(rng: np.random.Generator, width: int) -> _Block:
    return _Block(
        query=_scaled(rng, width, width),
        key=_scaled(rng, width, width),
        value=_scaled(rng, width, width),
        inner=_scaled(rng, width, 2 * width),
        outer=_scaled(rng, 2 * width, width),
    )


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Weights:
    return rng.standard_normal(shape, dtype=np.float32)


def _scaled(rng: np.random.Generator, rows: int, columns: int) -> Weights:
    """Weights that keep the variance of their input."""
    return _normal(rng, (rows, columns)) / np.float32(np.sqrt(rows))


def _attend(x: FloatArray, block: _Block, shape: TransformerShape) -> FloatArray:
    """(L, M, width) multi-head self-attention over all slots."""
    count, slots, width = x.shape
    head_width = width // shape.heads

    def split(weight: Weights) -> FloatArray:
        return (x @ weight).reshape(count, slots, shape.heads, head_width).transpose(0, 2, 1, 3)

    query, key, value = split(block.query), split(block.key), split(block.value)
    score = (query @ key.transpose(0, 1, 3, 2)) * np.float32(shape.sharpness / head_width**0.5)
    weight = np.exp(score - score.max(axis=-1, keepdims=True))
    mixed = (weight / weight.sum(axis=-1, keepdims=True)) @ value
    return 2 * mixed.transpose(0, 2, 1, 3).reshape(count, slots, width)


def _normalized(x: FloatArray) -> FloatArray:
    """The rows with mean 0 and deviation 1."""
    centered = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 1e-6))
