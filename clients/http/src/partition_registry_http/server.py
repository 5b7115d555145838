"""The program partreg-http."""

from __future__ import annotations

import json
import logging
import logging.config
import os

import uvicorn
from pydantic_settings import CliApp

from . import logs
from .settings import PREFIX, Settings

log = logging.getLogger("partition_registry_http")

# Bytes of a request before its body.  An argument of a megabyte is answered as
# any other that cannot be used.
_LONGEST = 4 * 1024 * 1024


def main() -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished first."""
    settings = CliApp.run(Settings)
    _hand_on(settings)
    configuration = logs.configuration()
    logging.config.dictConfig(configuration)
    _say_who_may_write(settings)
    uvicorn.run(
        "partition_registry_http:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        # Not httptools, which cuts a query of more than 64 kB without a word.
        http="h11",
        h11_max_incomplete_event_size=_LONGEST,
        log_config=configuration,
        server_header=False,
        # Streams of /changes never end by themselves.
        timeout_graceful_shutdown=5,
    )


def _hand_on(settings: Settings) -> None:
    """Let the workers, which read the environment, have the same settings."""
    for name, value in settings.model_dump(mode="json", exclude={"admin_token"}).items():
        os.environ[PREFIX + name.upper()] = value if isinstance(value, str) else json.dumps(value)


def _say_who_may_write(settings: Settings) -> None:
    if settings.is_local:
        log.info("listening on %s: for this machine only (setting host)", settings.host)
    if settings.tokens:
        log.info("every write needs a token")
    elif settings.is_local:
        log.info("whoever can reach it may write, without a token (setting tokens)")
    else:
        log.warning(
            "listening on %s: whoever reaches this address may write, without a token"
            " (setting tokens)",
            settings.host,
        )
