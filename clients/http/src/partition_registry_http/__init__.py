"""The HTTP gateway of partition_registry.

The routes, parameters, shapes and codes of the service that this project
re-implements (``original``), and what it did not have (``questions``,
``changes``, ``metrics``, the page ``ui``).  Each request is one transaction of
at most two statements; nothing is remembered between requests, so any number
of workers may run.  The only thing that a worker keeps is its place in the
feed (``follower``), for the clients of /changes.
"""

from .app import create_app
from .settings import Settings

__all__ = ["Settings", "create_app"]
