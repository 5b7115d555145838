/*
 * From registering to readiness with pgjdbc.
 *
 *     java -cp postgresql.jar Walk.java SOURCE
 *
 * Where to connect comes from PGHOST, PGPORT and the like, which the driver
 * itself does not read.  Behind a pooler that gives a connection for one
 * transaction, LISTEN_HOST and LISTEN_PORT lead past it.  SOURCE is a name that
 * is not registered yet; its rows go into the table
 * loaded (source text, happened_at timestamptz).
 */

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;

public class Walk {
    static final OffsetDateTime START = OffsetDateTime.parse("2024-01-01T00:00:00Z");
    static final OffsetDateTime END = START.plusHours(1);
    static String source;
    static Connection connection, listener;

    static String env(String name, String otherwise) {
        String value = System.getenv(name);
        return value != null ? value : otherwise;
    }

    static Connection connect(String host, String port) throws SQLException {
        Properties properties = new Properties();
        properties.put("user", env("PGUSER", System.getProperty("user.name")));
        properties.put("password", env("PGPASSWORD", ""));
        // No prepared statements: a transaction pooler does not keep them.
        properties.put("prepareThreshold", "0");
        return DriverManager.getConnection(
            "jdbc:postgresql://" + host + ":" + port + "/" + env("PGDATABASE", ""), properties);
    }

    static PreparedStatement prepare(Connection on, String statement, Object... values)
            throws SQLException {
        PreparedStatement prepared = on.prepareStatement(statement);
        for (int i = 0; i < values.length; i++)
            prepared.setObject(i + 1, values[i]);
        return prepared;
    }

    /** Run a statement and give its value as a text. */
    static String call(String statement, Object... values) throws SQLException {
        try (PreparedStatement prepared = prepare(connection, statement, values);
                ResultSet result = prepared.executeQuery()) {
            result.next();
            return result.getString(1);
        }
    }

    /** Make a call that has to fail, and print by what a program knows why. */
    static void refused(String what, String statement, Object... values) throws SQLException {
        try {
            call(statement, values);
        } catch (PSQLException error) {
            System.out.println(what + ": " + error.getSQLState() + " "
                + error.getServerErrorMessage().getConstraint());
            System.err.println(error.getMessage());
            return;
        }
        throw new IllegalStateException(what + ": not refused");
    }

    /**
     * Print what has come since the position, and give the next one.  A consumer
     * stores it in the transaction of what it makes of the changes.
     */
    static String catchUp(String position) throws SQLException {
        while (true) {
            boolean more = false;
            try (PreparedStatement prepared = prepare(listener,
                    "SELECT event_id, event, details ->> 'rows', next_position"
                    + " FROM partreg.changes_since(?, 1000, ARRAY[?])", position, source);
                    ResultSet change = prepared.executeQuery()) {
                while (change.next()) {
                    position = change.getString(4);
                    more = change.getString(1) != null;
                    if (more)
                        System.out.println("feed: " + change.getString(2)
                            + (change.getString(3) != null
                                ? " of " + change.getString(3) + " rows" : ""));
                }
            }
            if (!more)
                return position;
        }
    }

    public static void main(String[] arguments) throws Exception {
        source = arguments[0];
        connection = connect(env("PGHOST", "localhost"), env("PGPORT", "5432"));
        String register = "SELECT partreg.register_source(?, 'data team')";
        String sourceToken = call(register, source);
        String token = call("SELECT partreg.register_provider('driver', ?)", sourceToken);
        refused("register_source again", register, source);
        String position = call("SELECT partreg.feed_position()");

        // The lock is committed before the load begins: everybody sees who is at it.
        String lock = "SELECT partreg.lock_partition(?, 'driver', tstzrange(?, ?), ?, ?,"
            + " lease => ?::interval, register => true)";
        call(lock, source, START, END, token, "attempt 1", "5 minutes");
        refused("lock_partition by another", lock, source, START, END, token, "attempt 2", "5 minutes");
        refused("assert_ready too early",
            "SELECT partreg.assert_ready(?, tstzrange(?, ?))", source, START, END);

        // A consumer that comes later: LISTEN, then what it has missed, then wait.
        listener = connect(env("LISTEN_HOST", env("PGHOST", "localhost")),
            env("LISTEN_PORT", env("PGPORT", "5432")));
        try (Statement statement = listener.createStatement()) {
            statement.execute("LISTEN partreg");
        }
        position = catchUp(position);

        // Rows and unlock in one transaction: nobody sees the one without the other.
        String unlock = "SELECT partreg.unlock_partition(?, 'driver', tstzrange(?, ?), ?, ?,"
            + " details => ?::jsonb)";
        Object[] done = {source, START, END, token, "attempt 1", "{\"rows\": 600}"};
        connection.setAutoCommit(false);
        try (PreparedStatement insert = prepare(connection,
                "INSERT INTO loaded SELECT ?, generate_series(?, ?, interval '6 s')",
                source, START, END.minusSeconds(6))) {
            insert.executeUpdate();
        }
        call(unlock, done);
        connection.commit();

        // A notification is a hint to look: it may be lost, and anybody can forge one.
        PGNotification[] news = listener.unwrap(PGConnection.class).getNotifications(10000);
        if (news != null && news.length > 0)
            System.out.println("woken by "
                + news[0].getParameter().replaceAll(".*\"event\": *\"([a-z_]*)\".*", "$1"));
        position = catchUp(position);

        // Check and read in one snapshot.  Not by setTransactionIsolation(): it stays
        // behind in a pooler's connection.
        try (Statement statement = connection.createStatement()) {
            statement.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        }
        String ready = call("SELECT partreg.check_readiness(?, ?, ?)", source, START, END);
        String rows = call("SELECT count(*) FROM loaded WHERE source = ?"
            + " AND happened_at >= ? AND happened_at < ?", source, START, END);
        connection.commit();
        System.out.println((ready.equals("t") ? "ready, " : "not ready, ") + rows + " rows");
        connection.setAutoCommit(true);

        // The load sent again, as after a COMMIT whose answer was lost: it rolls back.
        refused("unlock_partition sent again", unlock, done);
        String wrong = token.substring(0, token.length() - 1) + (token.endsWith("0") ? "1" : "0");
        refused("wrong token", unlock, source, START, END, wrong, "attempt 1", null);
        listener.close();
        connection.close();
    }
}
