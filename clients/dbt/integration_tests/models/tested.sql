{{ config(materialized='incremental',
          meta={'partreg': {'source': 'marts.tested', 'provider': 'dbt', 'day': var('day', '2024-01-01'),
                            'replace': 'happened_at', 'unlock': 'tests'}}) }}
SELECT happened_at, {{ var('amount', 1) }} AS amount FROM {{ source('sales', 'orders') }} WHERE happened_at <@ {{ partreg.during() }}
