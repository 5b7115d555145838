"""Two installations: one makes the days, the other waits for them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conftest import World
from installation import wait_for

SHORT_DAY = "2024-03-31"  # 23 hours in Berlin


def test_waits_says_who_blocks_then_runs(world: World) -> None:
    north, south = world.north, world.south
    waiting = world.run(south, "revenue", SHORT_DAY)
    south.wait_state("revenue", waiting, "ready", "deferred")
    made = world.run(north, "orders", SHORT_DAY)
    north.wait_state("orders", made, "load", "success")
    assert south.wait_state("revenue", waiting, "load", "success", "failed") == "success"
    assert "sales.orders [2024-03-30T23:00:00" in south.log("revenue", waiting, "ready")
    assert "is missing" in south.log("revenue", waiting, "ready")
    assert world.ready("marts.revenue", SHORT_DAY)
    assert world.ask("SELECT sum(amount) FROM marts.revenue") == 23
