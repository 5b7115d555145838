"""Logs without query strings.

Parameters hold tokens, so what follows the ? is not written; and should
somebody put a token into the path, it is not written either.
"""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

from uvicorn.config import LOGGING_CONFIG

from .refusals import hide_tokens


class WithoutQuery(logging.Filter):
    """A filter for uvicorn's access log, whose third argument is the path."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) >= 3:
            path = hide_tokens(str(record.args[2]).partition("?")[0])
            record.args = (*record.args[:2], path[:500], *record.args[3:])
        return True


def configuration() -> dict[str, Any]:
    """Uvicorn's, with the filter, with times, and with our own messages."""
    config: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    config["filters"] = {"without_query": {"()": WithoutQuery}}
    config["handlers"]["access"]["filters"] = ["without_query"]
    for formatter in config["formatters"].values():
        formatter["fmt"] = "%(asctime)s " + formatter["fmt"]
        formatter["use_colors"] = False
    config["loggers"]["partition_registry_http"] = {
        "handlers": ["default"],
        "level": "INFO",
        "propagate": False,
    }
    return config
