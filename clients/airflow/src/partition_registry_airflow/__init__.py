"""An Airflow provider for partition_registry.

A DAG of one installation waits for, reads and makes what a DAG of another, or
any other job, has made: all that they share is the registry.

    hook       the connection type partreg
    interval   which time range a run is about
    sensor     ReadySensor waits until it is ready; ReadyAssetSensor emits what is
    trigger    ReadyTrigger waits for a ReadySensor, in the triggerer
    operator   PartitionOperator claims, loads and unlocks, in one task
    decorator  @task.partition, the same around a Python function
    event      ReadyAssetTrigger starts DAGs by what has become ready
    steps      which days or hours have become ready
    listen     one connection that listens, for all that wait in a process
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """What Airflow asks a provider for."""
    return {
        "package-name": "partition-registry-airflow",
        "name": "Partition registry",
        "description": "Time partitions whose readiness PostgreSQL keeps.",
        "connection-types": [
            {
                "connection-type": "partreg",
                "hook-class-name": "partition_registry_airflow.hook.PartitionRegistryHook",
                "hook-name": "Partition registry",
            }
        ],
        "task-decorators": [
            {
                "name": "partition",
                "class-name": "partition_registry_airflow.decorator.partition_task",
            }
        ],
    }
