begin "unlock after tests"
supply 1
dbt build -s tested below --vars '{amount: 2}'
is "a failing test fails" $rc 1
is "was never ready" "$(q "SELECT count(*) FROM partreg.events WHERE source_name = 'marts.tested' AND event = 'unlock'")" 0
is "is failed" "$(state marts.tested)" failed
is "what reads it was not claimed" "$(state marts.below)" none
dbt build -s tested below
is "good rows pass" $rc 0
is "both are ready" "$(ready marts.tested) $(ready marts.below)" "t t"
dbt run -s tested
is "dbt run is refused" $rc 1
is "and leaves it ready" "$(ready marts.tested)" t
dbt build -s tested --exclude-resource-type test
is "without its tests it is not unlocked" "$(state marts.tested)" failed
