begin "a run that comes too early"
dbt run -s revenue
is "is refused" $rc 1
says "names what is missing" "sales.orders"
is "leaves no lock" "$(state marts.revenue)" none
supply 1
dbt run -s revenue
is "runs when the source is ready" $rc 0
is "is ready" "$(ready marts.revenue)" t
is "has its rows" "$(rows revenue)" 24
dbt run -s revenue
is "runs once more" "$rc $(rows revenue) $(ready marts.revenue)" "0 24 t"
dbt test -s source:sales
is "test ready passes" $rc 0
dbt test -s source:sales --vars '{day: 2024-01-02}'
is "test ready fails for another day" $rc 1
dbt source freshness
says "freshness is that of the registry" "WARN freshness"
q "INSERT INTO sales.orders SELECT 'now', 1" >/dev/null
is "freshness knows the end" "$(grep -c '"max_loaded_at": "2024-01-02T00:00:00' target/sources.json)" 1
