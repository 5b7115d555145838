begin "two threads, one fails"
supply 1
dbt run -s revenue broken --threads 2
is "the run fails" $rc 1
is "the good one is ready" "$(ready marts.revenue) $(rows revenue)" "t 24"
is "the bad one is failed" "$(state marts.broken)" failed
q "UPDATE sales.orders SET amount = 2" >/dev/null
dbt run -s broken
is "and can run at once" "$rc $(ready marts.broken)" "0 t"
dbt run -s broken --vars '{start: "2024-01-01 00:00"}'
is "a time without offset is refused" $rc 1
says "in these words" "has no offset"
