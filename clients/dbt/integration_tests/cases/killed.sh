begin "kill -9"
supply 1
shut
"$DBT" run -s revenue >"$work/killed" 2>&1 & victim=$!
await "$held"
kill -9 $victim
wait $victim 2>/dev/null
q "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$PARTREG_ROLE'" >/dev/null
open_gate
dbt run -s revenue
is "before the end of the lease refused" $rc 1
is "nothing is ready" "$(ready marts.revenue)" f
holder=$(q "SELECT holder FROM partreg.locks WHERE source_name = 'marts.revenue'")
PGOPTIONS="-c role=$PARTREG_ROLE" q "SELECT partreg.fail_partition('marts.revenue', 'dbt', $(day 1), holder => '$holder')" >/dev/null
dbt run -s revenue
is "once failed by its holder's name it runs" "$rc $(ready marts.revenue) $(rows revenue)" "0 t 24"
