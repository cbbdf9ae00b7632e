from starlette.datastructures import Headers

from service.api.trace_context import trace_headers, trace_id


def test_trace_headers_pass_well_formed_traceparent_only():
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    assert trace_headers(good) == [(b"traceparent", good.encode())]
    assert trace_id(Headers({"traceparent": good})) == "a" * 32
    bad_ids = ("0" * 32 + "-" + "b" * 16, "a" * 32 + "-" + "0" * 16, "a" * 31 + "-" + "b" * 16)
    malformed = [f"00-{ids}-01" for ids in bad_ids]
    for bad in (good.upper(), good + "\r\nx: y", "ff" + good[2:], *malformed, ""):
        assert trace_headers(bad) == []
