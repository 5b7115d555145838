begin "the lease runs out"
supply 1
dbt run -s revenue
is "a first run" "$rc $(rows revenue)" "0 24"
shut
"$DBT" run -s revenue --vars '{"partreg_lease": "1 second"}' --target-path "$work/slow" --log-path "$work/slow" >"$work/slow.out" 2>&1 & slow=$!
await "$held"
first=$(q "SELECT holder FROM partreg.locks")
sleep 1.5
timeout 90 "$DBT" run -s revenue --target-path "$work/second" --log-path "$work/second" >"$work/second.out" 2>&1 & second=$!
await "SELECT holder <> '$first' FROM partreg.locks"
open_gate
wait $slow
is "the slow one is refused at its unlock" $? 1
out=$(cat "$work/slow.out")
says "it says so" "could not serialize access"
wait $second
is "the other one succeeds" $? 0
is "rows of one" "$(rows revenue) $(ready marts.revenue)" "24 t"
