"""The manifest of an artifact: what the graphs take, what they were trained on, what was measured.

Reads and checks the folder's files; running the graphs on the golden batch is the business of
`export` and of `service.inference`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.contract.choice import Objective
from model.contract.errors import ManifestError
from model.contract.fitted import FittedSchema
from model.contract.refine import WORTH

FORMAT = 1
MANIFEST, ITEMS, GOLDEN = "manifest.json", "items.npz", "golden.npz"
TABLES = "weights.bin"  # what graphs look up; an artifact without it holds its tables in the graphs
GENERATOR, GENERATOR_RULES, EVALUATOR = "generator", "generator_rules", "evaluator"
REFINER, REFINER_RULES = "refiner", "refiner_rules"
SESSIONS = "sessions"  # the graphs' input (B, H, M, Fs) of what a user was shown before
FEWEST_SESSIONS = 2  # products of a single one are summed otherwise than those of several


class Frozen(BaseModel):
    """A part of the manifest: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tensor(Frozen):
    """Name, element type and shape (letters for dynamic axes) of a graph's input or output."""

    name: str
    dtype: str
    shape: list[int | str]


class Table(Frozen):
    """A weight that a graph looks up rows of: where it stands in `TABLES`."""

    name: str
    dtype: str
    shape: list[int]
    offset: int = Field(ge=0)


class Graph(Frozen):
    """One ONNX file."""

    file: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    nodes: int
    tables: list[Table] = []


class Lengths(Frozen):
    """Sizes of the graphs. `list_sizes` are the list lengths seen in training."""

    max_candidates: int = Field(ge=1)
    slots: int = Field(ge=1)  # M, static in the graphs
    sessions: int = Field(ge=1)  # H, the most of a user
    session_slots: int = Field(ge=1)
    edits: int = Field(ge=1)  # T
    default_list_size: int = Field(ge=1)
    list_sizes: list[int]

    @model_validator(mode="after")
    def _the_default_fits_the_graphs(self) -> Self:
        if self.default_list_size > self.slots:
            raise ValueError(f"default_list_size {self.default_list_size} is over {self.slots}")
        return self

    def sessions_of(self, held: int, *, vary: bool) -> int:
        """H for a user who has `held` sessions; without `vary` it is always the graphs' most."""
        return min(max(held, FEWEST_SESSIONS), self.sessions) if vary else self.sessions


class ObjectiveWeights(Frozen):
    """Default weights of the reward; `value_field` names the numeric field behind `value`."""

    click: float = 1.0
    conversion: float = 0.0
    value: float = 0.0
    value_field: str | None = None
    discount: float = Field(default=0.0, ge=0.0)  # of lower slots; `contract/choice.py`

    @cached_property
    def weights(self) -> Objective:
        """What a list is worth where a request says nothing else; made once an artifact."""
        return Objective.of(self)


class Tolerance(Frozen):
    """How far ONNX answers may stand from PyTorch's on the golden batch."""

    probability: float = 1e-4


class Manifest(Frozen):
    """Everything about an artifact that is not a weight."""

    format: int = FORMAT
    artifact: str  # name, unique per export
    created_at: str  # RFC 3339, UTC
    features: FittedSchema
    schema_hash: str
    graphs: dict[str, Graph]
    lengths: Lengths
    objective: ObjectiveWeights = ObjectiveWeights()
    members: int = Field(ge=1)
    pessimism: float = Field(default=0.0, ge=0.0)  # lambda of the choice
    noise_scale: float = Field(ge=0.0)
    refine_rounds: int = Field(default=0, ge=0)  # steps of refinement at most; 0: no refiner
    converts: bool = True  # whether p_conversion was trained
    metrics: dict[str, float] = {}
    data: dict[str, Any] = {}  # fingerprint of the training log
    checksums: dict[str, str] = {}  # file -> sha256
    tolerance: Tolerance = Tolerance()
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _format_and_schema_are_the_ones_it_names(self) -> Self:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}")
        if self.features.hash != self.schema_hash:
            raise ValueError(f"schema hash {self.schema_hash} is not {self.features.hash}")
        return self

    @model_validator(mode="after")
    def _what_is_generated_can_be_refined(self) -> Self:
        for made, refined in ((GENERATOR, REFINER), (GENERATOR_RULES, REFINER_RULES)):
            if self.refine_rounds and made in self.graphs and refined not in self.graphs:
                raise ValueError(
                    f"refine_rounds is {self.refine_rounds} and there is no {refined} for {made}"
                )
        return self

    @cached_property
    def sessions_vary(self) -> bool:
        """Whether graphs take as many sessions as a user has; see `Lengths.sessions_of`.

        Those exported before 2026-11-22 always take `lengths.sessions`.
        """
        [taken] = [i for i in self.graphs[GENERATOR].inputs if i.name == SESSIONS]
        return isinstance(taken.shape[1], str)

    @cached_property
    def begins_by_worth(self) -> bool:
        """Whether lists begin with what is worth most, so that the generator asks what counts."""
        return any(taken.name in WORTH for taken in self.graphs[GENERATOR].inputs)


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json; raises ManifestError."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ManifestError(artifact=str(folder), what=f"no readable {MANIFEST}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or MANIFEST
        raise ManifestError(artifact=str(folder), what=f"{place}: {first['msg']}") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, readable by people."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_whole(folder: Path, manifest: Manifest) -> None:
    """Raise ManifestError unless every file is there with the checksum it was exported with.

    A file beside them without a checksum is refused too: a graph may name one as its weights.
    """
    graphs = manifest.graphs.values()
    needed = {graph.file for graph in graphs} | {ITEMS, GOLDEN}
    if any(graph.tables for graph in graphs):
        needed.add(TABLES)
    unlisted = sorted(needed - set(manifest.checksums))
    if unlisted:
        raise ManifestError(artifact=str(folder), what=f"no checksum for {unlisted[0]}")
    visible = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    odd = sorted(visible - set(manifest.checksums) - {MANIFEST})
    if odd:
        raise ManifestError(artifact=str(folder), what=f"no checksum for {odd[0]}")
    for name, expected in manifest.checksums.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise ManifestError(artifact=str(folder), what=f"{name} is missing")
        if file_checksum(path) != expected:
            raise ManifestError(artifact=str(folder), what=f"{name} was altered (checksum)")
