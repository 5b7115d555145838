{# A model that fills one day of a source of the registry.  Its config says

     meta = {'partreg': {'source': …, 'provider': …, 'needs': [sources that it reads]}},
     pre_hook = "{{ partreg_claim() }}", post_hook = "{{ partreg_unlock() }}"

   and the project's on-run-end calls partreg_end(results).  The day comes from
   --vars '{"day": "2024-01-01"}'.  All hooks are ordinary ones, within the
   transaction of the model. #}

{# Elsewhere (a developer's target, CI) the registry is left alone. #}
{% macro partreg_target() %}{% do return(execute and target.name in var('partreg_targets', ['prod'])) %}{% endmacro %}

{# flags.SAMPLE is not set in dbt 1.12. #}
{% macro partreg_sample() %}{% do return(flags.SAMPLE or invocation_args_dict.get('sample')) %}{% endmacro %}

{# Only an invocation that really fills the table may claim it. #}
{% macro partreg_on() %}
  {% do return(partreg_target() and flags.WHICH in ['run', 'build', 'retry'] and not flags.EMPTY and not partreg_sample()) %}
{% endmacro %}

{# One name for each attempt: dbt makes a new invocation_id at each start. #}
{% macro partreg_holder() %}{% do return("'dbt " ~ invocation_id ~ "'") %}{% endmacro %}

{% macro partreg_day() %}partreg.day_range('{{ var("day") }}', '{{ var("time_zone", "UTC") }}'){% endmacro %}

{% macro partreg_partition() %}
  {%- set p = model.config.meta.partreg -%}
  '{{ p.source }}', '{{ p.provider }}', {{ partreg_day() }}
{%- endmacro %}

{% macro partreg_assert() %}
  {%- for need in model.config.meta.partreg.needs %}
  SELECT partreg.assert_ready('{{ need }}', {{ partreg_day() }});
  {%- endfor %}
{%- endmacro %}

{# Are the inputs ready?  Claim, and commit that, so that everybody sees it.
   Are they still, in the snapshot from which the model will read? #}
{% macro partreg_claim() %}
  {%- if partreg_target() and flags.FULL_REFRESH -%}
    {{ exceptions.raise_compiler_error(
         "--full-refresh would remove the other days of " ~ this ~ ", which stay ready: retire them first, then DROP TABLE") }}
  {%- elif partreg_target() and partreg_sample() -%}
    {{ exceptions.raise_compiler_error("--sample would leave a part of the rows in " ~ this ~ ", which stays ready") }}
  {%- endif -%}
  {%- if partreg_on() -%}
  {{ partreg_assert() }}
  SELECT partreg.lock_partition({{ partreg_partition() }}, holder => {{ partreg_holder() }},
                                lease => '{{ var("partreg_lease", "2 hours") }}', register => true);
  COMMIT;
  BEGIN ISOLATION LEVEL REPEATABLE READ;
  {{ partreg_assert() }}
  {%- endif -%}
{% endmacro %}

{# The day's rows of before, in the transaction of the new ones; with --empty
   there are none to take their place. #}
{% macro partreg_delete(column) %}
  {%- if execute and is_incremental() and not flags.EMPTY -%}
  DELETE FROM {{ this }} WHERE {{ column }} <@ {{ partreg_day() }}
  {%- endif -%}
{% endmacro %}

{# Commits with the rows of the model, or is refused and takes them along. #}
{% macro partreg_unlock() %}
  {%- if partreg_on() -%}
  SELECT partreg.unlock_partition({{ partreg_partition() }}, holder => {{ partreg_holder() }})
  {%- endif -%}
{% endmacro %}

{# What this invocation still holds belongs to models that failed: the next
   invocation need not wait for the lease.  And a model whose test failed was
   unlocked before its test ran: it is taken out of service. #}
{% macro partreg_end(results) %}
  {%- if partreg_on() -%}
  SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder, reason => 'dbt: the model failed')
  FROM partreg.locks WHERE holder = {{ partreg_holder() }} AND state = 'locked';
  {%- for result in results if result.node.resource_type == 'test' and result.status in ['fail', 'error'] %}
  {%- for id in result.node.depends_on.nodes if graph.nodes.get(id, {}).get('config', {}).get('meta', {}).get('partreg') %}
  {%- set p = graph.nodes[id].config.meta.partreg %}
  SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder, reason => 'dbt: test {{ result.node.name }}')
  FROM partreg.events
  WHERE source_name = '{{ p.source }}' AND provider_name = '{{ p.provider }}' AND event = 'unlock'
    AND holder = {{ partreg_holder() }};
  {%- endfor %}{% endfor %}
  {%- endif -%}
{% endmacro %}
