// From registering to readiness with node-postgres.
//
//     node walk.js SOURCE     (npm install)
//
// Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
// gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
// it.  SOURCE is a name that is not registered yet; its rows go into the table
// loaded (source text, happened_at timestamptz).

import pg from "pg";

const source = process.argv[2];
// A Date has milliseconds; what has microseconds goes as a text with its offset.
const start = "2024-01-01T00:00:00Z";
const end = "2024-01-01T01:00:00Z";

async function connect(where = {}) {
  const client = new pg.Client(where);
  await client.connect();
  return client;
}

// Run a statement and give its value.  Statements without a name: a transaction
// pooler does not keep prepared ones.
async function call(statement, values) {
  const { rows } = await connection.query({ text: statement, values, rowMode: "array" });
  return rows[0][0];
}

// Make a call that has to fail, and print by what a program knows why.
async function refused(what, statement, values) {
  try {
    await call(statement, values);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    console.log(`${what}: ${error.code} ${error.constraint}`);
    console.error(error.message, error.detail);
    return;
  }
  throw new Error(`${what}: not refused`);
}

// Print what has come since the position, and give the next one.  A consumer
// stores it in the transaction of what it makes of the changes.
async function catchUp(position) {
  for (;;) {
    const { rows: changes } = await listener.query(
      "SELECT event_id, event, details ->> 'rows' AS rows, next_position" +
        " FROM partreg.changes_since($1, 1000, $2)",
      [position, [source]],
    );
    for (const { event_id, event, rows, next_position } of changes) {
      position = next_position;
      if (event_id !== null) console.log(`feed: ${event}` + (rows ? ` of ${rows} rows` : ""));
    }
    if (changes.length === 0 || changes.at(-1).event_id === null) return position;
  }
}

const connection = await connect();
const register = "SELECT partreg.register_source($1, 'data team')";
const sourceToken = await call(register, [source]);
const token = await call("SELECT partreg.register_provider('driver', $1)", [sourceToken]);
await refused("register_source again", register, [source]);
let position = await call("SELECT partreg.feed_position()");

// The lock is committed before the load begins: everybody sees who is at it.
const lock =
  "SELECT partreg.lock_partition($1, 'driver', tstzrange($2, $3), $4, $5," +
  " lease => $6, register => true)";
await call(lock, [source, start, end, token, "attempt 1", "5 minutes"]);
await refused("lock_partition by another", lock, [source, start, end, token, "attempt 2", "5 minutes"]);
await refused("assert_ready too early", "SELECT partreg.assert_ready($1, tstzrange($2, $3))", [source, start, end]);

// A consumer that comes later: LISTEN, then what it has missed, then wait.
const listener = await connect({ host: process.env.LISTEN_HOST, port: process.env.LISTEN_PORT });
const woken = new Promise((resolve) => listener.once("notification", resolve));
await listener.query("LISTEN partreg");
position = await catchUp(position);

// Rows and unlock in one transaction: nobody sees the one without the other.
const unlock =
  "SELECT partreg.unlock_partition($1, 'driver', tstzrange($2, $3), $4, $5, details => $6)";
const done = [source, start, end, token, "attempt 1", { rows: 600 }];
await connection.query("BEGIN");
try {
  await connection.query(
    "INSERT INTO loaded SELECT $1, generate_series($2, $3::timestamptz - interval '6 s', interval '6 s')",
    [source, start, end],
  );
  await connection.query(unlock, done);
  await connection.query("COMMIT");
} catch (error) {
  await connection.query("ROLLBACK");
  throw error;
}

// A notification is a hint to look: it may be lost, and anybody can forge one.
const patience = setTimeout(() => listener.emit("notification", {}), 10000);
const { payload } = await woken;
clearTimeout(patience);
if (payload) console.log("woken by", JSON.parse(payload).event);
position = await catchUp(position);

// Check and read in one snapshot.
await connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
const ready = await call("SELECT partreg.check_readiness($1, $2, $3)", [source, start, end]);
const rows = await call(
  "SELECT count(*) FROM loaded WHERE source = $1 AND happened_at >= $2 AND happened_at < $3",
  [source, start, end],
);
await connection.query("COMMIT");
console.log(`${ready ? "ready" : "not ready"}, ${rows} rows`);

// The load sent again, as after a COMMIT whose answer was lost: it rolls back.
await refused("unlock_partition sent again", unlock, done);
const wrong = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
await refused("wrong token", unlock, [source, start, end, wrong, "attempt 1", null]);
await listener.end();
await connection.end();
