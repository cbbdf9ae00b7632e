"""Requests made from the service's own OpenAPI document: no 500 and no undocumented answer."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.service.serving import Serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def document(artifact_folder):
    with Serving(artifact_folder, request_budget_ms=900) as serving:
        yield schemathesis.openapi.from_url(serving.ready().url + "/openapi.json")


# Strategies are asked for directly: a fixture serves the document, and the pytest integration of
# schemathesis 4.32 does not run under pytest 9.
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_whatever_the_document_allows_or_forbids_gets_a_documented_answer(document, mode):
    statuses: Counter[tuple[str, int]] = Counter()
    for operation in (found.ok() for found in document.get_all_operations()):
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # there is nothing to get wrong

        @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def run(case):
            response = case.call_and_validate(checks=CHECKS)
            statuses[case.path, response.status_code] += 1

        run()

    wanted = 200 if mode is GenerationMode.POSITIVE else 422
    assert statuses["/rerank", wanted] > 10, statuses
