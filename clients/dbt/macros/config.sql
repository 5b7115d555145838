{# What a model says of itself, in its config:

     meta = {'partreg': {
         'source':       the source that it fills,
         'provider':     as which provider,
         'day':          a local date, and 'time_zone' (UTC), or
         'start', 'end': times with an offset; a microbatch model says neither,
         'needs':        [sources that it reads]; by default what the graph says,
         'replace':      the column by which the rows of before are deleted,
         'unlock':       after the 'model' (the default) or after its 'tests',
         'rebuild':      what becomes of the other partitions where the table
                         is built anew: 'retire' or 'keep' }}

   The holder is this invocation: dbt gives each start an invocation_id of its
   own, so a run and its retry are two holders. #}

{% macro target_is_registered() %}
  {% do return(execute and target.name in var('partreg_targets', ['prod']) and flags.WHICH in ['run', 'build', 'retry']) %}
{% endmacro %}

{# flags.SAMPLE is not set in dbt 1.12. #}
{% macro is_sample() %}{% do return(flags.SAMPLE or invocation_args_dict.get('sample')) %}{% endmacro %}

{# Does this invocation write to the registry? #}
{% macro is_on() %}
  {% do return(partreg.target_is_registered() and not flags.EMPTY and not partreg.is_sample()) %}
{% endmacro %}

{% macro holder() %}{% do return('dbt ' ~ invocation_id) %}{% endmacro %}

{% macro quoted(text) %}{% do return("'" ~ (text | string | replace("'", "''")) ~ "'") %}{% endmacro %}

{# The partreg part of a node's meta, or none. #}
{% macro meta_of(node) %}
  {% do return(((node.get('config') or {}).get('meta') or {}).get('partreg') or (node.get('meta') or {}).get('partreg')) %}
{% endmacro %}

{# A time as SQL.  Without an offset it would mean what the session's time zone
   makes of it. #}
{% macro instant(text) %}
  {% if not modules.re.search('\\d:\\d\\d(:\\d\\d(\\.\\d+)?)?\\s*(Z|[+-]\\d\\d(:?\\d\\d)?)$', text | string) %}
    {{ exceptions.raise_compiler_error('partreg: the time "' ~ text ~ '" has no offset from UTC') }}
  {% endif %}
  {% do return(partreg.quoted(text) ~ '::timestamptz') %}
{% endmacro %}

{% macro range_of(p) %}
  {% if p.get('day') %}
    {% do return('partreg.day_range(' ~ partreg.quoted(p.day) ~ ', ' ~ partreg.quoted(p.get('time_zone', 'UTC')) ~ ')') %}
  {% elif p.get('start') and p.get('end') %}
    {% do return('tstzrange(' ~ partreg.instant(p.start) ~ ', ' ~ partreg.instant(p.end) ~ ')') %}
  {% endif %}
  {{ exceptions.raise_compiler_error('partreg: source ' ~ p.source ~ ' needs a day, or a start and an end') }}
{% endmacro %}

{# The range of this model, or of this batch, as SQL; for the model's WHERE. #}
{% macro during() %}
  {% if not execute %}{% do return("'empty'::tstzrange") %}{% endif %}
  {% if model.get('batch') %}
    {% do return('tstzrange(' ~ partreg.quoted(model.batch.event_time_start.isoformat()) ~ ', '
                              ~ partreg.quoted(model.batch.event_time_end.isoformat()) ~ ')') %}
  {% endif %}
  {% do return(partreg.range_of(partreg.meta_of(model))) %}
{% endmacro %}

{# The arguments that every call for this model begins with. #}
{% macro partition() %}
  {% set p = partreg.meta_of(model) %}
  {% do return(partreg.quoted(p.source) ~ ', ' ~ partreg.quoted(p.provider) ~ ', ' ~ partreg.during()) %}
{% endmacro %}

{# The sources that have to be ready. #}
{% macro needs() %}
  {% set p = partreg.meta_of(model) %}
  {% if p.needs is defined %}{% do return(p.needs) %}{% endif %}
  {% set found = [] %}
  {% for id in model.depends_on.nodes %}
    {% set need = partreg.meta_of(graph.nodes.get(id) or graph.sources.get(id) or {}) %}
    {% if need and need.source not in found %}{% do found.append(need.source) %}{% endif %}
  {% endfor %}
  {% do return(found) %}
{% endmacro %}
