"""Configuration of training: frozen dataclasses read from TOML. Nets never see these objects.

An unknown table or key is an error; every default is the one the product ships with.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from model.config.toml_reader import (
    ConfigError,
    parse_table,
    reject_unknown_keys,
    require_at_least_one,
    require_choice,
)
from model.contract.scoring.objective import RewardWeights

CRU_LOSSES = ("straight_through", "expected", "sampled")
AUXILIARY_LOSS_WEIGHTS = (
    "listmle_weight",
    "sampled_softmax_weight",
    "slot_bias_weight",
)  # of the lessons
MAX_SAMPLES_PER_SLOT = 100  # neighbors a slot and step
EMBEDDING_DECAY_AT_10K_LISTS = 0.33  # of embeddings, where 10,000 lists are learned from
REFINABLE_EVALUATOR, DEFAULT_REFINE_ROUNDS = (
    "pair",
    8,
)  # the kind of evaluator under which lists are refined


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorConfig:
    """Size of the evaluator. `list_kind`: "pair" is additive over pairs of slots.

    "nlgr" is the published net, "context" mixes slots by attention.
    """

    kind: str = "pair"
    width: int = 8  # D, embedding width
    hidden: int = 32
    members: int = 3  # E, nets in the ensemble
    layers: int = 1  # transformer blocks over slots; "context" only
    dropout: float = 0.2  # of what a candidate brings and of the last layer; not in "nlgr"
    factor_width: int = 32  # width of factors of user and item, and of alikeness; "pair" only
    item_interactions: bool = True  # whether a list's items act on each other; "pair" only

    def __post_init__(self) -> None:
        require_choice("evaluator.kind", self.kind, ("nlgr", "context", "pair"))
        require_at_least_one(self, "width", "hidden", "members", "layers", "factor_width")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorConfig:
    """Size of the generator. `list_kind`: "guided" reads the evaluator, "nlgr" is the published net."""

    kind: str = "guided"
    hidden: int = 32
    heads: int = 4  # ways in which items go together; "guided" only
    head_width: int = 24  # numbers a head; "guided" only
    edits: int = 4  # T; what more would find, refinement finds at less cost
    stop_on_no_change: bool = False
    starts_from_relevance_order: bool = (
        True  # lists begin with the best candidates; "guided" of "pair" only
    )

    def __post_init__(self) -> None:
        require_choice("generator.kind", self.kind, ("nlgr", "guided"))
        require_at_least_one(self, "hidden", "heads", "head_width", "edits")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorTrainingConfig:
    """How the evaluator learns."""

    epochs: int = 16
    patience: int = 3  # epochs without a better validation loss before it stops
    lr: float = 6e-3
    structural_lr: float = 1e-2  # of weights of slots and pairs, and of biases; "pair" only
    ema_decay: float = (
        0.995  # decay of the moving average of weights that is kept; 0 keeps the last
    )
    weight_decay: float = 0.01  # of all other weights (decoupled)
    embedding_decay: float | None = None  # of embeddings and factors (decoupled); None: by rows
    bias_decay: float = 0.25  # of the biases of rows (decoupled); "pair" only
    pair_residual_decay: float = (
        3.0  # of what pairs of slots have beyond their distance; "pair" only
    )
    max_batch_size: int = 512
    min_steps_per_epoch: int = (
        375  # smaller batches, down to the least, where an epoch has fewer steps
    )
    min_batch_size: int = 32  # lists
    prefix_share: float = 0.1  # lists cut to a prefix, so that shorter lists are known
    unknown_share: float = 0.1  # ids hidden, so that the unknown rows are trained
    listmle_weight: float = 1.0  # weight of what upstream's order teaches of tastes; "pair" only
    sampled_softmax_weight: float = 1.0  # of what the choice of candidates teaches; "pair" only
    slot_bias_weight: float = (
        0.3  # weight against lists adding the same to a slot always; "pair" only
    )
    temperature_scaling: bool = True  # at the end, scale what is promised to what validation shows
    bootstrap: bool = False  # every member weighs the lists its own way
    users: str = "all"  # all | first_half | second_half: whose lists are learned from
    lists: str = "all"  # all | even | odd: every other list of each user, the first is even
    labels: str = "clicks"  # clicks | world: a simulated log's true probabilities, for a ceiling
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("train_evaluator.users", self.users, ("all", "first_half", "second_half"))
        require_choice("train_evaluator.lists", self.lists, ("all", "even", "odd"))
        require_choice("train_evaluator.labels", self.labels, ("clicks", "world"))
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"train_evaluator.ema_decay={self.ema_decay} must be in [0, 1)")
        require_at_least_one(self, "min_steps_per_epoch", "min_batch_size", "max_batch_size")
        if self.embedding_decay is not None and self.embedding_decay < 0:
            raise ValueError(f"train_evaluator.embedding_decay={self.embedding_decay} is negative")
        for name in AUXILIARY_LOSS_WEIGHTS:
            if getattr(self, name) < 0:
                raise ValueError(f"train_evaluator.{name}={getattr(self, name)} is negative")

    def batch_size(self, rows: int) -> int:
        """max_batch_size, or what makes min_steps_per_epoch of a small log, but not below the least."""
        return min(self.max_batch_size, max(self.min_batch_size, rows // self.min_steps_per_epoch))

    def effective_embedding_decay(self, rows: int) -> float:
        """As configured, or the less the more lists there are, by the root of their number."""
        if self.embedding_decay is not None:
            return self.embedding_decay
        return EMBEDDING_DECAY_AT_10K_LISTS * math.sqrt(10_000 / max(rows, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorTrainingConfig:
    """How the generator learns (METHOD section 5)."""

    epochs: int = 8
    min_steps: int = 3000  # a small log is gone through as often as that takes
    lr: float = 3e-3
    lr_decay_share: float = 0.5  # share of the training, at its end, over which the rate falls to 0
    max_batch_size: int = 128
    cru_loss: str = "expected"  # straight_through_choice | expected | sampled
    expected_loss_slots: int = 0  # slots a step whose every neighbor is asked; 0: all under "pair"
    alpha: float = 0.2  # weight of L2
    tau_start: float = 1.0
    tau_end: float = 0.3
    noise_scale: float = 1.0
    exploration_share: float = (
        0.2  # share of uniform replacements, falling to 0 over the first third
    )
    prefix_share: float = 0.1  # lists cut to a prefix, so that shorter lists are known
    edited_share: float = 0.5  # states that are lists after 1..T edits of the current policy
    input_list_share: float = (
        0.2  # rows that begin at the input list where others do so by relevance
    )
    replacement: str = "cru"  # who draws replacements: cru | uniform | popularity
    samples_per_slot: float = 1.0  # neighbors drawn a slot and step; below 1: share of the slots
    relative_reward: bool = True  # learn from gains; false: from the neighbor's reward itself
    left_to_right: bool = False  # edit t takes slot t, whatever the PDU says
    shape_above: float = 1.0  # steepness of the shaped reward above the mean (k1)
    shape_below: float = 1.0  # and below it (k2)
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("train_generator.cru_loss", self.cru_loss, CRU_LOSSES)
        require_choice(
            "train_generator.replacement", self.replacement, ("cru", "uniform", "popularity")
        )
        if not 0.0 <= self.lr_decay_share <= 1.0:
            raise ValueError(
                f"train_generator.lr_decay_share={self.lr_decay_share} is not in [0, 1]"
            )
        for name in ("expected_loss_slots", "min_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"train_generator.{name}={getattr(self, name)} is negative")
        for name in ("edited_share", "input_list_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"train_generator.{name}={getattr(self, name)} is not in [0, 1]")
        if not 0 < self.samples_per_slot <= MAX_SAMPLES_PER_SLOT:
            raise ValueError(
                f"train_generator.samples_per_slot={self.samples_per_slot} is not in "
                f"(0, {MAX_SAMPLES_PER_SLOT}]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """Default weights of the reward; `value_field` names a numeric field (say, price)."""

    click: float = 1.0
    conversion: float = 0.0
    value: float = 0.0
    value_field: str | None = None
    discount: float = 0.0  # how much less a lower slot counts; 1 is the discount of DCG

    def __post_init__(self) -> None:
        if self.discount < 0:
            raise ValueError(f"objective.discount={self.discount} is negative")

    def to_reward_weights(self) -> RewardWeights:
        """What a list is worth, for those who compute it."""
        return RewardWeights.from_attributes(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """What the artifact says about serving."""

    risk_aversion: float = 1.0  # lambda of the choice
    num_lists: int = 8  # K that the noise scale is chosen for
    refine_rounds: int | None = None  # steps of refinement at most; None: by the evaluator's kind
    max_candidates: int = 500  # N that the service accepts

    def __post_init__(self) -> None:
        if self.refine_rounds is not None and self.refine_rounds < 0:
            raise ValueError(f"serving.refine_rounds={self.refine_rounds} is negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineConfig:
    """One TOML file: each attribute is a table of it."""

    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    train_evaluator: EvaluatorTrainingConfig = field(default_factory=EvaluatorTrainingConfig)
    train_generator: GeneratorTrainingConfig = field(default_factory=GeneratorTrainingConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)

    def __post_init__(self) -> None:
        if self.serving.refine_rounds and self.evaluator.kind != REFINABLE_EVALUATOR:
            raise ConfigError(
                f"serving.refine_rounds={self.serving.refine_rounds} needs evaluator.kind="
                f"{REFINABLE_EVALUATOR!r}, whose neighbors are known at once, not {self.evaluator.kind!r}"
            )

    @property
    def refine_rounds(self) -> int:
        """Steps of refinement that serving takes at most."""
        if self.serving.refine_rounds is not None:
            return self.serving.refine_rounds
        return DEFAULT_REFINE_ROUNDS if self.evaluator.kind == REFINABLE_EVALUATOR else 0

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], origin: str = "config") -> Self:
        """Build from nested mappings; raises ConfigError naming an unknown or wrong key."""
        tables = {f.name: f.default_factory for f in dataclasses.fields(cls)}
        reject_unknown_keys(mapping, tables, origin)
        given = {
            name: parse_table(tables[name], value, f"{origin}: [{name}]")
            for name, value in mapping.items()
        }
        return cls(**given)

    @classmethod
    def from_toml(cls, path: Path | None) -> Self:
        """Read a TOML file; None gives the defaults."""
        if path is None:
            return cls()
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from error
        return cls.from_mapping(raw, str(path))

    def to_mapping(self) -> dict[str, Any]:
        """Nested plain values, as `config_from_mapping` takes them."""
        return dataclasses.asdict(self)
