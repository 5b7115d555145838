// From registering to readiness with pgx.
//
//	go run . SOURCE
//
// Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
// gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
// it.  SOURCE is a name that is not registered yet; its rows go into the table
// loaded (source text, happened_at timestamptz).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	ctx                  = context.Background()
	start                = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	end                  = start.Add(time.Hour)
	source               = os.Args[1]
	connection, listener *pgx.Conn
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func connect(pastThePooler bool) *pgx.Conn {
	where := ""
	for name, env := range map[string]string{"host": "LISTEN_HOST", "port": "LISTEN_PORT"} {
		if value, set := os.LookupEnv(env); set && pastThePooler {
			where += fmt.Sprintf("%s='%s' ", name, value)
		}
	}
	config, err := pgx.ParseConfig(where)
	must(err)
	// No prepared statements: a transaction pooler does not keep them.  In this
	// mode values go as texts, so JSON has to be one already.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	made, err := pgx.ConnectConfig(ctx, config)
	must(err)
	return made
}

// call runs a statement that gives one value.
func call[T any](statement string, values ...any) (value T, err error) {
	err = connection.QueryRow(ctx, statement, values...).Scan(&value)
	return value, err
}

// refused makes a call that has to fail, and prints by what a program knows why.
func refused(what, statement string, values ...any) {
	_, err := call[any](statement, values...)
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) {
		log.Fatalf("%s: not refused: %v", what, err)
	}
	fmt.Printf("%s: %s %s\n", what, refusal.Code, refusal.ConstraintName)
	fmt.Fprintln(os.Stderr, err, refusal.Detail)
}

// catchUp prints what has come since the position, and gives the next one.  A
// consumer stores it in the transaction of what it makes of the changes.
func catchUp(position string) string {
	for {
		rows, err := listener.Query(ctx,
			"SELECT event_id, event, (details ->> 'rows')::integer, next_position"+
				" FROM partreg.changes_since($1, 1000, $2)", position, []string{source})
		must(err)
		var id *int64
		var event *string
		var loaded *int
		_, err = pgx.ForEachRow(rows, []any{&id, &event, &loaded, &position}, func() error {
			if id != nil && loaded != nil {
				fmt.Printf("feed: %s of %d rows\n", *event, *loaded)
			} else if id != nil {
				fmt.Printf("feed: %s\n", *event)
			}
			return nil
		})
		must(err)
		if rows.CommandTag().RowsAffected() == 0 || id == nil {
			return position
		}
	}
}

func main() {
	connection = connect(false)
	register := "SELECT partreg.register_source($1, 'data team')"
	sourceToken, err := call[string](register, source)
	must(err)
	token, err := call[string]("SELECT partreg.register_provider('driver', $1)", sourceToken)
	must(err)
	refused("register_source again", register, source)
	position, err := call[string]("SELECT partreg.feed_position()")
	must(err)

	// The lock is committed before the load begins: everybody sees who is at it.
	lock := "SELECT partreg.lock_partition($1, 'driver', tstzrange($2, $3), $4, $5," +
		" lease => $6, register => true)"
	lease := 5 * time.Minute
	_, err = call[bool](lock, source, start, end, token, "attempt 1", lease)
	must(err)
	refused("lock_partition by another", lock, source, start, end, token, "attempt 2", lease)
	refused("assert_ready too early",
		"SELECT partreg.assert_ready($1, tstzrange($2, $3))", source, start, end)

	// A consumer that comes later: LISTEN, then what it has missed, then wait.
	listener = connect(true)
	_, err = listener.Exec(ctx, "LISTEN partreg")
	must(err)
	position = catchUp(position)

	// Rows and unlock in one transaction: nobody sees the one without the other.
	unlock := "SELECT partreg.unlock_partition($1, 'driver', tstzrange($2, $3), $4, $5," +
		" details => $6)"
	done := []any{source, start, end, token, "attempt 1", `{"rows": 600}`}
	must(pgx.BeginFunc(ctx, connection, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx,
			"INSERT INTO loaded SELECT $1, generate_series($2, $3::timestamptz, interval '6 s')",
			source, start, end.Add(-6*time.Second))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, unlock, done...)
		return err
	}))

	// A notification is a hint to look: it may be lost, and anybody can forge one.
	patience, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if notification, err := listener.WaitForNotification(patience); err == nil {
		var news struct{ Event string }
		must(json.Unmarshal([]byte(notification.Payload), &news))
		fmt.Println("woken by", news.Event)
	}
	position = catchUp(position)

	// Check and read in one snapshot.
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	must(pgx.BeginTxFunc(ctx, connection, snapshot, func(tx pgx.Tx) error {
		ready, err := call[bool]("SELECT partreg.check_readiness($1, $2, $3)", source, start, end)
		if err != nil {
			return err
		}
		rows, err := call[int]("SELECT count(*) FROM loaded WHERE source = $1"+
			" AND happened_at >= $2 AND happened_at < $3", source, start, end)
		fmt.Printf("%s, %d rows\n", map[bool]string{true: "ready", false: "not ready"}[ready], rows)
		return err
	}))

	// The load sent again, as after a COMMIT whose answer was lost: it rolls back.
	refused("unlock_partition sent again", unlock, done...)
	last := map[bool]string{true: "1", false: "0"}[token[len(token)-1] == '0']
	refused("wrong token", unlock, source, start, end, token[:len(token)-1]+last, "attempt 1", nil)
	must(listener.Close(ctx))
	must(connection.Close(ctx))
}
