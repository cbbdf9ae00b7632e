"""Each difference that counts has a request that only the current artifact accepts."""

import copy

import pytest

from model.contract.artifact.manifest import Manifest
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import ContractError
from model.contract.schema.fitted import FittedSchema
from service.artifacts.request_compatibility import find_incompatibilities
from service.errors import LimitExceeded
from service.inference.artifact_reader import read_artifact
from tests.service.asking import ask, body_of, model_of, reranker_of

VALUED = {"objective": {"click": 1.0, "conversion": 0.5, "value": 0.1, "value_field": "price"}}


def changed(manifest: Manifest, **parts: object) -> Manifest:
    """The manifest with parts replaced; a mapping replaces keys of a part."""
    raw = copy.deepcopy(manifest.model_dump(mode="json"))
    for name, value in parts.items():
        raw[name] = raw[name] | value if isinstance(value, dict) else value
    schema = FittedSchema.model_validate(raw["features"])
    return Manifest.model_validate(raw | {"schema_hash": schema.hash})


def with_field(manifest: Manifest, name: str, **changes: object) -> Manifest:
    """The manifest with one field changed, or taken out when nothing is said about it."""
    fields = manifest.model_dump(mode="json")["features"]["fields"]
    changed_fields = [f | changes if f["name"] == name else f for f in fields]
    kept = [f for f in changed_fields if changes or f["name"] != name]
    return changed(manifest, features={"fields": kept})


def features(**values: object) -> dict[str, object]:
    """Twelve candidates with these values of candidate fields."""
    ids = [f"i{n}" for n in range(12)]
    return {"item_id": ids, "features": {name: [v] * 12 for name, v in values.items()}}


CATEGORICAL = {"kind": "categorical", "size": 1, "values": ["far"], "edges": None}
FEWER_BRANDS = {"size": 2, "values": ["bolt", "crux"]}
# id -> (parts of the current manifest, change of the canary's, request, reason)
DIFFERENCES = {
    "candidate field gone": (
        {},
        lambda m: with_field(m, "distance"),
        {"candidates": features(distance=1.0)},
        "candidates.features.distance: no field",
    ),
    "item field gone": (
        {},
        lambda m: with_field(m, "price"),
        {"candidates": features(price=1.0)},
        "candidates.features.price: no field",
    ),
    "context field gone": (
        {},
        lambda m: with_field(m, "device"),
        {"context": {"device": "phone"}},
        "context.device: no field",
    ),
    "context field of the user": (
        {},
        lambda m: with_field(m, "device", scope="user"),
        {"context": {"device": "phone"}},
        "context.device: no field",
    ),
    "another kind": (
        {},
        lambda m: with_field(m, "distance", **CATEGORICAL),
        {"candidates": features(distance=1.0)},
        "candidates.features.distance: numeric in the current artifact, categorical",
    ),
    "rule over a value gone": (
        {},
        lambda m: with_field(m, "brand", **FEWER_BRANDS),
        {"constraints": {"caps": [{"field": "brand", "value": "acme", "max": 4}]}},
        "constraints: brand has no value 'acme'",
    ),
    "fewer candidates": (
        {},
        lambda m: changed(m, lengths={"max_candidates": 11}),
        {},
        "candidates: at most",
    ),
    "fewer slots": (
        {},
        lambda m: changed(m, lengths={"slots": 3, "default_list_size": 3}),
        {"list_size": 4},
        "list_size: at most 4 in the current artifact, 3",
    ),
    "shorter default list": (
        {},
        lambda m: changed(m, lengths={"default_list_size": 3}),
        {"constraints": {"pinned": [{"slot": 3, "item_id": "i5"}]}},
        "list_size: 4 by default in the current artifact, 3",
    ),
    "longer default list": (
        {"lengths": {"default_list_size": 3}},
        lambda m: changed(m, lengths={"default_list_size": 4}),
        {"constraints": {"exclude": [f"i{n}" for n in range(9)]}},
        "list_size: 3 by default in the current artifact, 4",
    ),
    "no conversions": (
        {},
        lambda m: changed(m, converts=False),
        {"objective": {"conversion": 1.0}},
        "objective.conversion: the canary was trained without",
    ),
    "no values": (
        VALUED,
        lambda m: changed(m, objective={"value_field": None}),
        {"objective": {"value": 1.0}},
        "objective.value: the canary takes no values",
    ),
    "default weight 0": (
        {},
        lambda m: changed(m, objective={"conversion": 0.0}),
        {"objective": {"click": 0.0}},
        "objective.conversion: above 0 by default in the current artifact, 0",
    ),
}
HARMLESS = {
    "the same": lambda m: m,
    "more candidates": lambda m: changed(m, lengths={"max_candidates": 900}),
    "other list sizes": lambda m: changed(m, lengths={"list_sizes": [4]}),
    "fewer sessions": lambda m: changed(m, lengths={"sessions": 3, "edits": 1}),
    "no user field": lambda m: with_field(m, "segment"),
    "other buckets": lambda m: with_field(m, "price", size=2, edges=[1.0]),
    "a default weight more": lambda m: changed(m, objective={"value": 1.0, "value_field": "price"}),
    "a field of the item": lambda m: with_field(m, "distance", scope="item"),
}


@pytest.mark.parametrize(
    ("parts", "change", "request_part", "reason"), DIFFERENCES.values(), ids=DIFFERENCES
)
async def test_incompatibility_names_what_refuses_a_request(
    artifact, executor, parts, change, request_part, reason
):
    current = changed(artifact.manifest, **parts)
    canary, body = change(current), body_of(artifact) | request_part
    serving, trial = (
        reranker_of(model_of(artifact, manifest=m, encoder=FeatureEncoder(m.features)), executor)
        for m in (current, canary)
    )

    assert (await ask(serving, body))["degraded"] == []
    with pytest.raises((ContractError, LimitExceeded)):
        await ask(trial, body)
    assert [
        found
        for found in find_incompatibilities(current, canary, max_candidates=500)
        if found.startswith(reason)
    ]


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_compatibility_with_harmless_difference_has_no_reasons(artifact, change):
    manifest = artifact.manifest
    assert find_incompatibilities(manifest, change(manifest), max_candidates=500) == []


def test_compatibility_applies_the_candidate_limit_of_the_process(artifact):
    fewer = changed(artifact.manifest, lengths={"max_candidates": 400})
    assert find_incompatibilities(artifact.manifest, fewer, max_candidates=400) == []


def test_compatibility_of_more_fields_has_no_reasons(artifact, narrow_folder):
    narrow = read_artifact(narrow_folder).manifest
    found = find_incompatibilities(artifact.manifest, narrow, max_candidates=500)

    assert find_incompatibilities(narrow, artifact.manifest, max_candidates=500) == []
    assert sorted(reason.partition(":")[0] for reason in found) == [
        "candidates.features.distance",
        "context.device",
    ]
