{{ config(materialized='incremental',
          meta={'partreg': {'source': 'marts.below', 'provider': 'dbt', 'day': var('day', '2024-01-01'), 'replace': 'happened_at'}}) }}
SELECT happened_at, amount FROM {{ ref('tested') }} WHERE happened_at <@ {{ partreg.during() }}
