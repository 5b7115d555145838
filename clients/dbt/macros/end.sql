{# The end of an invocation.  What it still holds belongs to models that failed,
   or that wait for their tests. #}

{# The models of this invocation that are unlocked after their tests, and whose
   tests all ran and passed. #}
{% macro tested(results) %}
  {% set status = {} %}
  {% for r in results %}{% do status.update({r.node.unique_id: r.status | string}) %}{% endfor %}
  {% set good = [] %}
  {% for r in results if r.node.resource_type == 'model' and r.status == 'success' %}
    {% set p = partreg.meta_of(graph.nodes.get(r.node.unique_id, {})) %}
    {% if p and p.get('unlock') == 'tests' %}
      {% set bad = [] %}
      {% for test in graph.nodes.values() if test.resource_type == 'test' and r.node.unique_id in test.depends_on.nodes %}
        {% if status.get(test.unique_id) not in ['pass', 'warn'] %}{% do bad.append(test.name) %}{% endif %}
      {% endfor %}
      {% if not bad %}{% do good.append(p) %}{% endif %}
    {% endif %}
  {% endfor %}
  {% do return(good) %}
{% endmacro %}

{% macro fail_rest(results) %}
  {%- if partreg.is_on() -%}
  SELECT partreg.fail_partition(source_name, provider_name, during, holder => holder, reason => 'dbt: the model or a test of it failed')
    FROM partreg.locks
   WHERE holder = {{ partreg.quoted(partreg.holder()) }} AND state = 'locked'
  {%- for p in partreg.tested(results) %}
     AND (source_name, provider_name) <> ({{ partreg.quoted(p.source) }}, {{ partreg.quoted(p.provider) }})
  {%- endfor %}
  {%- endif -%}
{% endmacro %}

{# A model that has a range names it, so that a lock lost meanwhile is an error;
   of a microbatch model what is still held is unlocked. #}
{% macro unlock_tested(results) %}
  {%- if partreg.is_on() -%}
  {%- for p in partreg.tested(results) %}
  {%- if p.get('day') or p.get('start') %}
  SELECT partreg.unlock_partition({{ partreg.quoted(p.source) }}, {{ partreg.quoted(p.provider) }}, {{ partreg.range_of(p) }},
                                  holder => {{ partreg.quoted(partreg.holder()) }});
  {%- else %}
  SELECT partreg.unlock_partition(source_name, provider_name, during, holder => holder)
    FROM partreg.locks
   WHERE holder = {{ partreg.quoted(partreg.holder()) }} AND state = 'locked'
     AND source_name = {{ partreg.quoted(p.source) }} AND provider_name = {{ partreg.quoted(p.provider) }};
  {%- endif %}
  {%- endfor %}
  {%- endif -%}
{% endmacro %}
