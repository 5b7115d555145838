{{ config(materialized='incremental',
          meta={'partreg': {'source': 'marts.broken', 'provider': 'dbt',
                            'start': var('start', '2024-01-01 00:00+00'), 'end': '2024-01-02 00:00+00',
                            'needs': ['sales.orders'], 'replace': 'happened_at'}}) }}
SELECT happened_at, 1 / (amount - 1) AS amount FROM {{ source('sales', 'orders') }} WHERE happened_at <@ {{ partreg.during() }}
