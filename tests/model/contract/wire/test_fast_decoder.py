"""The quick reading takes no body that the public schema refuses, and reads the same values."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.contract.errors import MalformedJson, RequestRejected
from model.contract.wire.fast_decoder import FastCandidateColumns, FastRequestBody, decode_fast
from model.contract.wire.request import CandidateColumns, RerankRequestBody, parse_request
from model.contract.wire.size_limits import MAX_FEATURE_NAMES

# JSON texts, right and wrong; what only one of two readers takes is found among such.
NUMBERS = [
    *(
        "0",
        "-0",
        "1",
        "-1",
        "2.0",
        "1e0",
        "1E+2",
        "-0.0",
        "1.5",
        "0.1",
        "1e-400",
        "5e-324",
        "1e308",
    ),
    *("1e309", "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "2e", "9" * 400),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616"),
    *("123456789012345678901234567890", "-9223372036854775809", "0.30000000000000004"),
    *("2.2250738585072011e-308", "179769313486231580793e289", "1" + "0" * 40 + ".5"),
]
TEXTS = [
    *('""', '"a"', '"b"', '"\\u00fc"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00x"', '"\\u0000"'),
    *('"\\x"', '"\t"', '"\x7f"', '"' + "ü" * 256 + '"', '"' + "😀" * 257 + '"', "'a'", '"a'),
]
OTHERS = ["null", "true", "false", "nul", "", "[]", "{}", "[[]]", '{"a":1}', "[" * 2000]
FIELDS = ["request_id", "list_size", "num_lists", "seed", "budget_ms", "explain", "context"]

scalars = st.sampled_from(NUMBERS + TEXTS + OTHERS) | st.floats().map(json.dumps)
right = st.sampled_from(["null", "1", "0.5", '"x"', '["x","y"]', "[]", "-3"])
ids = st.sampled_from(['"a"', '"b"', '"c"', '"ü"'])
names = st.sampled_from(['"f"', '"g"', '""', '"f"', '"\\u0066"'])


def members(pairs):
    """The JSON text of an object; keys may repeat."""
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


def objects(keys, values):
    return st.lists(st.tuples(keys, values), max_size=3).map(members)


def arrays(values, least=0):
    return st.lists(values, min_size=least, max_size=3).map(lambda v: "[" + ",".join(v) + "]")


def usually(good, odd=scalars):
    """Mostly right, so that many bodies are right in all but one place or in all."""
    return st.integers(0, 19).flatmap(lambda n: odd if n == 0 else good)


values = usually(right)
rows = st.tuples(
    usually(ids), usually(st.sampled_from(["null", "1", "2.5"])), usually(objects(names, values))
).flatmap(
    lambda r: st.sampled_from(
        [
            members([('"item_id"', r[0])]),
            members([('"item_id"', r[0]), ('"score"', r[1]), ('"features"', r[2])]),
            members([('"score"', r[1]), ('"item_id"', r[0]), ('"item_id"', r[0])]),
            members([('"item_id"', r[0]), ('"odd"', r[1])]) if r[1] == "1" else r[0],
        ]
    )
)
columns = st.tuples(
    usually(arrays(usually(ids), 1)),
    usually(arrays(values)),
    usually(objects(names, arrays(values))),
).map(
    lambda c: members([('"item_id"', c[0]), ('"score"', c[1]), ('"features"', c[2])]),
)
optional = st.lists(
    st.tuples(st.sampled_from(FIELDS).map(json.dumps), usually(st.sampled_from(["1", "null"]))),
    max_size=3,
)
bodies = st.tuples(usually(ids), usually(arrays(rows, 1) | columns), optional).map(
    lambda b: members([('"user_id"', b[0]), ('"candidates"', b[1]), *b[2]]).encode()
)


def comparable_fields(body):
    """Every value with its type: 1 is not 1.0, and -0.0 is not 0.0."""
    offered = body.candidates
    parts = [offered] if isinstance(offered, FastCandidateColumns | CandidateColumns) else offered
    candidates = [(part.item_id, part.score, part.features) for part in parts]
    return repr(
        (type(offered) is list, candidates, [getattr(body, name) for name in [*FIELDS, "user_id"]])
    )


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(bodies)
def test_decode_fast_accepted_bodies_agree_with_pydantic(raw):
    fast = decode_fast(raw)
    if fast is not None:
        assert comparable_fields(fast) == comparable_fields(
            RerankRequestBody.model_validate_json(raw)
        )


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_decode_fast_changed_byte_agrees_with_pydantic(data):
    raw = bytearray(
        b'{"user_id":"u","candidates":[{"item_id":"\xc3\xa4","score":1.5,"features":{"f":["x"]}},'
        b'{"item_id":"b"}],"context":{"d":"e"},"seed":7,"budget_ms":20.0,"explain":true}'
    )
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))

    fast = decode_fast(bytes(raw))
    if fast is not None:
        assert comparable_fields(fast) == comparable_fields(
            RerankRequestBody.model_validate_json(bytes(raw))
        )


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("where", ["score", "features", "context", "seed", "budget_ms"])
def test_decode_fast_numbers_agree_with_pydantic(number, where):
    inner = {"score": f'"score":{number}', "features": f'"features":{{"f":{number}}}'}
    outer = {"context": f'"context":{{"f":{number}}}'}
    candidate = ",".join(['"item_id":"a"', *([inner[where]] if where in inner else [])])
    more = "" if where in inner else "," + outer.get(where, f'"{where}":{number}')
    raw = f'{{"user_id":"u","candidates":[{{{candidate}}}]{more}}}'.encode()

    fast = decode_fast(raw)
    if fast is not None:
        assert comparable_fields(fast) == comparable_fields(
            RerankRequestBody.model_validate_json(raw)
        )


@pytest.mark.parametrize(
    "candidates",
    [
        [{"item_id": "a", "score": 1, "features": {"f": 0.5, "g": ["x"]}}, {"item_id": "b"}],
        {"item_id": ["a", "b"], "score": [1, None], "features": {"f": [0.5, None]}},
    ],
)
def test_decode_fast_common_bodies_give_same_request(candidates):
    body = {
        **{"request_id": "r", "user_id": "ü" * 256, "candidates": candidates, "list_size": 2},
        **{"num_lists": 4, "seed": 2**63 - 1, "budget_ms": 20, "context": {"c": "x"}},
    }
    quick = parse_request(json.dumps(body).encode())
    slow = parse_request(json.dumps(body | {"objective": None}).encode())

    assert isinstance(quick.body, FastRequestBody)
    assert isinstance(slow.body, RerankRequestBody)
    assert comparable_fields(quick.body) == comparable_fields(slow.body)
    for field in ("user_id", "item_ids", "features", "list_size"):
        assert repr(getattr(quick, field)) == repr(getattr(slow, field))
    assert quick.scores is not None
    assert slow.scores is not None
    assert quick.scores.tobytes() == slow.scores.tobytes()


@pytest.mark.parametrize("field", ["constraints", "objective"])
def test_decode_fast_objective_or_constraints_returns_none(field):
    body = {"user_id": "u", "candidates": [{"item_id": "a"}], field: {}}

    assert decode_fast(json.dumps(body).encode()) is None
    assert isinstance(parse_request(json.dumps(body).encode()).body, RerankRequestBody)


LONG = "x" * 257
MANY = [f"f{i}" for i in range(MAX_FEATURE_NAMES + 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"candidates": []},
        {"candidates": {"item_id": []}},
        {"candidates": {"item_id": [LONG]}},
        {"candidates": [{"item_id": LONG}]},
        {"user_id": LONG},
        {"request_id": LONG},
        {"user_id": ""},
        {"request_id": ""},
        {"candidates": [{"item_id": ""}]},
        {"candidates": {"item_id": [""]}},
        {"num_lists": 0},
        {"list_size": 0},
        {"seed": 2**63},
        {"budget_ms": 0.0},
        {"context": dict.fromkeys(MANY)},
        {"candidates": [{"item_id": "a", "features": dict.fromkeys(MANY)}]},
        {"candidates": {"item_id": ["a"], "features": {name: [None] for name in MANY}}},
    ],
)
def test_decode_fast_enforces_bounds_of_pydantic_schema(changes):
    body = {"user_id": "u", "candidates": [{"item_id": "a"}]}
    assert decode_fast(json.dumps(body).encode()) is not None

    raw = json.dumps(body | changes).encode()
    with pytest.raises(ValidationError):
        RerankRequestBody.model_validate_json(raw)
    assert decode_fast(raw) is None


def test_parse_request_rejection_has_pydantic_message():
    for raw in (b"{", b'{"user_id":"u","candidates":[]}', b'{"user_id":7}'):
        with pytest.raises(ValidationError):
            RerankRequestBody.model_validate_json(raw)
        with pytest.raises((MalformedJson, RequestRejected)):
            parse_request(raw)
