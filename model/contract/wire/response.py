"""The wire format of a rerank response.

The service writes responses as plain dicts for speed; tests validate them with these models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DegradationReason = Literal["user_features", "fewer_lists", "input_order", "explanation"]
DEGRADATION_REASONS: tuple[DegradationReason, ...] = (
    "user_features",
    "fewer_lists",
    "input_order",
    "explanation",
)
RequestStage = Literal["queue", "parse", "features", "encode", "generate", "evaluate", "total"]
REQUEST_STAGES: tuple[RequestStage, ...] = (
    "queue",
    "parse",
    "features",
    "encode",
    "generate",
    "evaluate",
    "total",
)


class ResponseModel(BaseModel):
    """Part of a response."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServedItem(ResponseModel):
    """One slot of the served list."""

    item_id: str
    slot: int = Field(ge=0)
    input_slot: int = Field(ge=0, description="place among the candidates")
    p_click: float | None = Field(ge=0, le=1, description="null in input_order")
    p_conversion: float | None = Field(
        default=None, ge=0, le=1, description="P(conversion | click), where it was trained"
    )


class AppliedObjective(ResponseModel):
    """Weights that selected the list."""

    click: float
    conversion: float
    value: float


class StageTimings(ResponseModel):
    """Milliseconds of each stage."""

    queue: float
    parse: float
    features: float
    encode: float
    generate: float
    evaluate: float
    total: float


class ExplainedNeighbor(ResponseModel):
    """A list one edit away from the served one."""

    item_id: str = Field(description="the item put into the slot")
    gain: float = Field(description="its reward minus the served list's")
    swapped_with: int | None = Field(description="slot the item came from, when it was a swap")


class ExplainedSlot(ResponseModel):
    """Effect of one slot on the served list."""

    slot: int
    item_id: str
    p_click: float
    input_item_id: str
    gain_over_input_item: float | None = Field(
        description="reward lost with the slot's input item back; null where it is the same item "
        "or the rules do not allow it"
    )
    neighbors: list[ExplainedNeighbor] = Field(description="best first")


class EvaluatedList(ResponseModel):
    """One of the lists that the evaluator compared."""

    source: Literal["generated", "refined", "input"]
    item_ids: list[str]
    reward: float
    score: float = Field(description="pessimistic gain over the input list; the highest is served")
    served: bool


class Explanation(ResponseModel):
    """Why this list was served: slots, neighbors and compared lists."""

    slots: list[ExplainedSlot]
    lists: list[EvaluatedList] = Field(
        description="in the order generated, then the refined one, the input list last"
    )


class RerankResponse(ResponseModel):
    """Response of POST /rerank."""

    request_id: str
    items: list[ServedItem]
    reward: float | None = Field(
        description="mean over the evaluator's members; null in input_order"
    )
    input_reward: float | None
    objective: AppliedObjective
    lists_evaluated: int = Field(
        ge=0, description="generated lists, the refined one where it is another, and the input list"
    )
    artifact: str
    degraded: list[DegradationReason]
    seed: int
    timings_ms: StageTimings
    explanation: Explanation | None = None


class ErrorDetail(ResponseModel):
    """Code, message and details of an error."""

    code: str
    message: str
    details: dict[str, object]


class ErrorResponse(ResponseModel):
    """Body of every error response."""

    error: ErrorDetail
