{{ config(materialized='incremental',
          meta={'partreg': {'source': 'marts.revenue', 'provider': 'dbt', 'day': var('day', '2024-01-01'),
                            'replace': 'happened_at', 'rebuild': var('rebuild', '')}}) }}
SELECT happened_at, amount
FROM {{ source('sales', 'orders') }} WHERE happened_at <@ {{ partreg.during() }}
