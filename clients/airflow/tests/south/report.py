"""A consumer that no clock starts: by what has become ready of sales.orders."""

from airflow.sdk import DAG, Asset, AssetWatcher, task

from partition_registry_airflow.event import ReadyAssetTrigger

days = ReadyAssetTrigger(
    "sales.orders", start="2024-03-01T00:00+01:00", step="1 day", time_zone="Europe/Berlin"
)
orders = Asset("sales.orders", watchers=[AssetWatcher(name="days", trigger=days)])

with DAG("report", schedule=[orders]):

    @task.partition(source="marts.report", provider="airflow", needs=["sales.orders"])
    def load(load, run_id=None):
        load.connection.execute("INSERT INTO marts.report VALUES (%s, %s)", (load.start, run_id))

    load()
