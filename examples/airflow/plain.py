"""A day of marts.revenue, made from sales.orders as soon as they are ready, with
nothing of partition_registry's installed in Airflow.

The connection "registry" leads to the database with the registry and the data,
and logs in as the trusted role of the provider "airflow" of marts.revenue:

    SELECT partreg.register_provider('airflow', '<source token>', trusted_role => 'airflow_jobs');

So no task knows a token, and none can print one.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.common.sql.sensors.sql import SqlSensor
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

DAY = "tstzrange(%(start)s::timestamptz, %(end)s::timestamptz)"
PARTITION = f"'marts.revenue', 'airflow', {DAY}"
DATA_INTERVAL = {"start": "{{ data_interval_start }}", "end": "{{ data_interval_end }}"}

# A failed partition will not get ready by waiting.
STATE = f"""
    SELECT CASE WHEN count(*) = 0 THEN 'ready' WHEN bool_or(state = 'failed') THEN 'failed' ELSE 'not yet' END
    FROM partreg.explain_readiness('sales.orders', {DAY})
"""

# What earlier tries of this task in this run have left locked.  A try that is
# believed dead may still be at work: this ends its right to unlock.
END_EARLIER_TRIES = f"""
    SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder,
                                  reason => 'a later try has begun')
    FROM partreg.locks
    WHERE source_name = 'marts.revenue' AND provider_name = 'airflow'
      AND during = {DAY} AND state = 'locked'
      AND CASE WHEN starts_with(holder, %(tries)s)
               THEN split_part(substr(holder, length(%(tries)s) + 1), ' ', 1)::int END
          < %(try_number)s::int
"""

# A timetable with intervals: others give start = end, and an empty range is an error.
days = CronDataIntervalTimetable("0 0 * * *", timezone="Europe/Berlin")

with DAG("plain_revenue", schedule=days, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False):
    ready = SqlSensor(
        task_id="ready", conn_id="registry", mode="reschedule", poke_interval=30, timeout=6 * 3600,
        sql=STATE, parameters=DATA_INTERVAL,
        success=lambda state: state == "ready", failure=lambda state: state == "failed")

    # Claim, load and unlock are one task, so that clearing it always claims.  Each
    # statement commits by itself, but for those between BEGIN and COMMIT: rows and
    # unlock commit together, or nothing of both.
    load = SQLExecuteQueryOperator(
        task_id="load", conn_id="registry", autocommit=True,
        # The task is ended before its lease is over.
        retries=2, execution_timeout=timedelta(hours=1),
        sql=[
            f"SELECT partreg.assert_ready('sales.orders', {DAY})",
            END_EARLIER_TRIES,
            f"SELECT partreg.lock_partition({PARTITION}, holder => %(holder)s,"
            "                               lease => '2 hours', register => true)",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            # The sensor was long ago: what is read is asserted in the snapshot it is read from.
            f"SELECT partreg.assert_ready('sales.orders', {DAY})",
            "DELETE FROM marts.revenue WHERE day = %(start)s",
            "INSERT INTO marts.revenue (day, amount) SELECT %(start)s::timestamptz, coalesce(sum(amount), 0)"
            " FROM sales.orders WHERE happened_at >= %(start)s AND happened_at < %(end)s",
            f"SELECT partreg.unlock_partition({PARTITION}, holder => %(holder)s)",
            "COMMIT",
        ],
        # A holder of its own for every try: run, number, random; 200 bytes at most.
        parameters={
            **DATA_INTERVAL,
            "tries": "{{ ti.dag_id }}/{{ ti.run_id }}/{{ ti.task_id }} try ",
            "try_number": "{{ ti.try_number }}",
            "holder": "{{ ti.dag_id }}/{{ ti.run_id }}/{{ ti.task_id }} try {{ ti.try_number }}"
                      " {{ macros.uuid.uuid4().hex[:8] }}",
        })

    ready >> load
