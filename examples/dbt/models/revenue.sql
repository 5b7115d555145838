{{ config(
    materialized = 'incremental',
    meta = {'partreg': {'source': 'marts.revenue', 'provider': 'dbt', 'day': var('day'),
                        'needs': ['sales.orders'], 'replace': 'happened_at'}}
) }}
SELECT happened_at, amount FROM {{ source('sales', 'orders') }} WHERE happened_at <@ {{ partreg.during() }}
