begin "two invocations at once"
supply 1
shut
timeout 90 "$DBT" run -s revenue --target-path "$work/first" --log-path "$work/first" >"$work/first.out" 2>&1 & first=$!
await "$held"
dbt run -s revenue
is "the second is refused" $rc 1
says "it says so" "is locked by another holder"
is "the first still holds it" "$(q "$held")" t
open_gate
wait $first
is "the first succeeds" $? 0
is "rows of one" "$(rows revenue) $(ready marts.revenue)" "24 t"
