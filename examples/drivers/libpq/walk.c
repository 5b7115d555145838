/*
 * From registering to readiness with libpq.
 *
 *     cc -o walk walk.c -I$(pg_config --includedir) -lpq && ./walk SOURCE
 *
 * Where to connect comes from PGHOST, PGPORT and the like.  Behind a pooler that
 * gives a connection for one transaction, LISTEN_HOST and LISTEN_PORT lead past
 * it.  SOURCE is a name that is not registered yet; its rows go into the table
 * loaded (source text, happened_at timestamptz).
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#define START "2024-01-01T00:00:00Z"
#define END "2024-01-01T01:00:00Z"

static const char *source;
static PGconn *connection, *listener;

/* Connect; NULL stands for what the environment says. */
static PGconn *
connect_to(const char *host, const char *port)
{
	const char *names[] = {"host", "port", NULL};
	const char *values[] = {host, port, NULL};
	PGconn	   *made = PQconnectdbParams(names, values, 0);

	if (PQstatus(made) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(made));
		exit(1);
	}
	return made;
}

/* Run a statement whose values go beside it, and end where it fails. */
static PGresult *
run(PGconn *on, const char *statement, int nvalues, const char *const *values)
{
	PGresult   *result = PQexecParams(on, statement, nvalues, NULL, values, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		fprintf(stderr, "%s", PQresultErrorMessage(result));
		exit(1);
	}
	return result;
}

/* The same where the result does not matter. */
static void
execute(PGconn *on, const char *statement, int nvalues, const char *const *values)
{
	PQclear(run(on, statement, nvalues, values));
}

/* The same for one value, which the caller frees. */
static char *
call(const char *statement, int nvalues, const char *const *values)
{
	PGresult   *result = run(connection, statement, nvalues, values);
	char	   *value = strdup(PQgetvalue(result, 0, 0));

	PQclear(result);
	return value;
}

/* Make a call that has to fail, and print by what a program knows why. */
static void
refused(const char *what, const char *statement, int nvalues, const char *const *values)
{
	PGresult   *result = PQexecParams(connection, statement, nvalues, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_FATAL_ERROR ||
		PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME) == NULL)
	{
		fprintf(stderr, "%s: not refused: %s\n", what, PQresultErrorMessage(result));
		exit(1);
	}
	printf("%s: %s %s\n", what, PQresultErrorField(result, PG_DIAG_SQLSTATE),
		   PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
	fprintf(stderr, "%s", PQresultErrorMessage(result));
	PQclear(result);
}

/*
 * Print what has come since the position, and give the next one; frees the old
 * one.  A consumer stores it in the transaction of what it makes of the changes.
 */
static char *
catch_up(char *position)
{
	for (;;)
	{
		const char *values[] = {position, source};
		PGresult   *changes = run(listener,
								  "SELECT event_id, event, details ->> 'rows', next_position"
								  " FROM partreg.changes_since($1, 1000, ARRAY[$2])", 2, values);
		int			n = PQntuples(changes);
		int			more = n > 0 && !PQgetisnull(changes, n - 1, 0);

		for (int i = 0; i < n; i++)
		{
			if (PQgetisnull(changes, i, 0))
				continue;
			printf("feed: %s", PQgetvalue(changes, i, 1));
			if (!PQgetisnull(changes, i, 2))
				printf(" of %s rows", PQgetvalue(changes, i, 2));
			printf("\n");
		}
		if (n > 0)
		{
			free(position);
			position = strdup(PQgetvalue(changes, n - 1, 3));
		}
		PQclear(changes);
		if (!more)
			return position;
	}
}

/* Wait for a notification, ten seconds at most; the caller frees it. */
static PGnotify *
next_notification(void)
{
	PGnotify   *news;

	while ((news = PQnotifies(listener)) == NULL)
	{
		struct pollfd socket = {PQsocket(listener), POLLIN, 0};

		if (poll(&socket, 1, 10000) <= 0 || !PQconsumeInput(listener))
			return NULL;
	}
	return news;
}

