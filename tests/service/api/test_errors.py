import json

import pytest

from model.contract import errors as contract
from service import errors
from service.api.errors import STATUS, code_of, error_codes, render


def leaves(kind: type) -> set[type]:
    below: list[type] = kind.__subclasses__()
    return {leaf for k in below for leaf in leaves(k)} or {kind}


# No HTTP request raises these: SchemaError comes from reading a schema.toml, UserRecordError from a
# store, where it becomes FeaturesUnavailable.
INTERNAL = {contract.SchemaError, contract.UserRecordError}


def test_status_table_has_every_error_once():
    assert set(STATUS) == leaves(errors.RequestError) | (leaves(contract.ContractError) - INTERNAL)


def test_error_codes_are_unique():
    kinds = leaves(errors.RerankError) | leaves(contract.ContractError)

    assert len({code_of(kind) for kind in kinds}) == len(kinds)
    assert len(error_codes()) == len(STATUS)


def test_status_table_has_no_degradation_error():
    assert not leaves(errors.DegradationError) & set(STATUS)


EXAMPLES = [
    contract.MalformedJson(reason="EOF"),
    contract.RequestRejected(violations=[("seed", "is negative"), ("user_id", "is empty")]),
    contract.ValueRejected(field="context.x", rule="is none of ['y']"),
    contract.RulesUnsatisfiable(constraints=["pinned[0]"], reason="it is excluded"),
    errors.LimitExceeded(field="candidates", limit=500, actual=501),
    errors.Overloaded(in_flight=16, waiting=48),
    errors.MethodNotAllowed(allowed="POST"),
    errors.BodyTooLarge(limit_bytes=10),
    errors.Unauthorized(),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_render_gives_the_one_error_shape(error):
    status, headers, body = render(error)

    rendered = json.loads(body)
    assert list(rendered) == ["error"]
    assert set(rendered["error"]) == {"code", "message", "details"}
    assert rendered["error"]["code"] == error.code
    assert isinstance(rendered["error"]["details"], dict)
    assert 400 <= status < 600
    assert headers["content-type"] == "application/json"


def test_render_overloaded_sets_retry_after():
    assert render(errors.Overloaded(in_flight=1, waiting=1))[1]["retry-after"] == "1"
