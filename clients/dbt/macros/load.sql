{# One model, or one batch: assert, claim, commit, assert again, load, unlock.

   Nothing is claimed while a need is not ready, so a run that comes too early
   leaves nothing behind.  The claim is committed before the load, so that
   everybody sees it.  The second assertion is of the snapshot that the model
   reads from.  The unlock commits with the model's rows, or is refused and
   takes them along. #}

{# Where tests come first, an input may still be held by this very invocation;
   dbt has run its tests before, and a failed one would have skipped us.
   Counts as ready what only this invocation holds. #}
{% macro assert_needs() %}
  {%- for need in partreg.needs() %}
  SELECT partreg.assert_ready({{ partreg.quoted(need) }}, {{ partreg.during() }})
   WHERE (WITH mine AS MATERIALIZED (SELECT l.provider_name, l.during FROM partreg.locks l
                       WHERE l.source_name = {{ partreg.quoted(need) }} AND l.state = 'locked'
                         AND l.holder = {{ partreg.quoted(partreg.holder()) }})
          SELECT bool_and(e.during <@ (SELECT range_agg(m.during) FROM mine m
                                        WHERE m.provider_name = coalesce(e.provider_name, m.provider_name))
                          AND (e.state IN ('missing', 'registered')
                               OR e.state = 'locked' AND e.holder = {{ partreg.quoted(partreg.holder()) }}))
            FROM partreg.explain_readiness({{ partreg.quoted(need) }}, {{ partreg.during() }}) e) IS NOT TRUE;
  {%- endfor %}
{%- endmacro %}

{# A table that is built anew loses its other partitions, which stay ready. #}
{% macro is_rebuilt() %}
  {% do return(should_full_refresh() or config.get('materialized') != 'incremental') %}
{% endmacro %}

{% macro refuse_what_harms() %}
  {%- set p = partreg.meta_of(model) -%}
  {%- if partreg.is_sample() -%}
    {{ exceptions.raise_compiler_error('partreg: --sample would leave a part of the rows in ' ~ this ~ ', which stays ready') }}
  {%- endif -%}
  {#- The batches of a microbatch model cannot retire each other. -#}
  {%- set words = ['keep'] if model.get('batch') else ['retire', 'keep'] -%}
  {%- if partreg.is_rebuilt() and (flags.EMPTY or p.get('rebuild') not in words) -%}
    {{ exceptions.raise_compiler_error('partreg: ' ~ this ~ ' would be built anew (--full-refresh, or not incremental): its other partitions would go and stay ready.'
         ~ ' Say rebuild: ' ~ words | join(' or ') ~ ' in its meta.partreg; never with --empty.') }}
  {%- endif -%}
  {%- if p.get('unlock', 'model') not in ['model', 'tests'] -%}
    {{ exceptions.raise_compiler_error('partreg: unlock of ' ~ this ~ ' is neither model nor tests') }}
  {%- endif -%}
  {%- if p.get('unlock') == 'tests' and flags.WHICH == 'run' and not flags.EMPTY -%}
    {{ exceptions.raise_compiler_error('partreg: ' ~ this ~ ' is unlocked after its tests, which dbt run does not run: use dbt build') }}
  {%- endif -%}
{% endmacro %}

{% macro claim_sql() %}
  {{ partreg.assert_needs() }}
  SELECT partreg.lock_partition({{ partreg.partition() }}, holder => {{ partreg.quoted(partreg.holder()) }},
                                lease => {{ partreg.quoted(var('partreg_lease', '2 hours')) }}, register => true);
  COMMIT;
  BEGIN ISOLATION LEVEL REPEATABLE READ;
  {{ partreg.assert_needs() }}
{% endmacro %}

{% macro unlock_sql() %}
  SELECT partreg.unlock_partition({{ partreg.partition() }}, holder => {{ partreg.quoted(partreg.holder()) }});
{% endmacro %}

{# What the rebuild did not cover. #}
{% macro retire_rest_sql() %}
  {%- set p = partreg.meta_of(model) -%}
  SELECT partreg.retire_partition(source_name, provider_name, tstzrange(start_at, end_at))
    FROM partreg.partitions
   WHERE source_name = {{ partreg.quoted(p.source) }} AND provider_name = {{ partreg.quoted(p.provider) }}
     AND tstzrange(start_at, end_at) <> {{ partreg.during() }};
{% endmacro %}

{# The pre-hook of every model of the project; empty for those without meta. #}
{% macro claim() %}
  {%- if partreg.target_is_registered() and partreg.meta_of(model) and config.get('incremental_strategy') != 'microbatch' -%}
    {{ partreg.refuse_what_harms() }}
    {%- if partreg.is_on() -%}
      {{ partreg.claim_sql() }}
    {%- endif -%}
  {%- endif -%}
  {%- set column = (partreg.meta_of(model) or {}).get('replace') if execute else none -%}
  {%- if column and is_incremental() and not flags.EMPTY %}
  DELETE FROM {{ this }} WHERE {{ column }} <@ {{ partreg.during() }};
  {%- endif -%}
{% endmacro %}

{# The post-hook of every model of the project. #}
{% macro unlock() %}
  {%- if partreg.is_on() and partreg.meta_of(model) and config.get('incremental_strategy') != 'microbatch' -%}
    {%- set p = partreg.meta_of(model) -%}
    {%- if partreg.is_rebuilt() and p.rebuild == 'retire' %}{{ partreg.retire_rest_sql() }}{% endif -%}
    {%- if p.get('unlock', 'model') == 'model' %}{{ partreg.unlock_sql() }}{% endif -%}
  {%- endif -%}
{% endmacro %}

{# At the head of a microbatch model's body.  dbt runs hooks for the first and
   the last batch only, but renders the body for each.  What the body runs
   while it is rendered is the beginning of the batch's own transaction: the
   unlock in it commits with the rows, or goes with them. #}
{% macro batch() %}
  {%- if partreg.target_is_registered() and model.get('batch') -%}
    {%- do partreg.refuse_what_harms() -%}
    {%- if partreg.is_on() -%}
      {%- do run_query(partreg.claim_sql()) -%}
      {%- if partreg.meta_of(model).get('unlock', 'model') == 'model' %}{% do run_query(partreg.unlock_sql()) %}{% endif -%}
    {%- endif -%}
  {%- endif -%}
{% endmacro %}
