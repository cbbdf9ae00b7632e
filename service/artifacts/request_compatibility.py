"""Whether one artifact accepts every request that another one accepts.

Compares the manifests. Whether rules can be met depends on a request's items, so the responses
`rules_unsatisfiable` and `rules_undecided` are outside this comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from model.contract.artifact.manifest import Manifest, ManifestObjective
from model.contract.schema.declared import UPSTREAM_FIELDS, FieldKind, FieldScope
from model.contract.schema.fitted import FittedField, FittedSchema

_CANDIDATE_SCOPES = (FieldScope.ITEM, FieldScope.CANDIDATE)
_NAMED_VALUES = 3  # missing values that a reason names


def find_incompatibilities(
    current: Manifest, canary: Manifest, *, max_candidates: int
) -> list[str]:
    """Reasons why `canary` could refuse a request that `current` accepts; empty when it cannot.

    Each reason begins with the field of the request. Differences that only add (more fields, more
    values, larger sizes) are harmless, because no field is required.

    Args:
        current: the artifact that serves.
        canary: the artifact on trial.
        max_candidates: limit of the process, which holds for both.
    """
    return [
        *_missing_fields("candidates.features", current, canary, _CANDIDATE_SCOPES),
        *_missing_fields("context", current, canary, (FieldScope.CONTEXT,)),
        *_missing_values(current.features, canary.features),
        *_smaller_sizes(current, canary, max_candidates),
        *_missing_weights(current, canary),
    ]


def _request_fields(
    schema: FittedSchema, scopes: tuple[FieldScope, ...]
) -> Mapping[str, FittedField]:
    """Fields of the scopes that a request may name."""
    return {
        field.name: field
        for field in schema.fields_in_scopes(*scopes)
        if field.kind is not FieldKind.ID and field.name not in UPSTREAM_FIELDS
    }


def _missing_fields(
    location: str, current: Manifest, canary: Manifest, scopes: tuple[FieldScope, ...]
) -> Iterator[str]:
    """Fields that the canary lacks, or has with another kind of value."""
    known = _request_fields(canary.features, scopes)
    for name, field in _request_fields(current.features, scopes).items():
        if name not in known:
            yield f"{location}.{name}: no field of the canary"
        elif known[name].kind is not field.kind:
            yield (
                f"{location}.{name}: {field.kind.value} in the current artifact, "
                f"{known[name].kind.value} in the canary"
            )


def _missing_values(current: FittedSchema, canary: FittedSchema) -> Iterator[str]:
    """Values that caps and minimums may name and that the canary does not know."""
    known = _request_fields(canary, _CANDIDATE_SCOPES)
    for name, field in _request_fields(current, _CANDIDATE_SCOPES).items():
        if field.values is None or name not in known or known[name].kind is not field.kind:
            continue
        other = known[name].value_offsets
        lost = [value for value in field.values if value not in other]
        if lost:
            shown = ", ".join(map(repr, lost[:_NAMED_VALUES]))
            more = f" and {len(lost) - _NAMED_VALUES} more" if len(lost) > _NAMED_VALUES else ""
            yield f"constraints: {name} has no value {shown}{more} in the canary"


def _smaller_sizes(current: Manifest, canary: Manifest, max_candidates: int) -> Iterator[str]:
    before, after = current.lengths, canary.lengths
    for location, had, has in (
        (
            "candidates",
            min(max_candidates, before.max_candidates),
            min(max_candidates, after.max_candidates),
        ),
        ("list_size", before.slots, after.slots),
    ):
        if has < had:
            yield f"{location}: at most {had} in the current artifact, {has} in the canary"
    if before.default_list_size != after.default_list_size:
        yield (  # pins, minimums and exclusions are checked against it
            f"list_size: {before.default_list_size} by default in the current artifact, "
            f"{after.default_list_size} in the canary"
        )


def _missing_weights(current: Manifest, canary: Manifest) -> Iterator[str]:
    """Weights of the objective that the canary cannot apply, or that it leaves at 0."""
    if current.converts and not canary.converts:
        yield "objective.conversion: the canary was trained without conversions"
    if _takes_value(current) and not _takes_value(canary):
        yield "objective.value: the canary takes no values"
    for weight in ("click", "conversion", "value"):
        if _is_positive(current.objective, weight) and not _is_positive(canary.objective, weight):
            yield (  # a request may set all other weights to 0
                f"objective.{weight}: above 0 by default in the current artifact, 0 in the canary"
            )


def _takes_value(manifest: Manifest) -> bool:
    return manifest.converts and manifest.objective.value_field is not None


def _is_positive(objective: ManifestObjective, weight: str) -> bool:
    return bool(getattr(objective.reward_weights, weight) > 0)
