{{ config(
    materialized = 'incremental',
    meta = {'partreg': {'source': 'marts.revenue', 'provider': 'dbt', 'needs': ['sales.orders']}},
    pre_hook = ["{{ partreg_claim() }}", "{{ partreg_delete('happened_at') }}"],
    post_hook = "{{ partreg_unlock() }}"
) }}
SELECT happened_at, amount FROM {{ source('sales', 'orders') }} WHERE happened_at <@ {{ partreg_day() }}
