"""The description of itself: valid, and kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ADMIN_TOKEN, Gateway, Start
from openapi_spec_validator import validate

SECONDS = 20 if os.environ.get("CHECK_LONG") else 8

ROUTES = {
    ("get", "/"),
    ("post", "/sources/register"),
    ("post", "/providers/register"),
    ("post", "/partitions/register"),
    ("post", "/partitions/lock"),
    ("post", "/partitions/unlock"),
    ("post", "/partitions/fail"),
    ("get", "/sources/{source_name}/check_readiness"),
    ("get", "/health"),
    ("get", "/sources"),
    ("get", "/sources/{source_name}/explain"),
    ("get", "/sources/{source_name}/timeline"),
    ("get", "/sources/{source_name}/history"),
    ("get", "/sources/{source_name}/changed"),
    ("get", "/position"),
    ("get", "/changes"),
    ("get", "/metrics"),
}


def test_it_is_valid(lax: Gateway, strict: Gateway) -> None:
    for gateway in (lax, strict):
        described = gateway.get("/openapi.json").json()
        validate(described)
        assert {
            (method, path) for path, item in described["paths"].items() for method in item
        } == ROUTES
        for item in described["paths"].values():
            for operation in item.values():
                assert operation["summary"]
                for parameter in operation.get("parameters", []):
                    assert parameter["in"] in ("query", "path", "header")
                assert "requestBody" not in operation


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strict": "true"},
        {"strict": "true", "tokens": "true", "admin_token": ADMIN_TOKEN},
    ],
)
def test_it_keeps_to_it(start: Start, settings: dict[str, str], tmp_path: Path) -> None:
    """Schemathesis makes requests from the description, bad ones too, for a
    while, and compares what comes back."""
    gateway = start(**settings)
    program = Path(sys.executable).parent / "schemathesis"
    found = subprocess.run(
        [
            program,
            "run",
            f"{gateway.url}/openapi.json",
            "--exclude-path=/changes",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=40",
            "--seed=1",
            f"--max-time={SECONDS}",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,unsupported_method",
            "--no-color",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    text = gateway.log.read_text()
    assert "Traceback" not in text, text[-3000:]
