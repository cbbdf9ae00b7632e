import json

import pytest

from model.contract import errors as contract
from service import errors
from service.api.errors import STATUS, code_of, codes, render


def leaves(kind: type) -> set[type]:
    below: list[type] = kind.__subclasses__()
    return {leaf for k in below for leaf in leaves(k)} or {kind}


# Neither is ever raised while somebody waits for an HTTP answer: SchemaError when a schema.toml is
# read, UserRecordError inside a store (it becomes FeaturesUnavailable).
INSIDE = {contract.SchemaError, contract.UserRecordError}


def test_every_refusal_and_every_contract_error_has_exactly_one_status():
    assert set(STATUS) == leaves(errors.RequestError) | (leaves(contract.ContractError) - INSIDE)


def test_every_error_has_a_code_of_its_own():
    kinds = leaves(errors.RerankError) | leaves(contract.ContractError)

    assert len({code_of(kind) for kind in kinds}) == len(kinds)
    assert len(codes()) == len(STATUS)


def test_a_setback_never_reaches_http():
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
def test_every_error_body_has_the_one_shape(error):
    status, headers, body = render(error)

    told = json.loads(body)
    assert list(told) == ["error"]
    assert set(told["error"]) == {"code", "message", "details"}
    assert told["error"]["code"] == error.code
    assert isinstance(told["error"]["details"], dict)
    assert 400 <= status < 600
    assert (b"content-type", b"application/json") in headers


def test_an_overloaded_service_says_when_to_come_again():
    assert (b"retry-after", b"1") in render(errors.Overloaded(in_flight=1, waiting=1))[1]
