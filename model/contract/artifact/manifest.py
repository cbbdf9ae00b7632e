"""The manifest of an artifact: graphs, sizes, training data, measurements and checksums.

Reads and checks the files of the folder. The golden batch is run by `export` and by
`service.inference`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.contract.errors import ManifestError
from model.contract.schema.fitted import FittedSchema
from model.contract.scoring.local_search import REWARD_WEIGHT_INPUTS
from model.contract.scoring.objective import RewardWeights

MANIFEST_FORMAT = 1
MANIFEST_FILE, ITEM_TABLE_FILE, GOLDEN_BATCH_FILE = "manifest.json", "items.npz", "golden.npz"
EXTERNAL_WEIGHTS_FILE = (
    "weights.bin"  # tables that graphs look up; absent in an artifact with tables inside its graphs
)
GENERATOR_GRAPH, GENERATOR_RULES_GRAPH, EVALUATOR_GRAPH = (
    "generator",
    "generator_rules",
    "evaluator",
)
REFINER_GRAPH, REFINER_RULES_GRAPH = "refiner", "refiner_rules"
SESSIONS_INPUT = "sessions"  # graph input (B, H, M, Fs): items of the user's past sessions
_FILE_SYSTEM_ENTRIES = {"lost+found"}  # appears at the root of a volume
_KEYS_BEFORE_0_2 = {"pessimism": "risk_aversion"}
MIN_SESSIONS = 2  # products of a single one are summed otherwise than those of several


class ManifestModel(BaseModel):
    """A part of the manifest: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorEntry(ManifestModel):
    """Name, element type and shape (letters for dynamic axes) of a graph's input or output."""

    name: str
    dtype: str
    shape: list[int | str]


class ExternalWeightEntry(ManifestModel):
    """A weight matrix whose rows a graph looks up: its location in `EXTERNAL_WEIGHTS_FILE`."""

    name: str
    dtype: str
    shape: list[int]
    offset: int = Field(ge=0)


class GraphEntry(ManifestModel):
    """One ONNX file."""

    file: str
    inputs: list[TensorEntry]
    outputs: list[TensorEntry]
    nodes: int
    tables: list[ExternalWeightEntry] = []


class GraphSizes(ManifestModel):
    """Sizes of the graphs. `list_sizes` are the list lengths seen in training."""

    max_candidates: int = Field(ge=1)
    slots: int = Field(ge=1)  # M, static in the graphs
    sessions: int = Field(ge=1)  # H, sessions of a user at most
    session_slots: int = Field(ge=1)
    edits: int = Field(ge=1)  # T
    default_list_size: int = Field(ge=1)
    list_sizes: list[int]

    @model_validator(mode="after")
    def _the_default_fits_the_graphs(self) -> Self:
        if self.default_list_size > self.slots:
            raise ValueError(f"default_list_size {self.default_list_size} is over {self.slots}")
        return self

    def padded_session_count(self, session_count: int, *, dynamic: bool) -> int:
        """Sessions that graphs take for a user with `held` of them; H where the axis is static."""
        return min(max(session_count, MIN_SESSIONS), self.sessions) if dynamic else self.sessions


class ManifestObjective(ManifestModel):
    """Default weights of the reward; `value_field` names the numeric field behind `value`."""

    click: float = 1.0
    conversion: float = 0.0
    value: float = 0.0
    value_field: str | None = None
    discount: float = Field(default=0.0, ge=0.0)  # of lower slots; `RewardWeights.discount`

    @cached_property
    def reward_weights(self) -> RewardWeights:
        """Reward weights for requests without their own; made once per artifact."""
        return RewardWeights.from_attributes(self)


class GoldenTolerance(ManifestModel):
    """Allowed distance of ONNX outputs from PyTorch's on the golden batch."""

    probability: float = 1e-4


