"""@task.partition: claim, load and unlock around a Python function.

@task.partition(source="marts.revenue", provider="airflow", needs=["sales.orders"])
def revenue(load):
    load.connection.execute("INSERT …", (load.start, load.end))
    load.details = {"rows": 600}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    TaskDecorator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)
from partition_registry import Load

from .operator import PartitionOperator


class PartitionDecoratedOperator(DecoratedOperator, PartitionOperator):
    """Calls the function with the Load as ``load``, once for each range of the run.

    What it returns is the task's result; a list of that where the run has several."""

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *PartitionOperator.template_fields,
    )
    template_fields_renderers = {
        **DecoratedOperator.template_fields_renderers,
        **PartitionOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.partition"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            # So that the function's own `load` counts as given while the DAG is read.
            op_kwargs={**(op_kwargs or {}), "load": None},
            **kwargs,
        )

    def fill(self, load: Load, context: Mapping[str, Any]) -> Any:
        own: Any = dict(context)
        context_merge(own, self.op_kwargs, load=load)
        given = determine_kwargs(self.python_callable, self.op_args, own)
        return self.python_callable(*self.op_args, **given)


def partition_task(
    python_callable: Callable[..., Any] | None = None, **kwargs: Any
) -> TaskDecorator:
    """The decorator; its arguments are those of PartitionOperator, without sql."""
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=PartitionDecoratedOperator,
        **kwargs,
    )
