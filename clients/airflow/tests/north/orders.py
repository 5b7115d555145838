"""The producer: days of sales.orders, as one provider by SQL with a token, and as
another by Python without one."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from airflow.sdk import DAG, task
from airflow.timetables.interval import CronDataIntervalTimetable

from partition_registry_airflow.operator import PartitionOperator

days = CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin")
common = {"schedule": days, "start_date": datetime(2024, 1, 1, tzinfo=UTC), "catchup": False}
SQL = """
    DELETE FROM sales.orders WHERE happened_at >= %(start)s AND happened_at < %(end)s;
    INSERT INTO sales.orders SELECT h, 1
    FROM generate_series(%(start)s, %(end)s - interval '1 hour', '1 hour') h;
    SELECT sales.inspect(%(start)s)
"""

with DAG("orders", **common, end_date=datetime(2024, 4, 2, tzinfo=UTC)):
    PartitionOperator(
        task_id="load", source="sales.orders", provider="north", sql=SQL, partreg_conn_id="token"
    )

# No interval: a timetable that gives none.
with DAG("no_interval", schedule=None):
    PartitionOperator(
        task_id="load", source="sales.orders", provider="north", sql=SQL, partreg_conn_id="token"
    )

with DAG("slow", **common, end_date=datetime(2024, 4, 2, tzinfo=UTC)):
    PartitionOperator(
        task_id="load", source="sales.slow", provider="north", sql="SELECT pg_sleep(1000)"
    )

with DAG("returns", **common, end_date=datetime(2024, 4, 2, tzinfo=UTC)):

    @task.partition(source="sales.returns", provider="north", retries=1, retry_delay=0.0)
    def load(load, ti=None):
        """The first try hangs until it is told to go on."""
        place = Path(os.environ["PLACE"])
        if ti.try_number == 1:
            (place / "first").write_text(f"{os.getpid()} {os.getppid()}")
            while not (place / "go").exists():
                time.sleep(0.1)
            # Goes on as if nothing had happened; its last step is the unlock.
            psycopg.connect(os.environ["REGISTRY"], autocommit=True).execute(
                "INSERT INTO sales.log VALUES ('the zombie goes on')"
            )
        load.connection.execute(
            "INSERT INTO sales.returns VALUES (%s, %s)", (load.start, ti.try_number)
        )
        load.details = {"by": ti.try_number}

    load()
