"""A day of marts.revenue, made from sales.orders as soon as they are ready; see docs/airflow.md."""

from datetime import UTC, datetime

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from partition_registry_airflow.operator import PartitionOperator
from partition_registry_airflow.sensor import ReadySensor

REVENUE = """
    DELETE FROM marts.revenue WHERE day = %(start)s;
    INSERT INTO marts.revenue (day, amount)
    SELECT %(start)s, coalesce(sum(amount), 0) FROM sales.orders
    WHERE happened_at >= %(start)s AND happened_at < %(end)s
"""
days = CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin")

with DAG("revenue", schedule=days, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):
    ready = ReadySensor(task_id="ready", source="sales.orders", deferrable=True)
    load = PartitionOperator(task_id="load", source="marts.revenue", provider="airflow",
                             needs=["sales.orders"], sql=REVENUE, retries=2)
    ready >> load
