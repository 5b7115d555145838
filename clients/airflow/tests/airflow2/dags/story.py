"""A consumer that waits, and one that is started by what has become ready."""

from datetime import UTC, datetime

from airflow import DAG
from airflow.datasets import Dataset
from airflow.decorators import task
from airflow.timetables.interval import CronDataIntervalTimetable

from partition_registry_airflow.operator import PartitionOperator
from partition_registry_airflow.sensor import ReadyAssetSensor, ReadySensor

start = datetime(2024, 1, 1, tzinfo=UTC)
days = CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin")
orders = Dataset("sales.orders")

with DAG(
    "revenue",
    schedule=days,
    start_date=start,
    catchup=False,
    end_date=datetime(2024, 4, 2, tzinfo=UTC),
):
    ready = ReadySensor(task_id="ready", source="sales.orders", deferrable=True)
    load = PartitionOperator(
        task_id="load",
        source="marts.revenue",
        provider="airflow",
        needs=["sales.orders"],
        sql="INSERT INTO marts.revenue VALUES (%(start)s, 1)",
    )
    ready >> load

with DAG("watch", schedule="@continuous", max_active_runs=1, start_date=start, catchup=False):
    ReadyAssetSensor(
        task_id="days",
        asset=orders,
        source="sales.orders",
        begin="2024-03-01T00:00+01:00",
        time_zone="Europe/Berlin",
        poke_interval=5,
    )

with DAG("report", schedule=[orders], start_date=start, catchup=False):

    @task.partition(source="marts.report", provider="airflow", needs=["sales.orders"])
    def load(load, run_id=None):
        load.connection.execute("INSERT INTO marts.report VALUES (%s, %s)", (load.start, run_id))

    load()
