{# A generic test: is a source of the registry ready for a day, or from start to
   end?  Its failing rows are the obstacles. #}
{% test ready(model, source, day=none, time_zone='UTC', start=none, end=none) %}
SELECT * FROM partreg.explain_readiness({{ partreg.quoted(source) }},
    {{ partreg.range_of({'source': source, 'day': day, 'time_zone': time_zone, 'start': start, 'end': end}) }})
{% endtest %}
