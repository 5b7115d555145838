"""The program partreg-http."""

from __future__ import annotations

import json
import os

import uvicorn
from pydantic_settings import CliApp

from . import logs
from .settings import PREFIX, Settings


def main() -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first."""
    settings = CliApp.run(Settings)
    _hand_on(settings)
    uvicorn.run(
        "partition_registry_http:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=logs.configuration(),
        server_header=False,
        # Streams of /changes never end by themselves.
        timeout_graceful_shutdown=5,
    )


def _hand_on(settings: Settings) -> None:
    """Let the workers, which read the environment, have the same settings."""
    for name, value in settings.model_dump(mode="json", exclude={"admin_token"}).items():
        os.environ[PREFIX + name.upper()] = value if isinstance(value, str) else json.dumps(value)