int
main(int argc, char **argv)
{
	const char *register_source = "SELECT partreg.register_source($1, 'data team')";
	const char *lock = "SELECT partreg.lock_partition($1, 'driver', tstzrange($2, $3), $4, $5,"
		" lease => $6, register => true)";
	const char *unlock = "SELECT partreg.unlock_partition($1, 'driver', tstzrange($2, $3), $4, $5,"
		" details => $6)";
	char	   *source_token, *token, *position, *ready, *rows;
	PGnotify   *news;

	if (argc != 2)
		return 2;
	source = argv[1];
	connection = connect_to(NULL, NULL);
	source_token = call(register_source, 1, &source);
	token = call("SELECT partreg.register_provider('driver', $1)", 1,
				 (const char *[]) {source_token});
	refused("register_source again", register_source, 1, &source);
	position = call("SELECT partreg.feed_position()", 0, NULL);

	/* The lock is committed before the load begins: everybody sees who is at it. */
	execute(connection, lock, 6,
			(const char *[]) {source, START, END, token, "attempt 1", "5 minutes"});
	refused("lock_partition by another", lock, 6,
			(const char *[]) {source, START, END, token, "attempt 2", "5 minutes"});
	refused("assert_ready too early", "SELECT partreg.assert_ready($1, tstzrange($2, $3))", 3,
			(const char *[]) {source, START, END});

	/* A consumer that comes later: LISTEN, then what it has missed, then wait. */
	listener = connect_to(getenv("LISTEN_HOST"), getenv("LISTEN_PORT"));
	execute(listener, "LISTEN partreg", 0, NULL);
	position = catch_up(position);

	/*
	 * Rows and unlock in one transaction: nobody sees the one without the other.
	 * Where one of them fails, the program ends and the server rolls back.
	 */
	execute(connection, "BEGIN", 0, NULL);
	execute(connection,
			"INSERT INTO loaded SELECT $1,"
			" generate_series($2, $3::timestamptz - interval '6 s', interval '6 s')", 3,
			(const char *[]) {source, START, END});
	execute(connection, unlock, 6,
			(const char *[]) {source, START, END, token, "attempt 1", "{\"rows\": 600}"});
	execute(connection, "COMMIT", 0, NULL);

	/* A notification is a hint to look: it may be lost, and anybody can forge one. */
	if ((news = next_notification()) != NULL)
	{
		char		event[20] = "";
		char	   *field = strstr(news->extra, "\"event\":\"");

		if (field != NULL)
			sscanf(field, "\"event\":\"%19[a-z_]", event);
		printf("woken by %s\n", event);
		PQfreemem(news);
	}
	position = catch_up(position);

	/* Check and read in one snapshot. */
	execute(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", 0, NULL);
	ready = call("SELECT partreg.check_readiness($1, $2, $3)", 3,
				 (const char *[]) {source, START, END});
	rows = call("SELECT count(*) FROM loaded"
				" WHERE source = $1 AND happened_at >= $2 AND happened_at < $3", 3,
				(const char *[]) {source, START, END});
	execute(connection, "COMMIT", 0, NULL);
	printf("%s, %s rows\n", strcmp(ready, "t") == 0 ? "ready" : "not ready", rows);

	/* The load sent again, as after a COMMIT whose answer was lost: it rolls back. */
	refused("unlock_partition sent again", unlock, 6,
			(const char *[]) {source, START, END, token, "attempt 1", "{\"rows\": 600}"});
	token[strlen(token) - 1] ^= 1;
	refused("wrong token", unlock, 6,
			(const char *[]) {source, START, END, token, "attempt 1", NULL});

	free(source_token);
	free(token);
	free(position);
	free(ready);
	free(rows);
	PQfinish(listener);
	PQfinish(connection);
	return 0;
}
