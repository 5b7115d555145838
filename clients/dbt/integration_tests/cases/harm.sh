begin "--empty"
supply 1 2
dbt run -s revenue --empty
is "on no table: refused or nothing said" "$(ready marts.revenue) $(state marts.revenue)" "f none"
dbt run -s revenue
dbt run -s revenue --empty
is "leaves a ready day alone" "$(ready marts.revenue) $(rows revenue)" "t 24"
dbt run -s revenue --empty --full-refresh
is "with --full-refresh refused" "$rc $(ready marts.revenue) $(rows revenue)" "1 t 24"
dbt run -s revenue --sample '1 day'
is "--sample refused" "$rc $(ready marts.revenue) $(rows revenue)" "1 t 24"
at="--full-refresh"
dbt run -s revenue --vars '{day: 2024-01-02}'
dbt run -s revenue --vars '{day: 2024-01-02}' --full-refresh
is "refused without a word" "$rc $(ready marts.revenue) $(rows revenue)" "1 t 24"
dbt run -s revenue --vars '{day: 2024-01-02, rebuild: retire}' --full-refresh
is "retire: the other day is not ready" "$rc $(ready marts.revenue 1) $(ready marts.revenue 2) $(rows revenue 1)" "0 f t 0"
at="elsewhere"
dbt run -s other
is "another model claims nothing" "$rc $(state marts.revenue)" "0 unlocked"
events=$(q "SELECT count(*) FROM partreg.events")
dbt run -s revenue broken --target dev
dbt compile
dbt test -s tested
is "dev, compile and test write nothing" "$(q "SELECT count(*) FROM partreg.events")" "$events"
