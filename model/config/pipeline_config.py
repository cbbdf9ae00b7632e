"""Configuration of training: frozen dataclasses, checked by pydantic and read from TOML.

Only builders and training tasks see these objects; nets take plain numbers. An unknown table or
key is an error. The settings of training are explained in docs/explanation/method.md.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field
from pydantic.dataclasses import dataclass

from model.config.toml_reader import (
    STRICT_CONFIG,
    ConfigError,
    parse_table,
    read_toml,
    reject_unknown_keys,
)
from model.contract.scoring.objective import RewardWeights

AUXILIARY_LOSS_WEIGHTS = ("listmle_weight", "sampled_softmax_weight", "slot_bias_weight")
MAX_SAMPLES_PER_SLOT = 100  # neighbors per slot and step
EMBEDDING_DECAY_AT_10K_LISTS = 0.33  # weight decay of embeddings for a log of 10,000 lists
REFINABLE_EVALUATOR = "pair"  # the evaluator kind that can score all neighbors of a list at once
DEFAULT_REFINE_ROUNDS = 8

Count = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
DecayRate = Annotated[float, Field(ge=0, lt=1)]
ClickModelName = Literal["position", "choice", "cascade"]
CLICK_MODELS: tuple[ClickModelName, ...] = ("position", "choice", "cascade")


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class EvaluatorConfig:
    """Size of the evaluator.

    kind: "pair" adds effects of pairs of slots, "nlgr" is the published net, "context" mixes slots
        by attention.
    """

    kind: Literal["nlgr", "context", "pair"] = "pair"
    width: Count = 8  # D, embedding width
    hidden: Count = 32
    members: Count = 3  # E, nets in the ensemble
    layers: Count = 1  # transformer blocks over slots; "context" only
    dropout: DecayRate = 0.2  # of the candidate's inputs and of the last layer; not in "nlgr"
    factor_width: Count = 32  # width of user, item and similarity factors; "pair" only
    item_interactions: bool = True  # whether items of a list change each other; "pair" only
    traits: Count = 4  # learned messages of an item to the other slots of its list; "pair" only
    click_models: tuple[ClickModelName, ...] = CLICK_MODELS  # of the members, in turn; "pair" only

    def __post_init__(self) -> None:
        if not self.click_models:
            raise ValueError("click_models is empty: name at least one click model")

    @property
    def member_click_models(self) -> tuple[ClickModelName, ...]:
        """Click model of each member, equal ones together.

        Without interactions slots are independent, so that all are "position".
        """
        if not self.item_interactions:
            independent: ClickModelName = "position"
            return (independent,) * self.members
        turn = (self.click_models[at % len(self.click_models)] for at in range(self.members))
        return tuple(sorted(turn, key=self.click_models.index))


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class GeneratorConfig:
    """Size of the generator. kind: "guided" reads the evaluator, "nlgr" is the published net."""

    kind: Literal["nlgr", "guided"] = "guided"
    hidden: Count = 32
    heads: Count = 4  # interaction heads between items; "guided" only
    head_width: Count = 24  # numbers per head; "guided" only
    edits: Count = 4  # T; refinement finds further gains at less cost
    stop_on_no_change: bool = False
    # lists start from the candidates of highest relevance; "guided" with a "pair" evaluator only
    starts_from_relevance_order: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class EvaluatorTrainingConfig:
    """How the evaluator is trained."""

    epochs: NonNegativeInt = 16  # at most
    patience: NonNegativeInt = 3  # epochs without a lower validation loss; 0 never stops early
    lr: Positive = 6e-3
    structural_lr: NonNegative = 1e-2  # of slot weights, pair weights and biases; "pair" only
    ema_decay: DecayRate = 0.995  # of the moving average of weights; 0 keeps the last weights
    weight_decay: NonNegative = 0.01  # of all other weights (decoupled)
    embedding_decay: NonNegative | None = None  # of embeddings (decoupled); None: by log size
    bias_decay: NonNegative = 0.25  # of bias embeddings (decoupled); "pair" only
    pair_residual_decay: NonNegative = 3.0  # of pair weights beyond their distance; "pair" only
    max_batch_size: Count = 512
    min_steps_per_epoch: Count = 375  # a small log gets smaller batches, see `batch_size`
    min_batch_size: Count = 32  # lists
    prefix_share: Share = 0.1  # share of lists cut to a prefix, which trains shorter lists
    unknown_share: Share = 0.1  # share of ids hidden, which trains the rows of unknown ids
    listmle_weight: NonNegative = 1.0  # of the ListMLE loss on the upstream order; "pair" only
    sampled_softmax_weight: NonNegative = 1.0  # of the loss on exposure; "pair" only
    slot_bias_weight: NonNegative = 0.3  # of the penalty on constant slot effects; "pair" only
    member_selection: bool = True  # drop click models that the validation part does not support
    temperature_scaling: bool = True  # scale click logits on the validation part at the end
    bootstrap: bool = False  # Bayesian bootstrap: each member weighs the lists differently
    users: Literal["all", "first_half", "second_half"] = "all"  # whose lists are trained on
    lists: Literal["all", "even", "odd"] = "all"  # every other list of each user, the first is even
    labels: Literal["clicks", "world"] = "clicks"  # world: true probabilities of a simulated log
    seed: int = 0

    def batch_size(self, rows: int) -> int:
        """Lists per step: `max_batch_size`, less where an epoch would have too few steps.

        Never below `min_batch_size`, unless `max_batch_size` is.
        """
        return min(self.max_batch_size, max(self.min_batch_size, rows // self.min_steps_per_epoch))

    def effective_embedding_decay(self, rows: int) -> float:
        """Weight decay of embeddings: as configured, or falling with the root of the log's size."""
        if self.embedding_decay is not None:
            return self.embedding_decay
        return EMBEDDING_DECAY_AT_10K_LISTS * math.sqrt(10_000 / max(rows, 1))


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class GeneratorTrainingConfig:
    """How the generator is trained."""

    epochs: NonNegativeInt = 8  # more where a small log needs them for `min_steps`
    min_steps: NonNegativeInt = 3000  # 0 trains for exactly `epochs`
    patience: NonNegativeInt = 8  # epochs without a higher smoothed value ratio; 0: never stop
    lr: Positive = 3e-3
    lr_decay_share: Share = 0.5  # share of training, at its end, over which the rate falls to 0
    max_batch_size: Count = 128
    cru_loss: Literal["straight_through", "expected", "sampled"] = "expected"
    # slots per step whose every neighbor is scored; 0: all under "pair", else a fixed budget
    expected_loss_slots: NonNegativeInt = 0
    alpha: NonNegative = 0.2  # weight of L2
    tau_start: Positive = 1.0
    tau_end: Positive = 0.3
    noise_scale: NonNegative = 1.0
    exploration_share: Share = 0.2  # uniform replacements, falling to 0 over the first third
    prefix_share: Share = 0.1  # share of lists cut to a prefix, which trains shorter lists
    edited_share: Share = 0.5  # share of states that are lists after 1..T edits of the policy
    input_list_share: Share = 0.2  # rows that start at the input list, not in relevance order
    replacement: Literal["cru", "uniform", "popularity"] = "cru"  # distribution of replacements
    # neighbors drawn per slot and step; below 1: share of the slots
    samples_per_slot: Annotated[float, Field(gt=0, le=MAX_SAMPLES_PER_SLOT)] = 1.0
    relative_reward: bool = True  # train on gains; false: on the neighbor's reward
    left_to_right: bool = False  # edit t takes slot t, the PDU is ignored
    shape_above: NonNegative = 1.0  # steepness of the shaped reward above the mean (k1)
    shape_below: NonNegative = 1.0  # and below it (k2)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class ObjectiveConfig:
    """Default weights of the reward; `value_field` names a numeric field, for example price."""

    click: NonNegative = 1.0
    conversion: NonNegative = 0.0
    value: NonNegative = 0.0
    value_field: str | None = None
    discount: NonNegative = 0.0  # how much less a lower slot counts; 1 is the discount of DCG

    def __post_init__(self) -> None:
        if not (self.click or self.conversion or self.value):
            raise ValueError(
                "click, conversion and value are all 0, so every list has reward 0: "
                "give at least one a positive weight"
            )
        if self.value and self.value_field is None:
            raise ValueError(
                f"value={self.value} needs value_field, the numeric item field that it weighs"
            )

    def to_reward_weights(self) -> RewardWeights:
        """The weights as the contract's type."""
        return RewardWeights.from_attributes(self)


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class ServingConfig:
    """Serving parameters that the artifact carries."""

    risk_aversion: float = 1.0  # lambda of the selection
    # least predicted gain of a served list over the input list's; None: from the clicks of the log
    min_relative_gain: NonNegative | None = None
    num_lists: Count = 8  # K for which the noise scale is chosen
    refine_rounds: NonNegativeInt | None = None  # refinement steps at most; None: by evaluator kind
    max_candidates: Count = 500  # N that the service accepts

    @property
    def known_min_relative_gain(self) -> float:
        """`min_relative_gain`; 0 where no training has set it."""
        return self.min_relative_gain or 0.0


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
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
                f"{REFINABLE_EVALUATOR!r}, not {self.evaluator.kind!r}: refinement scores all "
                "neighbors of a list at once"
            )

    @property
    def refine_rounds(self) -> int:
        """Refinement steps that serving takes at most."""
        if self.serving.refine_rounds is not None:
            return self.serving.refine_rounds
        return DEFAULT_REFINE_ROUNDS if self.evaluator.kind == REFINABLE_EVALUATOR else 0

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], origin: str = "config") -> Self:
        """Build from nested mappings; raises ConfigError naming the unknown or wrong key."""
        tables: dict[str, Any] = {f.name: f.default_factory for f in dataclasses.fields(cls)}
        reject_unknown_keys(mapping, tables, origin)
        parsed = {
            name: parse_table(tables[name], value, f"{origin}: [{name}]")
            for name, value in mapping.items()
        }
        try:
            return cls(**parsed)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from error

    @classmethod
    def from_toml(cls, path: Path | None) -> Self:
        """Read a TOML file; None gives the defaults. Raises ConfigError."""
        return cls() if path is None else cls.from_mapping(read_toml(path), str(path))

    def to_mapping(self) -> dict[str, Any]:
        """Nested plain values, as `from_mapping` takes them."""
        return dataclasses.asdict(self)
