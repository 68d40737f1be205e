"""The description of the service holds for whatever is sent: property-based, by schemathesis."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mixtconv.serve.errors import ERRORS

EXAMPLES = 25
"""For each address; ten times as many find nothing more."""


@pytest.fixture(scope="module")
def answering(service, running):
    with running(service) as server:
        yield server


ADDRESSES = [
    "POST /v1/predict", "POST /v1/predict-source", "POST /v1/timeline", "POST /v1/timeline-source",
    "POST /v1/events", "POST /v1/events-source",
    "GET /v1/model", "GET /health/live", "GET /health/ready", "GET /metrics",
]  # fmt: skip


@pytest.fixture(scope="module")
def operations(answering) -> dict:
    schema = schemathesis.openapi.from_url(f"{answering.address}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations()]
    return {f"{each.method.upper()} {each.path}": each for each in found}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize("address", ADDRESSES)
def test_answers_are_as_described(operations: dict, address: str, mode: GenerationMode) -> None:
    """Also of requests that the description rules out."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operations[address].as_strategy(generation_mode=mode))
    def holds(case) -> None:
        response = case.call()
        # No schema can say that a file is a video, or that window and stride have one unit.
        case.validate_response(response, excluded_checks=[positive_data_acceptance])
        assert "Traceback" not in response.text
        if response.status_code >= 400:
            error = response.json()["error"]
            assert ERRORS[error["code"]].status == response.status_code and error["message"]

    try:
        holds()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # an address that takes nothing


def test_every_error_of_an_address_is_described(answering) -> None:
    paths = httpx.get(f"{answering.address}/openapi.json").json()["paths"]
    assert set(paths) == {address.split()[1] for address in ADDRESSES}
    statuses = set(paths["/v1/predict"]["post"]["responses"])
    assert statuses == {"200", "400", "401", "403", "408", "413", "415", "421", "422", "500",
                        "503", "504"}  # fmt: skip
    assert "multipart/form-data" in paths["/v1/predict"]["post"]["requestBody"]["content"]
