"""The same for asyncio."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from conftest import END, START, Place

import partition_registry as pr
from partition_registry import aio

HOUR = timedelta(hours=1)


def of(place: Place, listens: bool = True) -> aio.Registry:
    listen_dsn = place.listen_dsn if listens else None
    return aio.connect(place.dsn, listen_dsn=listen_dsn, token=place.token)


async def load(place: Place, registry: aio.Registry, rows: int) -> None:
    async with registry.partition(place.source, "cron", START, END) as begun:
        connection = await begun.connection()
        await connection.execute(
            f"INSERT INTO {place.table} SELECT generate_series(1, %s)".encode(), (rows,)
        )
        begun.details = {"rows": rows}


def test_load_wait_read_follow(place: Place) -> None:
    async def main() -> None:
        registry = of(place)
        position = await registry.position()
        waiting = [asyncio.create_task(registry.wait(place.source, START, END)) for _ in range(50)]
        await asyncio.sleep(0.3)
        await load(place, registry, 600)
        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)
        async with registry.read(place.source, START, END) as reader:
            cursor = await reader.connection.execute(f"SELECT count(*) FROM {place.table}")
            assert await cursor.fetchone() == (600,)
            (supplied,) = await reader.details()
            assert supplied.details == {"rows": 600}
            here = await reader.position()
        events = [
            change.event
            async for change in registry.changes(position, sources=place.source, follow=False)
        ]
        assert events == ["register_partition", "lock", "unlock"]
        assert [change async for change in registry.changes(here, follow=False)] == []
        assert await registry.check(place.source, START, END)
        assert len(await registry.history(place.source, START, END)) == 3

    asyncio.run(main())


@pytest.mark.parametrize("listens", [False, True])
def test_changes_are_followed(place: Place, listens: bool) -> None:
    async def follow(registry: aio.Registry, position: str) -> list[str]:
        seen = []
        poll = timedelta(seconds=0.1)
        async for change in registry.changes(position, sources=place.source, poll=poll):
            seen.append(change.event)
            if change.event == "unlock":
                break
        return seen

    async def main() -> None:
        registry = of(place, listens)
        following = asyncio.create_task(follow(registry, await registry.position()))
        await asyncio.sleep(0.3)
        await load(place, registry, 1)
        async with asyncio.timeout(5):
            assert await following == ["register_partition", "lock", "unlock"]

    asyncio.run(main())


def test_failure_and_cancellation(place: Place) -> None:
    async def main() -> None:
        registry = of(place)
        with pytest.raises(ZeroDivisionError):
            async with registry.partition(place.source, "cron", START, END) as begun:
                await begun.connection()
                raise ZeroDivisionError("no orders")
        (obstacle, *_) = await registry.explain(place.source, START, END)
        assert (obstacle.state, obstacle.reason) == ("failed", "ZeroDivisionError: no orders")

        async def slow() -> None:
            async with registry.partition(place.source, "cron", START, END) as begun:
                await (await begun.connection()).execute("SELECT pg_sleep(30)")

        task = asyncio.create_task(slow())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (obstacle, *_) = await registry.explain(place.source, START, END)
        assert obstacle.state == "failed" and "CancelledError" in (obstacle.reason or "")
        waiting = asyncio.create_task(registry.wait(place.source, END, END + HOUR))
        await asyncio.sleep(0.3)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


def test_zombie_and_lost_lock(place: Place) -> None:
    short, never = timedelta(milliseconds=100), timedelta(hours=1)

    async def main() -> None:
        registry = of(place)
        with pytest.raises(pr.LockLost):
            async with registry.partition(
                place.source, "cron", START, END, lease=short, renew_every=never
            ) as zombie:
                await (await zombie.connection()).execute(f"INSERT INTO {place.table} VALUES (0)")
                await asyncio.sleep(0.3)
                await load(place, registry, 600)
        assert place.rows() == 600 and place.ready()
        with pytest.raises(pr.LockLost):
            async with registry.partition(
                place.source, "cron", START, END, renew_every=timedelta(seconds=0.5)
            ) as begun:
                await registry.call(
                    "SELECT partreg.force_fail_partition(%s, 'cron', tstzrange(%s, %s), 'stop')",
                    (place.source, START, END),
                )
                async with asyncio.timeout(10):
                    await (await begun.connection()).execute("SELECT pg_sleep(20)")
        # The request to cancel has arrived; PgBouncer 1.18 does not outlive one that goes away.
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_needs(place: Place) -> None:
    need, token = place.need()

    async def main() -> None:
        registry = of(place)
        with pytest.raises(pr.NotReady):
            async with registry.partition(place.source, "cron", START, END, needs=need):
                pass
        async with registry.partition(need, "cron", START, END, token=token):
            pass
        with pytest.raises(pr.NotReady, match="changed while it loaded"):
            async with registry.partition(place.source, "cron", START, END, needs=need) as begun:
                await begun.connection()
                async with registry.partition(need, "cron", START, END, token=token):
                    pass
        async with registry.partition(place.source, "cron", START, END, needs=need):
            pass
        assert place.ready()

    asyncio.run(main())


def test_lost_connection_does_not_fail_the_partition(place: Place) -> None:
    async def main() -> None:
        registry = of(place)
        with pytest.raises(psycopg.OperationalError):
            async with registry.partition(place.source, "cron", START, END) as begun:
                connection = await begun.connection()
                cursor = await connection.execute("SELECT pg_backend_pid()")
                (pid,) = await cursor.fetchone() or (0,)
                await registry.call("SELECT pg_terminate_backend(%s, 5000)", (pid,))
                await connection.execute("SELECT 1")
        (obstacle, *_) = await registry.explain(place.source, START, END)
        assert obstacle.state == "locked"

    asyncio.run(main())
