"""A day of marts.revenue, made from sales.orders as soon as they are ready.

The connection "registry" leads to the database with the registry and the data,
and logs in as the trusted role of the provider "airflow" of marts.revenue:

    SELECT partreg.register_provider('airflow', '<source token>', trusted_role => 'airflow_jobs');

So no task knows a token, and none can print one.
"""

import uuid
from datetime import datetime, timedelta, timezone

from airflow.providers.common.sql.sensors.sql import SqlSensor
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import dag, task
from airflow.timetables.interval import CronDataIntervalTimetable

PARTITION = "'marts.revenue', 'airflow', tstzrange(%(start)s, %(end)s)"

# What earlier tries of this task in this run have left locked.  A try that is
# believed dead may still be at work: this ends its right to unlock.
END_EARLIER_TRIES = """
    SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder,
                                  reason => 'a later try has begun')
    FROM partreg.locks
    WHERE source_name = 'marts.revenue' AND provider_name = 'airflow'
      AND during = tstzrange(%(start)s, %(end)s) AND state = 'locked'
      AND CASE WHEN starts_with(holder, %(attempts)s)
               THEN split_part(substr(holder, length(%(attempts)s) + 1), ' ', 1)::int < %(try_number)s END
"""


# A timetable with intervals: others give start = end, and an empty range is an error.
@dag(schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
     start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), catchup=False)
def revenue():
    orders_ready = SqlSensor(
        task_id="orders_ready", conn_id="registry", mode="reschedule", poke_interval=60, timeout=6 * 3600,
        parameters={"start": "{{ data_interval_start }}", "end": "{{ data_interval_end }}"},
        # A failed partition will not get ready by waiting: it fails the sensor.
        sql="""SELECT CASE WHEN partreg.check_readiness('sales.orders', %(start)s::timestamptz, %(end)s::timestamptz)
                           THEN 'ready'
                           WHEN EXISTS (SELECT FROM partreg.explain_readiness('sales.orders',
                                            tstzrange(%(start)s::timestamptz, %(end)s::timestamptz))
                                        WHERE state = 'failed')
                           THEN 'failed' ELSE 'not yet' END""",
        success=lambda answer: answer == "ready", failure=lambda answer: answer == "failed")

    # Claim, load and unlock are one task, so that clearing it always claims.
    # The task is ended before its lease is over.
    @task(retries=2, retry_delay=timedelta(minutes=1), execution_timeout=timedelta(hours=1))
    def load(data_interval_start=None, data_interval_end=None, ti=None):
        # A holder of its own for every attempt: run, try, random; 200 bytes at most.
        attempts = f"{ti.dag_id}/{ti.run_id}/{ti.task_id} try "
        of_this_try = {
            "start": data_interval_start, "end": data_interval_end,
            "attempts": attempts, "try_number": ti.try_number,
            "holder": f"{attempts}{ti.try_number} {uuid.uuid4().hex[:8]}",
        }
        hook = PostgresHook("registry")

        def transaction(*statements):
            hook.run(list(statements), autocommit=False, parameters=of_this_try)

        # The claim commits, so that everybody sees it.  Whoever holds the day:
        # 55006, and the task ends here.
        transaction("SELECT partreg.assert_ready('sales.orders', tstzrange(%(start)s, %(end)s))",
                    END_EARLIER_TRIES,
                    f"SELECT partreg.lock_partition({PARTITION}, holder => %(holder)s,"
                    "                               lease => '2 hours', register => true)")
        try:
            # Rows and unlock commit together, or nothing of both.  The sensor was
            # long ago: what is read is asserted in the snapshot it is read from.
            transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                        "SELECT partreg.assert_ready('sales.orders', tstzrange(%(start)s, %(end)s))",
                        "DELETE FROM marts.revenue WHERE day = %(start)s",
                        "INSERT INTO marts.revenue (day, amount) SELECT %(start)s, sum(amount) FROM sales.orders"
                        " WHERE happened_at >= %(start)s AND happened_at < %(end)s",
                        f"SELECT partreg.unlock_partition({PARTITION}, holder => %(holder)s)")
        except Exception as error:
            # Where this try does not hold the day any more, this changes nothing.
            of_this_try["reason"] = str(error).partition("\n")[0]
            transaction("SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder,"
                        "                              reason => %(reason)s)"
                        " FROM partreg.locks WHERE holder = %(holder)s AND state = 'locked'")
            raise

    orders_ready >> load()


revenue()
