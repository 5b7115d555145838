begin "microbatch"
supply 1 2 3
dbt run -s batched --event-time-start 2024-01-01 --event-time-end 2024-01-04 --vars '{bad_day: 2}'
is "the run fails" $rc 1
is "each batch by itself" "$(state marts.batched)" unlocked,failed,unlocked
is "rows of the good ones" "$(rows batched 1) $(rows batched 2) $(rows batched 3)" "24 0 24"
dbt run -s batched --event-time-start 2024-01-02 --event-time-end 2024-01-03
is "the bad batch again" "$rc,$(state marts.batched)" 0,unlocked,unlocked,unlocked
begin "microbatch, a day not ready"
supply 1 3
dbt run -s batched --event-time-start 2024-01-01 --event-time-end 2024-01-04
is "the run fails" $rc 1
is "it is not claimed" "$(state marts.batched)" unlocked,unlocked
dbt run -s batched --event-time-start 2024-01-01 --event-time-end 2024-01-04 --full-refresh
is "--full-refresh is refused" $rc 1
is "and keeps the rows" "$(rows batched 1)" 24
