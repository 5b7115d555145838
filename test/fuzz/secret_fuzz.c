/*
 * secret_fuzz.c
 *		src/secret.c: planted secrets go, the rest stays, nothing breaks.
 *
 * Half of the inputs are noise, made of the pieces that the code looks for.  Of
 * them it is asked that masking writes stars and nothing else, within the
 * string, and that masking again changes nothing that matters: it ends, and
 * stars stay stars.
 *
 * The other half are a password, planted in one of the places where people
 * leave them, between harmless words.  Of the password nothing may be left, and
 * of the words everything.
 */
#include "postgres_fe.h"

#include <strings.h>

#include "fuzz.h"
#include "secret.h"

#define MAX_TEXT 6000

int
pg_strncasecmp(const char *s1, const char *s2, size_t n)
{
	return strncasecmp(s1, s2, n);
}

static const char *const pieces[] = {
	"password", "PASSWORD", "passwd", "=", " = ", "%3D", "%3d", "://", "%3A%2F%2F", ":",
	"/", "@", "%40", "?", "#", "&", "%26", " ", "\n", "\t", "'", "\"", "\\\"", "\\", "`", "\\/", "\\u003d", "\\u0026", ":=",
	"{", "}", ",", ";", "=>", "[::1]", "host", "a", "5432", "prs_", "prp_",
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123", "\303\244", "*"
};

static void
add(char *text, const char *piece)
{
	if (strlen(text) + strlen(piece) < MAX_TEXT)
		strcat(text, piece);
}

static bool
masked_well(const char *before, const char *after)
{
	size_t		length = strlen(before);

	if (strlen(after) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (after[i] != before[i] && after[i] != '*')
			return false;
	return true;
}

static bool
noise(void)
{
	/* Of the exact size, so that the sanitizer sees a step beyond it. */
	char		text[MAX_TEXT + 1] = "";
	char	   *exact;
	char	   *once;
	int			count = below(random_limit(300));
	bool		cut = one_in(2);
	bool		right;

	for (int i = 0; i < count; i++)
		add(text, pieces[below(lengthof(pieces))]);
	exact = strdup(text);
	secret_mask(exact, cut);
	right = masked_well(text, exact);
	once = strdup(exact);
	secret_mask(exact, cut);
	right &= masked_well(once, exact);
	free(exact);
	free(once);
	return right;
}

/* Letters and signs, of which `not` are left out */
static void
random_password(char *password, const char *not)
{
	int			length = 1 + below(20);
	int			n = 0;

	while (n < length)
	{
		char		c = (char) ('!' + below('~' - '!' + 1));

		if (c != '*' && strchr(not, c) == NULL)
			password[n++] = c;
	}
	password[n] = '\0';
}

/* A place for a password, and which characters it cannot have there */
static const struct
{
	const char *before;
	const char *after;
	const char *not;
}			places[] =
{
	{"postgresql://loader:", "@dwh.example/db", "/?#%["},
	{"redis://:", "@cache:6379", "/?#%["},
	{"https://me@corp.example:", "@host/x", "/?#%["},
	{"postgresql:\\/\\/loader:", "@h\\/db", "/?#%[\\"},
	{"?user\\u003du\\u0026password\\u003d", "\\u0026ssl\\u003dtrue", ",;&'\"`)]}>|{\\=%"},
	{"f(password := '", "', x := 1)", "'\\"},
	{"%70ostgresql%3A%2F%2Floader%3A", "%40dwh.example%2Fdb", "/?#%["},
	{"host=h password=", " dbname=d", ",;&'\"`)]}>|{\\=%"},
	{"host=h password = ", " dbname=d", ",;&'\"`)]}>|{\\=%"},
	{"host=h password='", "' dbname=d", "'\\"},
	{"Server=h;Password=", ";Database=d", ",;&'\"`)]}>|{\\=%"},
	{"Server=h;Password={", "};Database=d", "}\\"},
	{"PGPASSWORD=", " psql", ",;&'\"`)]}>|{\\=%"},
	{"jdbc:postgresql://h/db?user=u&password=", "&ssl=true", ",;&'\"`)]}>|{\\=%"},
	{"password%3D", "%26ssl%3Dtrue", ",;&'\"`)]}>|{\\=%"},
	{"{\"user\": \"u\", \"password\": \"", "\", \"ssl\": true}", "\"\\"},
	{"{'password': '", "'}", "'\\"},
	{"\\\"password\\\": \\\"", "\\\", \\\"ssl\\\": true", "\"\\"},
	{"connect(user='u', password='", "')", "'\\"},
	{"sslpassword=>'", "', x", "'\\"},
};

static bool
planted(void)
{
	int			place = below(lengthof(places));
	char		password[32];
	char		text[MAX_TEXT + 1] = "at 12:30 a@b.example failed: ";
	char		expected[MAX_TEXT + 1];
	char	   *exact;
	bool		right;

	random_password(password, places[place].not);
	strcat(text, places[place].before);
	strcpy(expected, text);
	strcat(text, password);
	memset(expected + strlen(expected), 0, sizeof(password));
	memset(expected + strlen(expected), '*', strlen(password));
	strcat(text, places[place].after);
	strcat(expected, places[place].after);
	strcat(text, " after 3:04:05, password unknown");
	strcat(expected, " after 3:04:05, password unknown");

	exact = strdup(text);
	secret_mask(exact, one_in(2));
	right = strcmp(exact, expected) == 0;
	if (!right)
		printf("%s\n%s\n", text, exact);
	free(exact);
	return right;
}

static bool
one_input(void)
{
	return one_in(2) ? noise() : planted();
}