class Manifest(ManifestModel):
    """All metadata of an artifact; everything but the weights."""

    format: int = MANIFEST_FORMAT
    artifact: str  # name, unique per export
    created_at: str  # RFC 3339, UTC
    features: FittedSchema
    schema_hash: str
    graphs: dict[str, GraphEntry]
    lengths: GraphSizes
    objective: ManifestObjective = ManifestObjective()
    members: int = Field(ge=1)
    risk_aversion: float = Field(default=0.0, ge=0.0)  # lambda of the choice
    min_relative_gain: float = Field(default=0.0, ge=0.0)  # least relative gain of a served list
    noise_scale: float = Field(ge=0.0)
    refine_rounds: int = Field(default=0, ge=0)  # refinement steps at most; 0: no refiner
    converts: bool = True  # whether p_conversion was trained
    metrics: dict[str, float] = {}
    data: dict[str, Any] = {}  # fingerprint of the training log
    checksums: dict[str, str] = {}  # file -> sha256
    tolerance: GoldenTolerance = GoldenTolerance()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _format_and_schema_are_the_ones_it_names(self) -> Self:
        if self.format != MANIFEST_FORMAT:
            raise ValueError(f"format {self.format} is not {MANIFEST_FORMAT}")
        if self.features.hash != self.schema_hash:
            raise ValueError(f"schema hash {self.schema_hash} is not {self.features.hash}")
        return self

    @model_validator(mode="after")
    def _what_is_generated_can_be_refined(self) -> Self:
        for made, refined in (
            (GENERATOR_GRAPH, REFINER_GRAPH),
            (GENERATOR_RULES_GRAPH, REFINER_RULES_GRAPH),
        ):
            if self.refine_rounds and made in self.graphs and refined not in self.graphs:
                raise ValueError(
                    f"refine_rounds is {self.refine_rounds} and there is no {refined} for {made}"
                )
        return self

    @cached_property
    def has_dynamic_sessions(self) -> bool:
        """Whether the session axis of graphs is dynamic; see `GraphSizes.padded_session_count`.

        Artifacts exported before 2026-11-22 have a static axis of `lengths.sessions`.
        """
        [taken] = [i for i in self.graphs[GENERATOR_GRAPH].inputs if i.name == SESSIONS_INPUT]
        return isinstance(taken.shape[1], str)

    @model_validator(mode="before")
    @classmethod
    def _rename_older_keys(cls, raw: Any) -> Any:  # noqa: ANN401  # any JSON value
        """Read the keys of artifacts that were exported before version 0.2."""
        if not isinstance(raw, dict):
            return raw
        return {_KEYS_BEFORE_0_2.get(key, key): value for key, value in raw.items()}

    @cached_property
    def generator_takes_reward_weights(self) -> bool:
        """Whether the generator takes reward weights because its lists start in relevance order."""
        return any(
            taken.name in REWARD_WEIGHT_INPUTS for taken in self.graphs[GENERATOR_GRAPH].inputs
        )


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json; raises ManifestError."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes())
    except OSError as error:
        raise ManifestError(artifact=str(folder), reason=f"no readable {MANIFEST_FILE}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or MANIFEST_FILE
        raise ManifestError(artifact=str(folder), reason=f"{place}: {first['msg']}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, indented."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_artifact_files(folder: Path, manifest: Manifest) -> None:
    """Raise ManifestError unless every file is there with the checksum of its export.

    A file without a checksum is refused too: a graph may name one as its weights.
    """
    graphs = manifest.graphs.values()
    needed = {graph.file for graph in graphs} | {ITEM_TABLE_FILE, GOLDEN_BATCH_FILE}
    if any(graph.tables for graph in graphs):
        needed.add(EXTERNAL_WEIGHTS_FILE)
    unlisted = sorted(needed - set(manifest.checksums))
    if unlisted:
        raise ManifestError(artifact=str(folder), reason=f"no checksum for {unlisted[0]}")
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    odd = sorted(visible - set(manifest.checksums) - {MANIFEST_FILE} - _FILE_SYSTEM_ENTRIES)
    if odd:
        raise ManifestError(artifact=str(folder), reason=f"no checksum for {odd[0]}")
    for name, expected in manifest.checksums.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise ManifestError(artifact=str(folder), reason=f"{name} is missing")
        if file_sha256(path) != expected:
            raise ManifestError(artifact=str(folder), reason=f"{name} was altered (checksum)")
