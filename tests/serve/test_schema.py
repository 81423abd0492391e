"""The published description against the server: whatever it allows is answered as it says, and nothing breaks."""

from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from rag.serve.app import create_app
from rag.serve.gateway import reference as gateway
from tests.serve.stage import OPERATES, WRITES
from tests.serve.test_documents import with_library

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
OPERATIONS = [
    ("POST", "/ask"),
    ("POST", "/search"),
    ("POST", "/feedback"),
    ("GET", "/documents"),
    ("PUT", "/documents"),
    ("POST", "/documents/delete"),
    ("GET", "/documents/{document_id}"),
    ("PUT", "/documents/{document_id}"),
    ("DELETE", "/documents/{document_id}"),
    ("GET", "/traces"),
    ("GET", "/traces/{trace_id}"),
    ("GET", "/cache"),
    ("DELETE", "/cache"),
    ("POST", "/cache/explain"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/admin/routes"),
    ("GET", "/admin/routes/{name}"),
    ("GET", "/admin/config"),
    ("PUT", "/admin/config"),
    ("GET", "/admin/reindex"),
    ("POST", "/admin/reindex"),
    ("DELETE", "/admin/reindex"),
    ("POST", "/admin/backup"),
]
BODILESS = {("GET", "/admin/config"), ("GET", "/admin/reindex"), ("DELETE", "/admin/reindex")}
WITHOUT_INPUT = {"/livez", "/readyz", "/metrics", "/admin/routes", "/admin/backup", "/cache", *BODILESS}
WITH_INPUT = [one for one in OPERATIONS if not {one, one[1]} & WITHOUT_INPUT]


@pytest.fixture(scope="module")
def published():
    ready = with_library()
    ready.health.warmed_up()
    return schemathesis.openapi.from_asgi("/schema/openapi.json", create_app(ready, version="0"))


def test_every_operation_is_tried(published):
    described = {(one.ok().method.upper(), one.ok().path) for one in published.get_all_operations()}
    of_the_gateway = {(method.upper(), path) for method, path in gateway.OPERATIONS}  # official clients try those
    assert described == set(OPERATIONS) | of_the_gateway


def try_out(published, method, path, mode):
    """Sends what the description allows, or forbids, and gives how often each status came back."""
    statuses: Counter[int] = Counter()
    # Of a query parameter that is given twice the last one counts, which the description cannot say.
    checks = CHECKS if method == "GET" else (*CHECKS, negative_data_rejection)

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(published[path][method].as_strategy(generation_mode=mode))
    def run(case):
        operates = (path.startswith(("/cache", "/metrics")) and method == "GET") or path.startswith("/admin")
        response = case.call(headers=OPERATES if operates else WRITES)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=checks)

    run()
    return statuses


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_allowed_is_answered_as_described(published, method, path):
    statuses = try_out(published, method, path, GenerationMode.POSITIVE)
    # A deletion without a known field is refused, and the description cannot say which fields are known.
    assert statuses.keys() & {200, 201, 202, 404, 422 if path == "/documents/delete" else 200}
    assert statuses.keys() <= {200, 201, 202, 403, 404, 409, 422}


@pytest.mark.parametrize(("method", "path"), WITH_INPUT)
def test_what_is_forbidden_is_refused(published, method, path):
    statuses = try_out(published, method, path, GenerationMode.NEGATIVE)
    assert statuses.keys() & {400, 404, 422}
