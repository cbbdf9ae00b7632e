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

from model.config_values import ConfigError, at_least_one, one_of, refuse_unknown, table
from model.contract.choice import Objective

CRU_LOSSES = ("straight_through", "expected", "sampled")
WEIGHTS = ("upstream_order", "upstream_offer", "even_slots")  # of the lessons
MOST_SAMPLES = 100  # neighbors a slot and step
DECAY_OF_10K = 0.33  # of embeddings, where 10,000 lists are learned from
REFINED, REFINE_ROUNDS = "pair", 8  # the kind of evaluator under which lists are refined


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorConfig:
    """Size of the evaluator. `kind`: "pair" is additive over pairs of slots.

    "nlgr" is the published net, "context" mixes slots by attention.
    """

    kind: str = "pair"
    width: int = 8  # D, embedding width
    hidden: int = 32
    members: int = 3  # E, nets in the ensemble
    layers: int = 1  # transformer blocks over slots; "context" only
    dropout: float = 0.2  # of what a candidate brings and of the last layer; not in "nlgr"
    factors: int = 32  # width of factors of user and item, and of alikeness; "pair" only
    interplay: bool = True  # whether a list's items act on each other; "pair" only

    def __post_init__(self) -> None:
        one_of("evaluator.kind", self.kind, ("nlgr", "context", "pair"))
        at_least_one(self, "width", "hidden", "members", "layers", "factors")


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorConfig:
    """Size of the generator. `kind`: "guided" reads the evaluator, "nlgr" is the published net."""

    kind: str = "guided"
    hidden: int = 32
    heads: int = 4  # ways in which items go together; "guided" only
    head_width: int = 24  # numbers a head; "guided" only
    edits: int = 4  # T; what more would find, refinement finds at less cost
    stop_on_no_change: bool = False
    by_relevance: bool = True  # lists begin with the best candidates; "guided" of "pair" only

    def __post_init__(self) -> None:
        one_of("generator.kind", self.kind, ("nlgr", "guided"))
        at_least_one(self, "hidden", "heads", "head_width", "edits")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorTraining:
    """How the evaluator learns."""

    epochs: int = 16
    patience: int = 3  # epochs without a better validation loss before it stops
    lr: float = 6e-3
    structure_lr: float = 1e-2  # of weights of slots and pairs, and of biases; "pair" only
    average: float = 0.995  # decay of the moving average of weights that is kept; 0 keeps the last
    weight_decay: float = 0.01  # of all other weights (decoupled)
    embedding_decay: float | None = None  # of embeddings and factors (decoupled); None: by rows
    bias_decay: float = 0.25  # of the biases of rows (decoupled); "pair" only
    pair_decay: float = 3.0  # of what pairs of slots have beyond their distance; "pair" only
    max_batch: int = 512
    epoch_steps: int = 375  # smaller batches, down to the least, where an epoch has fewer steps
    least_batch: int = 32  # lists
    prefix_share: float = 0.1  # lists cut to a prefix, so that shorter lists are known
    unknown_share: float = 0.1  # ids hidden, so that the unknown rows are trained
    upstream_order: float = 1.0  # weight of what upstream's order teaches of tastes; "pair" only
    upstream_offer: float = 1.0  # of what the choice of candidates teaches; "pair" only
    even_slots: float = 0.3  # weight against lists adding the same to a slot always; "pair" only
    temperature: bool = True  # at the end, scale what is promised to what validation shows
    bootstrap: bool = False  # every member weighs the lists its own way
    users: str = "all"  # all | first_half | second_half: whose lists are learned from
    lists: str = "all"  # all | even | odd: every other list of each user, the first is even
    labels: str = "clicks"  # clicks | world: a simulated log's true probabilities, for a ceiling
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("train_evaluator.users", self.users, ("all", "first_half", "second_half"))
        one_of("train_evaluator.lists", self.lists, ("all", "even", "odd"))
        one_of("train_evaluator.labels", self.labels, ("clicks", "world"))
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"train_evaluator.average={self.average} must be in [0, 1)")
        at_least_one(self, "epoch_steps", "least_batch", "max_batch")
        if self.embedding_decay is not None and self.embedding_decay < 0:
            raise ValueError(f"train_evaluator.embedding_decay={self.embedding_decay} is negative")
        for name in WEIGHTS:
            if getattr(self, name) < 0:
                raise ValueError(f"train_evaluator.{name}={getattr(self, name)} is negative")

    def batch_size(self, rows: int) -> int:
        """max_batch, or what makes epoch_steps of a small log, but not below the least."""
        return min(self.max_batch, max(self.least_batch, rows // self.epoch_steps))

    def table_decay(self, rows: int) -> float:
        """As configured, or the less the more lists there are, by the root of their number."""
        if self.embedding_decay is not None:
            return self.embedding_decay
        return DECAY_OF_10K * math.sqrt(10_000 / max(rows, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorTraining:
    """How the generator learns (METHOD section 5)."""

    epochs: int = 8
    least_steps: int = 3000  # a small log is gone through as often as that takes
    lr: float = 3e-3
    lr_decay: float = 0.5  # share of the training, at its end, over which the rate falls to 0
    max_batch: int = 128
    cru_loss: str = "expected"  # straight_through | expected | sampled
    expected_slots: int = 0  # slots a step whose every neighbor is asked; 0: all under "pair"
    alpha: float = 0.2  # weight of L2
    tau_start: float = 1.0
    tau_end: float = 0.3
    noise_scale: float = 1.0
    explore: float = 0.2  # share of uniform replacements, falling to 0 over the first third
    prefix_share: float = 0.1  # lists cut to a prefix, so that shorter lists are known
    edited_share: float = 0.5  # states that are lists after 1..T edits of the current policy
    input_share: float = 0.2  # rows that begin at the input list where others do so by relevance
    replacement: str = "cru"  # who draws replacements: cru | uniform | popularity
    samples_per_slot: float = 1.0  # neighbors drawn a slot and step; below 1: share of the slots
    relative_reward: bool = True  # learn from gains; false: from the neighbor's reward itself
    left_to_right: bool = False  # edit t takes slot t, whatever the PDU says
    shape_above: float = 1.0  # steepness of the shaped reward above the mean (k1)
    shape_below: float = 1.0  # and below it (k2)
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("train_generator.cru_loss", self.cru_loss, CRU_LOSSES)
        one_of("train_generator.replacement", self.replacement, ("cru", "uniform", "popularity"))
        if not 0.0 <= self.lr_decay <= 1.0:
            raise ValueError(f"train_generator.lr_decay={self.lr_decay} is not in [0, 1]")
        for name in ("expected_slots", "least_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"train_generator.{name}={getattr(self, name)} is negative")
        for name in ("edited_share", "input_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"train_generator.{name}={getattr(self, name)} is not in [0, 1]")
        if not 0 < self.samples_per_slot <= MOST_SAMPLES:
            raise ValueError(
                f"train_generator.samples_per_slot={self.samples_per_slot} is not in "
                f"(0, {MOST_SAMPLES}]"
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

    def weights(self) -> Objective:
        """What a list is worth, for those who compute it."""
        return Objective.of(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """What the artifact says about serving."""

    pessimism: float = 1.0  # lambda of the choice
    num_lists: int = 8  # K that the noise scale is chosen for
    refine_rounds: int | None = None  # steps of refinement at most; None: by the evaluator's kind
    max_candidates: int = 500  # N that the service accepts

    def __post_init__(self) -> None:
        if self.refine_rounds is not None and self.refine_rounds < 0:
            raise ValueError(f"serving.refine_rounds={self.refine_rounds} is negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One TOML file: each attribute is a table of it."""

    evaluator: EvaluatorConfig = field(default_factory=EvaluatorConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    train_evaluator: EvaluatorTraining = field(default_factory=EvaluatorTraining)
    train_generator: GeneratorTraining = field(default_factory=GeneratorTraining)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)

    def __post_init__(self) -> None:
        if self.serving.refine_rounds and self.evaluator.kind != REFINED:
            raise ConfigError(
                f"serving.refine_rounds={self.serving.refine_rounds} needs evaluator.kind="
                f"{REFINED!r}, whose neighbors are known at once, not {self.evaluator.kind!r}"
            )

    @property
    def refine_rounds(self) -> int:
        """Steps of refinement that serving takes at most."""
        if self.serving.refine_rounds is not None:
            return self.serving.refine_rounds
        return REFINE_ROUNDS if self.evaluator.kind == REFINED else 0

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any], origin: str = "config") -> Self:
        """Build from nested mappings; raises ConfigError naming an unknown or wrong key."""
        tables = {f.name: f.default_factory for f in dataclasses.fields(cls)}
        refuse_unknown(raw, tables, origin)
        given = {
            name: table(tables[name], value, f"{origin}: [{name}]") for name, value in raw.items()
        }
        return cls(**given)

    @classmethod
    def read(cls, path: Path | None) -> Self:
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

    def as_mapping(self) -> dict[str, Any]:
        """Nested plain values, as `from_mapping` takes them."""
        return dataclasses.asdict(self)
