{{ config(materialized='incremental', incremental_strategy='microbatch', unique_key='happened_at',
          event_time='happened_at', batch_size='day', begin='2024-01-01',
          meta={'partreg': {'source': 'marts.batched', 'provider': 'dbt'}}) }}
{{ partreg.batch() }}
SELECT happened_at, 1 / (EXTRACT(day FROM happened_at)::int - {{ var('bad_day', 99) }}) AS amount FROM {{ source('sales', 'orders') }}
