"""What partition_registry costs: the figures of scripts/bench.

Each figure is a ratio.  What is measured and its baseline take turns in short
slices (A B A B ...), so that whatever else the machine does meets both; the
ratio of a round is that of neighbours, and the figure is the median of the
rounds, with their minimum and maximum as the spread.  Speeds are transactions
a second of one pgbench client, unless said otherwise; times are those that a
client sees.

Data go in through the public functions.  Reads are done by a role that may
read, and writes by one that may write, both granted by grant_privileges();
neither is a superuser, who has the loops in the server alone.  Baselines are
written as one would without the extension, with the best index there is for
them, and are planned once where they are prepared.

    bench.py FOLDER [--quick]

writes its table to standard output and, with pictures, to FOLDER.
"""

import datetime
import math
import os
import re
import statistics
import subprocess
import sys
import threading
import time

import psycopg2

# What each figure that has one is to reach, by the name that the calls below
# give it: a speed of at least so many times the baseline's, or a cost of at
# most so many times; bytes are bytes.
GOALS = {
    # Reading
    "prepared check": (">=", 0.95),
    "check": (">=", 0.85),
    "first check": (">=", 0.95),
    "check, more partitions": ("<=", 1.2),
    "check, wider": ("<=", 1.1),
    "check, by a client": (">=", 10),
    "check, in a loop": (">=", 10),
    "check, long": (">=", 1_000),
    "check, any of 3": (">=", 0.9),
    "check, any of 10": (">=", 0.75),
    "check, any of 100": (">=", 0.3),
    "check, all of 3": (">=", 0.9),
    "check, all of 10": (">=", 0.75),
    "check, all of 100": (">=", 0.5),
    "check, locks elsewhere": (">=", 0.8),
    "check, old transaction": (">=", 0.5),
    "check, worn": ("<=", 1.2),
    # Writing
    "lock": (">=", 0.8),
    "unlock": (">=", 0.8),
    "writers of one source": (">=", 0.8),
    "writers, a ninth": (">=", 0.9),
    "writers, notifying": (">=", 0.9),
    "8 writers": (">=", 4.9),
    "unlock, old transaction": (">=", 0.8),
    "register many": ("<=", 1.5),
    "unlock many": ("<=", 1.2),
    "retire many": ("<=", 2),
    "retire in one transaction": ("<=", 5),
    # History, lateness, waiting; times are seconds
    "changed": ("<=", 0.001),
    "history": ("<=", 0.001),
    "stats": ("<=", 0.2),
    "index of changes": ("<=", 1.25),
    "writers, waited for": (">=", 0.9),
    # Others
    "coalesce": (">=", 5),
    "bytes in bulk": ("<=", 135),
    "bytes day by day": ("<=", 140),
}

FOLDER = sys.argv[1]
QUICK = "--quick" in sys.argv[2:]

# Sources of 10,000 hourly partitions, minutes of another source, for each of
# the databases that show the growth; the last one is the one to measure in.
SIZES = ([(1, 1_000), (10, 50_000)] if QUICK else
         [(1, 1_000), (10, 10_000), (100, 100_000), (1_000, 1_000_000)])
HOURS = 10_000
ROUNDS = 3 if QUICK else 7
SLICE = 0.2 if QUICK else 1.0           # seconds
BULK = 50_000 if QUICK else 1_000_000
BULK_ROUNDS = 1 if QUICK else 3
RETIRED = 100_000
RETIRE_ROUNDS = 2 if QUICK else 5
RANGES = 100_000 if QUICK else 1_000_000
WRITES = 100 if QUICK else 500         # transactions of a client in a slice
WRITE_ROUNDS = 3 if QUICK else 5
MANY_WRITES = 50 if QUICK else 250     # the same of a client among many
NEW_PARTITIONS = 500 if QUICK else 6_000
CHANGED = 500 if QUICK else 5_000      # partitions, each with two events
OUTSTANDING = 500 if QUICK else 10_000 # sources, each with something late
WAITING = 20 if QUICK else 200         # sessions
OLD_SNAPSHOT_ROUNDS = 1 if QUICK else 2
CYCLES = 4_000 if QUICK else 200_000
CYCLERS = 32
DAILY_SOURCES, DAILY_DAYS = (4, 50) if QUICK else (10, 250)
PROVIDERS = (3, 10, 100)

START = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)
DAY = 24 * HOUR
MINUTE = HOUR / 60

# Who holds a partition, as the recipes name it: host, process, attempt
HOLDER = "host-17/4711/9f3c21"

BEGAN = time.monotonic()
figures = []
lines = []


def say(text):
    print("%5.0f s  %s" % (time.monotonic() - BEGAN, text))


def out(text=""):
    print(text)
    lines.append(text)


# --------------------------------------------------------------------------
# Server and client

def connect(database, isolation=None, user="postgres"):
    connection = psycopg2.connect(dbname=database, user=user)
    if isolation:
        connection.set_session(isolation_level=isolation)
    else:
        connection.autocommit = True
    return connection


def run(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else None


def value(connection, sql, *values):
    return run(connection, sql, *values)[0][0]


def seconds(connection, sql, *values):
    began = time.perf_counter()
    run(connection, sql, *values)
    return time.perf_counter() - began


def during(start, end):
    return "[%s,%s)" % (start.isoformat(" "), end.isoformat(" "))


class Load:
    """What pgbench is to do: its rate() is transactions a second.

    One client and its server process take turns, so they share a core here.
    On two, each round trip would wake an idle core twice, which in a virtual
    machine takes several times as long as the round trip.
    """

    number = 0
    postmaster = None
    all_cores = os.sched_getaffinity(0)

    @staticmethod
    def find_postmaster():
        connection = connect("postgres")
        with open(value(connection, "SHOW data_directory") + "/postmaster.pid") as file:
            Load.postmaster = int(file.readline())
        connection.close()

    def __init__(self, database, sql, user="bench_reader", mode="prepared",
                 clients=1, options=(), **variables):
        Load.number += 1
        self.file = "%s/load%d.sql" % (FOLDER, Load.number)
        with open(self.file, "w") as file:
            file.write(sql + "\n")
        self.command = ["pgbench", "--no-vacuum", "--protocol=" + mode, "--username=" + user,
                        "--client=%d" % clients, "--jobs=%d" % min(clients, 2),
                        "--file=" + self.file, *options]
        self.database = database
        self.cores = {min(Load.all_cores)} if clients == 1 else Load.all_cores
        # The simple protocol puts the value itself into the statement.
        self.variables = {name: "'%s'" % it if mode == "simple" else it
                          for name, it in variables.items()}
        self.transactions = None

    def rate(self, transactions=None, **variables):
        """Without a number of transactions: for about a slice."""
        if transactions is None:
            if self.transactions is None:
                self.calibrate()
            transactions = self.transactions
        arguments = ["--define=%s=%s" % item for item in {**self.variables, **variables}.items()]
        for process in (0, Load.postmaster):
            os.sched_setaffinity(process, self.cores)
        result = subprocess.run([*self.command, *arguments, "--transactions=%d" % transactions,
                                 self.database], capture_output=True, text=True)
        for process in (0, Load.postmaster):
            os.sched_setaffinity(process, Load.all_cores)
        # The rate without the time to connect, but with it under --connect.
        rate = re.search(r"^tps = ([0-9.]+)", result.stdout, re.M)
        done = re.search(r"^number of failed transactions: ([0-9]+)", result.stdout, re.M)
        if result.returncode != 0 or not rate or (done and done.group(1) != "0"):
            sys.exit("pgbench failed: %s%s" % (result.stdout, result.stderr))
        return float(rate.group(1))

    def calibrate(self):
        transactions, wanted = 0, 4
        while transactions < wanted / 2:
            transactions = min(wanted, 20 * max(transactions, 1))
            wanted = int(self.rate(transactions) * SLICE) + 1
        self.transactions = wanted


class Loop:
    """A statement about a day of any source, in a loop in the server: without the round trips of Load."""

    number = 0

    def __init__(self, database, sources, sql):
        Loop.number += 1
        self.sql = "SELECT bench_loop%d(%%s, %%s)" % Loop.number
        self.connection = connect(database)
        run(self.connection, "SET plan_cache_mode = force_generic_plan")
        run(self.connection,
            "CREATE FUNCTION bench_loop%d(rounds integer, the_during tstzrange) RETURNS void"
            "    LANGUAGE plpgsql STABLE AS $$"
            "DECLARE the_source integer; answer boolean; "
            "BEGIN"
            "    FOR i IN 1 .. rounds LOOP"
            "        the_source := 1 + mod(i, %d);"
            "        %s"
            "        IF answer IS NOT TRUE THEN RAISE 'not ready'; END IF;"
            "    END LOOP;"
            "END $$" % (Loop.number, sources,
                        re.sub(r":(source|during)\b", r"the_\1", sql).replace("SELECT ", "SELECT INTO answer ", 1)))
        self.rounds = int(SLICE / self.seconds(1000) * 1000)

    def seconds(self, rounds):
        return seconds(self.connection, self.sql, rounds, A_DAY)

    def rate(self):
        return self.rounds / self.seconds(self.rounds)


# --------------------------------------------------------------------------
# Figures

def show(rate):
    return "%s/s" % format(rate, ",.0f" if rate >= 100 else ".3g")


def show_time(spent):
    return "%.3g s" % spent


def figure(name, baseline, pairs, goal=None, shown=show):
    """Note a figure: pairs of (baseline, measured), one a round.

    Given are rates, or times with shown=show_time.  The ratio is that of the
    speeds, or where the goal is an upper limit that of what it costs; the goal
    is a name in GOALS, and None where the figure is only reported.
    """
    sign, limit = GOALS[goal] if goal else ("", None)
    cost = sign == "<="
    inverse = cost != (shown is show_time)
    ratios = [base / it if inverse else it / base for base, it in pairs]
    ratio = statistics.median(ratios)
    met = "reported" if goal is None else \
        "met" if (ratio <= limit if cost else ratio >= limit) else "NOT MET"
    row = (name,
           "%s: %s" % (baseline, shown(statistics.median(base for base, _ in pairs))),
           shown(statistics.median(it for _, it in pairs)),
           "%.3g" % ratio, "%.3g-%.3g" % (min(ratios), max(ratios)),
           "" if goal is None else "%s %g" % (sign, limit), met)
    figures.append(row)
    say("%s: %s (%s), %s" % (name, row[3], row[4], met))


def compare(name, baseline, base, it, goal=None):
    figure(name, baseline, [(base.rate(), it.rate()) for _ in range(ROUNDS)], goal)


def state(name, told, goal, met):
    """Note a figure that is no ratio; met None: it is only reported."""
    figures.append((name, "", told, "", "", goal,
                    "reported" if met is None else "met" if met else "NOT MET"))
    say("%s: %s, %s" % (name, told, figures[-1][-1]))


# --------------------------------------------------------------------------
# Data

def create_database(name):
    connection = connect("postgres")
    run(connection, "CREATE DATABASE %s TEMPLATE bench_template" % name)
    connection.close()


def create_template():
    connection = connect("postgres")
    run(connection, "CREATE ROLE bench_reader LOGIN; CREATE ROLE bench_writer LOGIN;"
                    "CREATE ROLE bench_notifier LOGIN IN ROLE bench_writer")
    run(connection, "CREATE DATABASE bench_template")
    connection.close()
    connection = connect("bench_template")
    run(connection, "SET client_min_messages = warning;"
                    "CREATE EXTENSION partition_registry CASCADE; CREATE EXTENSION btree_gist;"
                    "SELECT partreg.grant_privileges('bench_reader', 'reader'),"
                    "       partreg.grant_privileges('bench_writer', 'writer'),"
                    "       partreg.grant_privileges('bench_notifier', 'writer');"
                    # A prepared statement is to be planned once.
                    "ALTER ROLE bench_reader SET plan_cache_mode = force_generic_plan;"
                    "ALTER ROLE bench_writer SET partreg.notify = off;"
                    "ALTER ROLE bench_notifier SET partreg.notify = 'all';"
                    "CREATE FUNCTION bench_null(text, tstzrange) RETURNS boolean"
                    "    LANGUAGE c STABLE PARALLEL SAFE AS 'bench_null'")
    connection.close()


def register(connection, source, provider="p", token=None, rule="any"):
    """A provider, of a new source unless its token is given; returns the source's token."""
    if token is None:
        token = value(connection, "SELECT partreg.register_source(%s, 'bench', %s)", source, rule)
    run(connection, "SELECT partreg.register_provider(%s, %s, 'bench_writer')", provider, token)
    return token


def supply(connection, source, provider, token, count, step, start=START, unlock=True):
    """So many partitions in a row."""
    whole = during(start, start + count * step)
    run(connection, "SELECT partreg.register_partitions(%s, %s, %s, %s, %s)",
        source, provider, whole, step, token)
    if unlock:
        # With the source's token a holder need not have locked before.
        run(connection, "SELECT partreg.unlock_partitions(%s, %s, %s, %s, %s)",
            source, provider, whole, token, HOLDER)


def load(database, sources, minutes):
    """Sources "1", "2", ... of hours and a source "minutes"."""
    def part(numbers):
        connection = connect(database)
        for number in numbers:
            supply(connection, str(number), "p", register(connection, str(number)), HOURS, HOUR)
        connection.close()

    threads = [threading.Thread(target=part, args=(range(first, sources + 1, 2),))
               for first in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection = connect(database)
    supply(connection, "minutes", "p", register(connection, "minutes"), minutes, MINUTE)
    if value(connection, "SELECT count(*) FROM partreg.sources"
                         " WHERE partreg.check_readiness(source_name, %s)",
             during(START, START + 1_000 * MINUTE)) != sources + 1:
        sys.exit("the data were not loaded")
    connection.close()


STATE_TABLES = ("source", "provider", "pending", "partition", "lock", "coverage")


def state_size(connection, size="pg_total_relation_size"):
    """Bytes of all tables but the history."""
    return sum(value(connection, "SELECT %s(%%s)" % size, "partreg." + table)
               for table in STATE_TABLES)


def await_autovacuum(connection):
    """Until it has dealt with what was unlocked, for a few of its rounds at most."""
    for _ in range(20):
        run(connection, "SELECT pg_stat_clear_snapshot()")
        if value(connection, "SELECT max(n_dead_tup) FROM pg_stat_user_tables"
                             " WHERE schemaname = 'partreg' AND relname IN ('pending', 'lock')") < 100:
            return
        time.sleep(1)


def measure_bytes(database, how, goal):
    """As autovacuum left it; partitions that were never unlocked count as well."""
    connection = connect(database)
    await_autovacuum(connection)
    outstanding, unlocked = (value(connection, "SELECT count(*) FROM partreg." + table)
                             for table in ("pending", "partition"))
    partitions = outstanding + unlocked
    tables = state_size(connection, "pg_table_size") / partitions
    total = state_size(connection) / partitions
    connection.close()
    sign, limit = GOALS[goal]
    # So few as the quick form has are lost among pages that are not full.
    state("bytes on disk for each partition, %s unlocked%s, %s" % (
              format(unlocked, ","),
              " and %s not yet" % format(outstanding, ",") if outstanding else "", how),
          "%.1f (tables %.1f, indexes %.1f)" % (total, tables, total - tables),
          "%s %g" % (sign, limit), None if QUICK else total <= limit)


def measure_daily(database):
    """Every day each source registers the hours of the next; those of this one are locked and unlocked.

    A day of the measurement takes less than a round of autovacuum, so what
    autovacuum does in a day is done here.
    """
    create_database(database)
    connection = connect(database)
    for number in range(DAILY_SOURCES):
        register(connection, str(number))
    writer = connect(database, user="bench_writer")
    for day in range(DAILY_DAYS + 1):
        today, tomorrow = (during(START + d * DAY, START + (d + 1) * DAY) for d in (day - 1, day))
        holder = "host-17/%d/9f3c21" % (4711 + day)
        for number in range(DAILY_SOURCES):
            run(writer, "SELECT partreg.register_partitions(%s, 'p', %s, '1 hour')",
                str(number), tomorrow)
            if day > 0:
                for call in ("lock", "unlock"):
                    run(writer, "SELECT partreg." + call + "_partitions(%s, 'p', %s, NULL, %s)",
                        str(number), today, holder)
        run(connection, "VACUUM partreg.pending, partreg.lock")
    writer.close()
    connection.close()
    measure_bytes(database, "day by day", "bytes day by day")


# --------------------------------------------------------------------------
# Reading

A_DAY = during(START + 100 * DAY, START + 101 * DAY)
EARLY_DAY = during(START, START + DAY)      # which the smallest source of minutes holds
CHECK = "SELECT partreg.check_readiness(:source, :during);"
NULL = "SELECT bench_null(:source, :during);"
RANGE_AGG = ("SELECT range_agg(during) @> :during::tstzrange FROM plain"
             " WHERE source = :source::integer AND during && :during::tstzrange;")


def any_source(sources, sql):
    """The same of any source; pgbench has numbers only, which the simple protocol shows as such."""
    return "\\set source random(1, %d)\n%s" % (sources, sql.replace(":source,", ":source::text,"))


def measure_checks(database, sources):
    # A sensor's connection asks for one source, a pool's for many.
    for mode, name, goal in (("prepared", "prepared", "prepared check"),
                             ("extended", "extended protocol, unnamed", "check"),
                             ("simple", "simple protocol", "check")):
        for asked, load_of in (
                ("one source", lambda sql: Load(database, sql, mode=mode, source="1", during=A_DAY)),
                ("any of %s sources" % format(sources, ","),
                 lambda sql: Load(database, any_source(sources, sql), mode=mode, during=A_DAY))):
            compare("a day of hours of %s, %s" % (asked, name), "function that returns true",
                    load_of(NULL), load_of(CHECK), goal)


def measure_first_check(database, how="", goal=None):
    """The first question of a new connection, which is what a poking sensor asks."""
    statements = {"SELECT 1": "SELECT 1;", "function that returns true": NULL, "check": CHECK}
    loads = {name: Load(database, sql, mode="simple", options=["--connect"], source="1", during=A_DAY)
             for name, sql in statements.items()}
    rounds = [{name: load.rate() for name, load in loads.items()} for _ in range(ROUNDS)]
    for base, it, told, wanted in (
            ("function that returns true", "check", "first check", goal),
            ("SELECT 1", "check", "first check", None),
            ("SELECT 1", "function that returns true", "function that returns true", None)):
        figure("%s of a new connection%s" % (told, how), base + " so",
               [(rates[base], rates[it]) for rates in rounds], wanted)


def measure_preloaded(database):
    """The same with our library preloaded; each connection loads that of the other function all the same."""
    connection = connect("postgres")
    run(connection, "ALTER SYSTEM SET shared_preload_libraries = 'partition_registry'")
    folder = value(connection, "SHOW data_directory")
    connection.close()
    done = subprocess.run(["pg_ctl", "restart", "--silent", "--wait", "--pgdata=" + folder,
                           "--log=" + FOLDER + "/restart.log"], stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit("the server did not start again")
    Load.find_postmaster()
    measure_first_check(database, ", preloaded")


def measure_width(database, minutes):
    widths = [("an hour", HOUR), ("a day", DAY), ("a week", 7 * DAY), ("a month", 30 * DAY)]
    if not QUICK:
        widths += [("a quarter", 91 * DAY), ("a year", 365 * DAY)]
    longest, width = widths[-1]
    start = START + DAY

    def load_of(sql, width):
        return Load(database, sql, source=0 if sql is RANGE_AGG else "minutes",
                    during=during(start, start + width))

    compare("%s of minutes" % longest, "an hour of them", load_of(CHECK, HOUR),
            load_of(CHECK, width), "check, wider")

    connection = connect(database)
    # What one would do without: one row a partition, a GiST index.
    run(connection, "CREATE TABLE plain (source integer, during tstzrange)")
    hourly = 3 if QUICK else 10
    for source, count, step in [(0, minutes, MINUTE)] + [(i + 1, HOURS, HOUR) for i in range(hourly)]:
        run(connection, "INSERT INTO plain SELECT %s, tstzrange(%s::timestamptz + i * %s::interval,"
                        " %s::timestamptz + (i + 1) * %s::interval)"
                        " FROM generate_series(0, %s) i",
            source, START, step, START, step, count - 1)
    run(connection, "CREATE INDEX ON plain USING gist (source, during)")
    run(connection, "VACUUM ANALYZE plain")
    run(connection, "GRANT SELECT ON plain TO bench_reader")
    connection.close()
    compare("a day of hours, by a client", "range_agg, GiST",
            Load(database, any_source(hourly, RANGE_AGG), during=A_DAY),
            Load(database, any_source(hourly, CHECK), during=A_DAY), "check, by a client")
    compare("a day of hours, in a loop in the server", "range_agg, GiST",
            Loop(database, hourly, RANGE_AGG),
            Loop(database, hourly, CHECK.replace(":source", ":source::text")), "check, in a loop")
    compare("%s of minutes" % longest, "range_agg, GiST",
            load_of(RANGE_AGG, width), load_of(CHECK, width), "check, long")

    draw("latency-width.svg", "Latency against the width of the range",
         "minutes in the range, of a source of one partition a minute",
         latencies({name: [(w / MINUTE, load_of(sql, w)) for _, w in widths]
                    for name, sql in (("range_agg over the partitions", RANGE_AGG),
                                      ("check_readiness", CHECK), ("a function that returns true", NULL))}))


def latencies(curves):
    """Of curves of points (x, load), which all take turns, to points (x, microseconds)."""
    rounds = [{name: [load.rate() for _, load in points] for name, points in curves.items()}
              for _ in range(3)]
    return {name: [(x, 1e6 / statistics.median(rates[name][i] for rates in rounds))
                   for i, (x, _) in enumerate(points)]
            for name, points in curves.items()}


def measure_growth(databases):
    """databases: (name, sources, partitions), growing."""
    def load_of(sql, database, sources):
        return Load(database, any_source(sources, sql), during=A_DAY)

    small, large = databases[0], databases[-1]
    for name, base, it in (
            ("a day of hours", load_of(CHECK, *small[:2]), load_of(CHECK, *large[:2])),
            ("ten hours of minutes", *(Load(database[0], CHECK, source="minutes",
                                            during=during(START, START + 10 * HOUR))
                                       for database in (small, large)))):
        compare("%s among %s partitions" % (name, format(large[2], ",")),
                "among %s" % format(small[2], ","), base, it, "check, more partitions")
    draw("latency-partitions.svg", "Latency against the number of partitions",
         "partitions in the registry",
         latencies({name: [(partitions, load_of(sql, database, sources))
                           for database, sources, partitions in databases]
                    for name, sql in (("check_readiness, a day of hours", CHECK),
                                      ("a function that returns true", NULL))}))


def measure_providers(database):
    connection = connect(database)
    for rule in ("any", "all"):
        for count in (1,) + PROVIDERS:
            source = "%s of %d" % (rule, count)
            token = None
            for i in range(count):
                token = register(connection, source, "p%d" % i, token, rule)
                supply(connection, source, "p%d" % i, token, 240, HOUR)

    hours = 1_000 if QUICK else 8_760
    token = register(connection, "alone")
    supply(connection, "alone", "p", token, hours, HOUR)
    token = register(connection, "in turn", "p0")
    register(connection, "in turn", "p1", token)
    for i in range(2):
        supply(connection, "in turn", "p%d" % i, token, hours, HOUR, unlock=False)
        run(connection, "SELECT partreg.unlock_partition('in turn', %s, tstzrange(h, h + '1 hour'), %s)"
                        " FROM generate_series(%s, %s, interval '2 hours') h",
            "p%d" % i, token, START + i * HOUR, START + (hours - 1) * HOUR)

    locks = 1_000 if QUICK else 10_000
    for source in ("without locks", "with locks"):
        token = register(connection, source)
        supply(connection, source, "p", token, locks + 240, HOUR)
    run(connection, "SELECT partreg.lock_partitions('with locks', 'p', %s, %s)",
        during(START + 240 * HOUR, START + (locks + 240) * HOUR), token)
    run(connection, "VACUUM ANALYZE")
    connection.close()

    def load_of(source, width=DAY):
        return Load(database, CHECK, source=source, during=during(START, START + width))

    for rule in ("any", "all"):
        for count in PROVIDERS:
            compare("a ready day, rule %s, %d providers" % (rule, count), "one provider",
                    load_of("%s of 1" % rule), load_of("%s of %d" % (rule, count)),
                    "check, %s of %d" % (rule, count))
    compare("%s hours supplied by two providers in turn" % format(hours, ","), "by one",
            load_of("alone", hours * HOUR), load_of("in turn", hours * HOUR))
    compare("a day with %s locks elsewhere in the source" % format(locks, ","), "no lock",
            load_of("without locks"), load_of("with locks"), "check, locks elsewhere")


# --------------------------------------------------------------------------
# Writing

THE_HOUR = ("tstzrange(to_timestamp(:first + 3600.0 * :i),"
            " to_timestamp(:first + 3600.0 * (:i + 1)))")
LOCK = "SELECT partreg.lock_partition(%s, %s, " + THE_HOUR + ", NULL, %s);"
UNLOCK = "SELECT partreg.unlock_partition(%s, %s, " + THE_HOUR + ", NULL, %s);"
NEXT = "\\set i :i + 1\n"
PLAIN_LOG = "CREATE TABLE plain_log (LIKE partreg.event INCLUDING IDENTITY, PRIMARY KEY (id));"
FIRST = int(START.timestamp())


def measure_single_writes(database):
    """One client; each transaction locks another partition, or unlocks one for the first time."""
    count = WRITES * (WRITE_ROUNDS + 1) + 1
    connection = connect(database)
    for source in ("quiet", "notifying"):
        supply(connection, source, "p", register(connection, source), count, HOUR, unlock=False)
    # As one would: a row that knows its state, and a log of what was done.
    run(connection, "CREATE TABLE plain_row (LIKE partreg.partition);"
                    "ALTER TABLE plain_row ALTER first_unlocked_at DROP NOT NULL,"
                    "    ADD id integer PRIMARY KEY;"
                    "INSERT INTO plain_row (provider_id, length_class, start_at, end_at, registered_at, id)"
                    " SELECT provider_id, length_class, start_at, end_at, registered_at, row_number() OVER ()"
                    "   FROM partreg.pending LIMIT %s;"
                    + PLAIN_LOG +
                    "GRANT ALL ON plain_row, plain_log TO bench_writer", count)
    run(connection, "VACUUM ANALYZE")
    connection.close()

    loads = {"base": Load(
        database, NEXT +
        "WITH u AS (UPDATE plain_row SET first_unlocked_at = now() WHERE id = :i RETURNING *)"
        " INSERT INTO plain_log (event, source_id, provider_id, source_name, provider_name,"
        "     start_at, end_at, at, actor, xid, system_id, timeline)"
        " SELECT 'unlock', 1, provider_id, 'quiet', 'p', start_at, end_at, now(), current_user,"
        "     pg_current_xact_id(), 1, 1 FROM u;", user="bench_writer")}
    for source, user, told in (("quiet", "bench_writer", "off"), ("notifying", "bench_notifier", "on")):
        for name, sql in (("lock", LOCK), ("unlock", UNLOCK)):
            loads[name, told] = Load(
                database, NEXT + sql % ("'%s'" % source, "'p'", "'%s'" % HOLDER), user=user, first=FIRST)
    # The first round warms up.
    rounds = [{name: load.rate(WRITES, i=WRITES * number) for name, load in loads.items()}
              for number in range(WRITE_ROUNDS + 1)][1:]
    for name, what in (("lock", "lock_partition"), ("unlock", "unlock_partition of a locked partition")):
        for told, goal in (("off", name), ("on", None)):
            figure("%s, durable, notifications %s" % (what, told), "UPDATE and INSERT in one statement",
                   [(rates["base"], rates[name, told]) for rates in rounds], goal)


def measure_writers(database):
    """Eight clients, each a provider; a ninth with an open transaction."""
    count = WRITES * 2 * WRITE_ROUNDS + 1
    connection = connect(database)
    token = None
    for i in range(9):
        token = register(connection, "one", "p%d" % i, token)
        supply(connection, "one", "p%d" % i, token, count, HOUR, unlock=False)
    for i in range(8):
        source = "many%d" % i
        own_token = register(connection, source, "p%d" % i)
        supply(connection, source, "p%d" % i, own_token, count, HOUR, unlock=False)
    run(connection, "VACUUM ANALYZE")
    connection.close()

    one, many = [Load(database, NEXT + UNLOCK % (source, "'p' || :client_id", "NULL"),
                      user="bench_writer", clients=8, first=FIRST)
                 for source in ("'one'", "'many' || :client_id")]
    ninth = connect(database, "READ COMMITTED")
    sources, open_writer = [], []
    for number in range(WRITE_ROUNDS):
        done = 2 * number * WRITES
        rates = [many.rate(WRITES, i=done), one.rate(WRITES, i=done)]
        start = START + done * HOUR
        run(ninth, "SELECT partreg.unlock_partition('one', 'p8', %s, %s)",
            during(start, start + HOUR), token)
        with_ninth = one.rate(WRITES, i=done + WRITES)
        ninth.rollback()
        sources.append(rates)
        open_writer.append((rates[1], with_ninth))
    ninth.close()
    figure("8 providers of one source, unlocking", "8 providers of 8 sources", sources,
           "writers of one source")
    figure("8 providers of one source, a ninth has an open unlock", "without the ninth",
           open_writer, "writers, a ninth")


def start_follower(database):
    """partreg notify, at work."""
    position = FOLDER + "/position"
    if os.path.exists(position):
        os.unlink(position)
    follower = subprocess.Popen([os.environ["PARTREG"], "notify", "--position-file", position,
                                 "--dsn", "dbname=%s user=bench_reader" % database])
    while not os.path.exists(position):
        if follower.poll() is not None:
            sys.exit("partreg notify has ended")
        time.sleep(0.05)
    return follower


def end_follower(follower, connection):
    """End it when it has notified of all; how long did that take?"""
    began = time.perf_counter()
    while True:
        with open(FOLDER + "/position") as file:
            position = file.read().strip()
        if not run(connection, "SELECT FROM partreg.changes_since(%s, 1)", position):
            break
        if time.perf_counter() - began > 10:
            sys.exit("partreg notify does not keep up")
        time.sleep(0.01)
    follower.terminate()
    if follower.wait() != 0:
        sys.exit("partreg notify failed")
    return time.perf_counter() - began


def measure_notifying(database):
    """Writers of a source each, alone and many, that notify, do not, or have it done; nobody listens."""
    # The writes of a client, so that a slice lasts about as long for all
    writes = {1: 4 * MANY_WRITES, 8: 4 * MANY_WRITES, 32: MANY_WRITES}
    users = {"off": "bench_writer", "all": "bench_notifier", "followed": "bench_writer"}
    connection = connect(database)
    for clients, count in writes.items():
        for i in range(clients):
            source = "own%d_%d" % (clients, i)
            supply(connection, source, "p", register(connection, source),
                   len(users) * count * (WRITE_ROUNDS + 1) + 1, HOUR, unlock=False)
    run(connection, "VACUUM ANALYZE")
    loads = {(clients, told): Load(database,
                                   NEXT + UNLOCK % ("'own%d_' || :client_id" % clients, "'p'", "NULL"),
                                   user=user, clients=clients, first=FIRST)
             for clients in writes for told, user in users.items()}

    done = dict.fromkeys(writes, 0)
    rounds, late = [], []
    for _ in range(WRITE_ROUNDS + 1):
        rounds.append({})
        for (clients, told), load in loads.items():
            follower = start_follower(database) if told == "followed" else None
            rounds[-1][clients, told] = load.rate(writes[clients], i=done[clients])
            if follower:
                late.append(end_follower(follower, connection))
            done[clients] += writes[clients]
    connection.close()
    rounds = rounds[1:]                     # The first one warms up.
    for told, name in (("all", "notifications all"), ("followed", "partreg notify for them")):
        for clients, goal in ((1, None), (8, "writers, notifying"), (32, "writers, notifying")):
            figure("%d writer%s of different sources, %s" % (clients, "s"[:clients > 1], name), "off",
                   [(rates[clients, "off"], rates[clients, told]) for rates in rounds], goal)
    state("partreg notify has told of all of a slice after", "%.2f s, at most %.2f s" % (
        statistics.median(late), max(late)), "", None)
    for clients, goal in ((8, "8 writers"), (32, None)):
        figure("%d writers of different sources, notifications off" % clients, "one writer",
               [(rates[1, "off"], rates[clients, "off"]) for rates in rounds], goal)


def measure_old_snapshot(database):
    connection = connect(database)
    old = connect(database, "REPEATABLE READ")
    unlocks, checks, long_checks = [], [], []
    for number in range(OLD_SNAPSHOT_ROUNDS):
        pair = []
        for kind in ("young", "old"):
            source = "%s%d" % (kind, number)
            supply(connection, source, "p", register(connection, source), NEW_PARTITIONS, HOUR,
                   unlock=False)
            if kind == "old":
                run(old, "SELECT count(*) FROM pg_class")
            pair.append(Load(database, NEXT + UNLOCK % ("'%s'" % source, "'p'", "NULL"),
                             user="bench_writer", first=FIRST).rate(NEW_PARTITIONS, i=-1))
        unlocks.append(pair)
        for into, width in ((checks, DAY), (long_checks, NEW_PARTITIONS * HOUR)):
            loads = [Load(database, CHECK, source="%s%d" % (kind, number),
                          during=during(START, START + width)) for kind in ("young", "old")]
            into.extend([load.rate() for load in loads] for _ in range(3))
        old.rollback()
    old.close()
    connection.close()
    told = format(NEW_PARTITIONS, ",")
    figure("unlock_partition of %s new ones, an old transaction holding xmin" % told,
           "without it", unlocks, "unlock, old transaction")
    figure("a check of a day after it", "without it", checks, "check, old transaction")
    figure("a check of all %s after it" % told, "without it", long_checks)


def measure_bulk(database):
    connection = connect(database)
    registered, unlocked = [], []
    whole = during(START, START + BULK * MINUTE)
    log = ("INSERT INTO plain_log (event, source_id, provider_id, source_name, provider_name,"
           "     start_at, end_at, at, actor, xid, system_id, timeline)"
           " SELECT %s, 1, provider_id, 'bulk', 'p', start_at, end_at, now(), current_user,"
           "     pg_current_xact_id(), 1, 1 FROM plain")
    for number in range(BULK_ROUNDS):
        source = "bulk%d" % number
        token = register(connection, source)
        run(connection, "DROP TABLE IF EXISTS plain, plain_log;"
                        "CREATE TABLE plain (LIKE partreg.partition INCLUDING ALL);"
                        "ALTER TABLE plain ALTER first_unlocked_at DROP NOT NULL;"
                        + PLAIN_LOG)
        run(connection, "CHECKPOINT")
        base = seconds(connection,
                       "INSERT INTO plain (provider_id, length_class, start_at, end_at, registered_at)"
                       " SELECT 1, 26, %s::timestamptz + i * interval '1 minute',"
                       "     %s::timestamptz + (i + 1) * interval '1 minute', now()"
                       " FROM generate_series(0, %s) i;" + log,
                       START, START, BULK - 1, "register_partition")
        run(connection, "CHECKPOINT")
        registered.append((base, seconds(connection,
                                         "SELECT partreg.register_partitions(%s, 'p', %s, '1 minute', %s)",
                                         source, whole, token)))
        run(connection, "CHECKPOINT")
        base = seconds(connection, "UPDATE plain SET first_unlocked_at = now();" + log, "unlock")
        run(connection, "CHECKPOINT")
        unlocked.append((base, seconds(connection, "SELECT partreg.unlock_partitions(%s, 'p', %s, %s, %s)",
                                       source, whole, token, HOLDER)))
        if not value(connection, "SELECT partreg.check_readiness(%s, %s)", source, whole):
            sys.exit("a bulk unlock did not make its source ready")
    connection.close()
    told = format(BULK, ",")
    figure("register_partitions, " + told, "INSERT … SELECT, and a log", registered, "register many",
           shown=show_time)
    figure("unlock_partitions, " + told, "UPDATE, and a log", unlocked, "unlock many",
           shown=show_time)


def measure_retiring(database):
    connection = connect(database)
    pairs = []
    whole = during(START, START + RETIRED * MINUTE)
    for number in range(RETIRE_ROUNDS):
        source = "retired%d" % number
        token = register(connection, source)
        supply(connection, source, "p", token, RETIRED, MINUTE, unlock=False)
        pair = []
        for call in ("unlock", "retire"):
            run(connection, "CHECKPOINT")
            pair.append(seconds(connection, "SELECT partreg." + call + "_partitions(%s, 'p', %s, %s)",
                                source, whole, token))
        pairs.append(pair)
        if value(connection, "SELECT partreg.ready_ranges(%s, %s)", source, whole) != "{}":
            sys.exit("what was retired is ready")
    figure("retire_partitions, " + format(RETIRED, ","), "unlock_partitions of as many", pairs,
           "retire many", shown=show_time)

    # Out of the middle of a long span, one by one
    pairs = []
    for number in range(RETIRE_ROUNDS):
        pair = []
        for count in (500, 2_000):
            source = "%d retired%d" % (count, number)
            token = register(connection, source)
            supply(connection, source, "p", token, 8_000, HOUR)
            run(connection, "CHECKPOINT")
            pair.append(seconds(connection,
                                "SELECT count(partreg.retire_partition(%s, 'p', tstzrange(h, h + '1 hour'), %s))"
                                "  FROM generate_series(%s, %s, interval '1 hour') h",
                                source, token, START + 3_000 * HOUR, START + (2_999 + count) * HOUR))
        pairs.append(pair)
    figure("2,000 retire_partition in one transaction", "500 so", pairs,
           "retire in one transaction", shown=show_time)
    connection.close()


def measure_aggregate(database):
    connection = connect(database)
    run(connection, "CREATE TABLE ordered AS SELECT tstzrange(%s::timestamptz + i * interval '1 minute',"
                    "     %s::timestamptz + (i + 1) * interval '1 minute') AS during"
                    " FROM generate_series(0, %s) i;"
                    "CREATE TABLE shuffled AS SELECT during FROM ordered ORDER BY hashtext(during::text)",
        START, START, RANGES - 1)
    run(connection, "VACUUM ANALYZE ordered, shuffled")
    if not value(connection, "SELECT (SELECT partreg.coalesce_ranges(during) FROM shuffled)"
                             " = (SELECT range_agg(during) FROM ordered)"):
        sys.exit("coalesce_ranges is wrong")
    told = format(RANGES, ",")
    calls = ("count(during)", "range_agg(during)", "partreg.coalesce_ranges(during)")
    run(connection, "SET work_mem = '1GB'; SET max_parallel_workers_per_gather = 0")
    for table, name in (("ordered", "in order"), ("shuffled", "shuffled")):
        pairs = []
        for _ in range(ROUNDS):
            scan, base, it = (seconds(connection, "SELECT %s FROM %s" % (call, table))
                              for call in calls)
            # What is lost in the noise of the scan counts as a hundredth of it.
            pairs.append((base - scan, max(it - scan, scan / 100)))
        figure("coalesce_ranges, %s %s, net of the scan" % (told, name), "range_agg", pairs,
               "coalesce", shown=show_time)
    for table, name in (("ordered", "in order"), ("shuffled", "shuffled")):
        query = "SELECT %s FROM %s" % (calls[2], table)
        pairs = []
        for _ in range(ROUNDS):
            run(connection, "SET max_parallel_workers_per_gather = 0")
            alone = seconds(connection, query)
            run(connection, "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0;"
                            "SET min_parallel_table_scan_size = 0")
            pairs.append((alone, seconds(connection, query)))
        plan = "\n".join(row[0] for row in run(connection, "EXPLAIN " + query))
        figure("coalesce_ranges, %s %s, with two workers" % (told, name), "with none", pairs,
               shown=show_time)
        state("planned in parallel, %s" % name,
              "yes" if "Partial Aggregate" in plan else "no", "yes", "Partial Aggregate" in plan)
    connection.close()


def measure_cycles():
    """Two databases alike, but that in one of them partitions were locked and unlocked."""
    for database in ("fresh", "worn"):
        create_database(database)
        connection = connect(database)
        token = None
        for i in range(CYCLERS):
            token = register(connection, "cycles", "p%d" % i, token)
            supply(connection, "cycles", "p%d" % i, token, 240, HOUR)
        run(connection, "VACUUM ANALYZE")
        connection.close()
    hour = "tstzrange(to_timestamp(:first + 3600.0 * :i), to_timestamp(:first + 3600.0 * (:i + 1)))"
    cycle = Load("worn", "\\set i (:i + 1) % 240\n"
                 "SELECT partreg.lock_partition('cycles', 'p' || :client_id, " + hour + ");\n"
                 "SELECT partreg.unlock_partition('cycles', 'p' || :client_id, " + hour + ");",
                 user="bench_writer", clients=CYCLERS, i=0, first=FIRST)
    connection = connect("worn")
    sizes = [state_size(connection)]
    for _ in range(4):
        cycle.rate(CYCLES // 4 // CYCLERS)
        sizes.append(state_size(connection))
    connection.close()
    loads = [Load(database, CHECK, source="cycles", during=EARLY_DAY)
             for database in ("fresh", "worn")]
    told = "after %s lock and unlock cycles" % format(CYCLES, ",")
    compare("a check " + told, "a fresh database", *loads, "check, worn")
    # Bounded: the second half adds less than a quarter to what the first half left.
    state("disk before, and at every quarter of them, history apart",
          " ".join("%.1f" % (size / 1e6) for size in sizes) + " MB", "bounded",
          sizes[4] <= 1.25 * sizes[2])


# --------------------------------------------------------------------------
# History, lateness, waiting

def time_of(name, baseline, base, it, goal):
    """A figure in seconds, with a limit, beside a baseline of the same rounds; both are called to be timed."""
    pairs = [(base(), it()) for _ in range(ROUNDS + 1)][1:]     # The first one warms up.
    limit = GOALS[goal][1] if goal else None
    spent = statistics.median(measured for _, measured in pairs)
    ratios = [measured / base for base, measured in pairs]
    figures.append((name, "%s: %s" % (baseline, show_time(statistics.median(base for base, _ in pairs))),
                    show_time(spent), "%.3g" % statistics.median(ratios),
                    "%.3g-%.3g" % (min(ratios), max(ratios)),
                    "<= %g s" % limit if goal else "",
                    "reported" if goal is None or QUICK else "met" if spent <= limit else "NOT MET"))
    say("%s: %s, %s" % (name, figures[-1][2], figures[-1][-1]))


def measure_history(database, sources):
    """Questions to a history of two events for each partition; the newest ones are of source 1."""
    connection = connect(database)
    token = value(connection, "SELECT partreg.reset_access_token('1')")
    changed = during(START, START + CHANGED * HOUR)
    position = value(connection, "SELECT partreg.feed_position()")
    for call in ("lock", "unlock"):
        run(connection, "SELECT partreg." + call + "_partitions('1', 'p', %s, %s, 'again')", changed, token)
    run(connection, "VACUUM ANALYZE partreg.event, partreg.lock")
    told = "of %s, %s sources" % (format(value(connection, "SELECT count(*) FROM partreg.event"), ","),
                                  format(sources, ","))
    now = value(connection, "SELECT clock_timestamp()")

    def timed(sql, *values):
        return lambda: seconds(connection, sql, *values)

    last = ("SELECT range_agg(tstzrange(start_at, end_at)) FROM partreg.event"
            " WHERE source_id = (SELECT id FROM partreg.source WHERE name = '1') AND event <> 'register_partition'"
            "   AND xid > (SELECT xid FROM partreg.event ORDER BY id DESC OFFSET %s LIMIT 1)")
    time_of("changed_ranges, %s events since, %s" % (format(2 * CHANGED, ","), told),
            "range_agg of the same", timed(last, 2 * CHANGED),
            timed("SELECT partreg.changed_ranges('1', '(,)', %s)", position), "changed")
    time_of("changed_ranges, nothing since", "function that returns true",
            timed("SELECT bench_null('1', %s)", changed),
            timed("SELECT partreg.changed_ranges('1', '(,)', %s)",
                  value(connection, "SELECT partreg.feed_position()")), None)
    time_of("changes_since, 1,000 events", "the same of the view",
            timed("SELECT * FROM (SELECT * FROM partreg.events ORDER BY event_id DESC LIMIT 1000) t"),
            timed("SELECT * FROM partreg.changes_since(%s, 1000)", position), None)
    hour = during(START + 100 * DAY, START + 100 * DAY + HOUR)
    time_of("history of a partition, " + told, "the same of the view, by its source",
            timed("SELECT * FROM partreg.events WHERE source_name = '2' AND during && %s::tstzrange", hour),
            timed("SELECT * FROM partreg.history('2', %s)", hour), "history")
    day = during(START + 100 * DAY, START + 101 * DAY)
    time_of("readiness_as_of a day ago, of a day of hours", "check_readiness",
            timed("SELECT partreg.check_readiness('1', %s)", day),
            timed("SELECT partreg.readiness_as_of('1', %s, %s)", day, now), None)
    year = during(START, START + 365 * DAY)
    for call in ("provider_states", "timeline"):
        time_of(call + " of a year of minutes", "check_readiness",
                timed("SELECT partreg.check_readiness('minutes', %s)", year),
                timed("SELECT * FROM partreg." + call + "('minutes', %s)", year), None)
    connection.close()


def measure_stats(database):
    """Each source has a provider that is late with an hour, and hours that are unlocked."""
    create_database(database)
    connection = connect(database)
    run(connection, """
DO $$
DECLARE
    token text;
BEGIN
    FOR n IN 1 .. %s LOOP
        token := partreg.register_source(n::text, 'bench');
        PERFORM partreg.register_provider('p', token),
                partreg.set_deadline(n::text, 'p', '1 hour', token),
                partreg.register_partitions(n::text, 'p', '[2024-01-01 00:00+00, 2024-01-02 00:00+00)', '1 hour', token),
                partreg.unlock_partitions(n::text, 'p', '[2024-01-01 00:00+00, 2024-01-01 23:00+00)', token);
    END LOOP;
END;
$$""" % OUTSTANDING)
    run(connection, "VACUUM ANALYZE")
    told = format(OUTSTANDING, ",")

    def more():
        run(connection, "SELECT partreg.register_partitions('1', 'p', %s, '1 minute', %s),"
                        "       partreg.unlock_partitions('1', 'p', %s, %s)",
            *2 * (during(START, START + BULK * MINUTE), token))

    for what, sql in (("stats", "SELECT count(*), sum(late) FROM partreg.stats"),
                      ("late_partitions", "SELECT count(*) FROM partreg.late_partitions")):
        time_of("view %s, %s sources, each late" % (what, told), "count of the same sources",
                lambda: seconds(connection, "SELECT count(*) FROM partreg.sources"),
                lambda sql=sql: seconds(connection, sql), "stats" if what == "stats" else None)
    token = value(connection, "SELECT partreg.reset_access_token('1')")
    before = [seconds(connection, "SELECT sum(late) FROM partreg.stats") for _ in range(ROUNDS)]
    more()
    run(connection, "VACUUM ANALYZE")
    figure("view stats, %s partitions more, unlocked" % format(BULK, ","), "before",
           [(one, seconds(connection, "SELECT sum(late) FROM partreg.stats")) for one in before], shown=show_time)
    connection.close()


def measure_index_of_changes(database):
    """A bulk unlock with the index that changed_ranges() needs, and without it."""
    connection = connect(database)
    definition = value(connection, "SELECT pg_get_indexdef('partreg.event_change_idx'::regclass)")
    pairs = []
    for number in range(BULK_ROUNDS):
        pair = []
        for kind in ("without", "with"):
            source = "index %s %d" % (kind, number)
            source_token = register(connection, source)
            supply(connection, source, "p", source_token, BULK, MINUTE, unlock=False)
            if kind == "without":
                run(connection, "DROP INDEX partreg.event_change_idx")
            run(connection, "CHECKPOINT")
            pair.append(seconds(connection, "SELECT partreg.unlock_partitions(%s, 'p', %s, %s, %s)",
                                source, during(START, START + BULK * MINUTE), source_token, HOLDER))
            if kind == "without":
                run(connection, definition)
        pairs.append(pair)
    connection.close()
    figure("unlock_partitions, %s, with the index of changed_ranges" % format(BULK, ","), "without it", pairs,
           "index of changes", shown=show_time)


def measure_waiting(database):
    """Unlocks beside sessions in wait_until_ready(), which look once a second, and beside none."""
    connection = connect(database)
    writes = 10 * WRITES                    # A slice sees each session look more than once.
    count = 2 * writes * (WRITE_ROUNDS + 1) + 1
    supply(connection, "waited for", "p", register(connection, "waited for"), count, HOUR, unlock=False)
    run(connection, "VACUUM ANALYZE")
    load = Load(database, NEXT + UNLOCK % ("'waited for'", "'p'", "NULL"), user="bench_writer", first=FIRST)
    never = during(START - DAY, START)
    sessions = [connect(database, user="bench_reader") for _ in range(WAITING)]
    pairs = []
    for number in range(WRITE_ROUNDS + 1):
        alone = load.rate(writes, i=2 * number * writes)
        waiting = [threading.Thread(target=wait_in_vain, args=(session, never)) for session in sessions]
        for thread in waiting:
            thread.start()
        while value(connection, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL partreg.wait%%'"
                                "   AND state = 'active'") < WAITING:
            time.sleep(0.05)
        time.sleep(2)                       # What they do to begin with is not waiting.
        pairs.append((alone, load.rate(writes, i=(2 * number + 1) * writes)))
        for session in sessions:
            session.cancel()
        for thread in waiting:
            thread.join()
    for session in sessions:
        session.close()
    connection.close()
    figure("unlock_partition beside %d waiting sessions" % WAITING, "beside none", pairs[1:], "writers, waited for")


def wait_in_vain(session, during_never):
    try:
        run(session, "CALL partreg.wait_until_ready('waited for', %s, '1 hour')", during_never)
    except psycopg2.errors.QueryCanceled:
        pass


# --------------------------------------------------------------------------
# Pictures

def draw(name, title, x_title, curves):
    """Time against a number, as SVG: the number logarithmic, the time too where it grows a lot."""
    left, top, width, height = 80, 56, 540, 300
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]

    if max(ys) > 20 * min(ys):
        low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
        ticks = [10 ** power for power in range(low, high + 1)]
    else:
        step = 10 ** math.floor(math.log10(max(ys)))
        low, high = None, step * math.ceil(max(ys) / step)
        ticks = [step * i for i in range(round(high / step) + 1)]

    def x_of(x):
        return left + width * math.log(x / min(xs)) / math.log(max(xs) / min(xs))

    def y_of(y):
        part = y / high if low is None else (math.log10(y) - low) / (high - low)
        return top + height * (1 - part)

    def text(x, y, string, anchor="middle", size=13, color="#333"):
        return ('<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" fill="%s">%s</text>'
                % (x, y, anchor, size, color, string))

    def told(y):
        return "%.3g s" % (y / 1e6) if y >= 1e6 else "%.3g ms" % (y / 1e3) if y >= 1e3 else "%.3g µs" % y

    svg = ['<svg xmlns="http://www.w3.org/2000/svg" width="660" height="%d" font-family="sans-serif">'
           % (430 + 22 * len(curves)),
           '<rect width="100%" height="100%" fill="white"/>',
           text(left + width / 2, 28, title, size=17)]
    for tick in ticks:
        svg.append('<path d="M%d %.1fH%d" stroke="#ddd"/>' % (left, y_of(tick), left + width))
        svg.append(text(left - 8, y_of(tick) + 4, told(tick), "end"))
    for x in sorted(set(xs)):
        svg.append('<path d="M%.1f %dV%d" stroke="#ddd"/>' % (x_of(x), top, top + height))
        svg.append(text(x_of(x), top + height + 20, format(round(x), ",")))
    svg.append(text(left + width / 2, top + height + 46, x_title))
    for number, (label, points) in enumerate(curves.items()):
        color = ("#c0392b", "#1f618d", "#7f8c8d")[number + 3 - len(curves)]
        svg.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>'
                   % (" ".join("%.1f,%.1f" % (x_of(x), y_of(y)) for x, y in points), color))
        for x, y in points:
            svg.append('<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>' % (x_of(x), y_of(y), color))
        y = top + height + 74 + 22 * number
        svg.append('<path d="M%d %dh28" stroke="%s" stroke-width="2.5"/>' % (left, y - 4, color))
        svg.append(text(left + 38, y, label + ": " + ", ".join(told(y) for _, y in points),
                        "start", 12, color))
    svg.append("</svg>")
    with open("%s/%s" % (FOLDER, name), "w") as file:
        file.write("\n".join(svg) + "\n")


# --------------------------------------------------------------------------
# The run

def print_table():
    table = [("figure", "baseline", "measured", "ratio", "spread", "goal", "")] + figures
    widths = [max(len(row[column]) for row in table) for column in range(7)]
    out()
    for number, row in enumerate(table):
        out("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            out("  ".join("-" * width for width in widths).rstrip())


def write_page():
    command = "scripts/bench%s" % (" --quick" if QUICK else "")
    with open(FOLDER + "/performance.md", "w") as file:
        file.write("# Performance\n\nThis page is written by `%s --docs`: a whole run as it was printed.\n"
                   "`%s` repeats it; what is measured, and how, is in `test/bench/bench.py`.\n\n"
                   "```\n%s\n```\n\n"
                   "![Latency against the number of partitions](latency-partitions.svg)\n\n"
                   "![Latency against the width of the range](latency-width.svg)\n"
                   % (command, command, "\n".join(lines)))


def main():
    create_template()
    Load.find_postmaster()
    connection = connect("bench_template")
    out("partition_registry %s, %s, %d cores (one client and its server process on one), %s; %s form, %s" % (
        value(connection, "SELECT extversion FROM pg_extension WHERE extname = 'partition_registry'"),
        value(connection, "SELECT 'PostgreSQL ' || current_setting('server_version')"),
        os.cpu_count(),
        ", ".join("%s %s" % (name, value(connection, "SELECT current_setting(%s)", name))
                  for name in ("fsync", "shared_buffers", "max_wal_size", "checkpoint_timeout",
                               "autovacuum", "autovacuum_naptime")),
        "quick" if QUICK else "full", datetime.date.today()))
    connection.close()

    databases = []
    for sources, minutes in SIZES:
        partitions = sources * HOURS + minutes
        databases.append(("bench_%d" % partitions, sources, partitions))
        create_database(databases[-1][0])
        say("loading %s partitions" % format(partitions, ","))
        load(databases[-1][0], sources, minutes)
    database = databases[-1][0]
    measure_bytes(database, "in bulk", "bytes in bulk")
    measure_daily("daily")
    for name, *_ in databases:
        connection = connect(name)
        run(connection, "VACUUM ANALYZE")
        run(connection, "CHECKPOINT")
        connection.close()
    say("loaded")

    measure_checks(database, SIZES[-1][0])
    measure_first_check(database, goal="first check")
    measure_growth(databases)
    measure_width(database, SIZES[-1][1])
    measure_providers(database)
    create_database("writes")
    measure_single_writes("writes")
    measure_writers("writes")
    measure_notifying("writes")
    measure_old_snapshot("writes")
    measure_waiting("writes")
    create_database("bulk")
    measure_bulk("bulk")
    measure_retiring("bulk")
    measure_index_of_changes("bulk")
    measure_aggregate("bulk")
    measure_cycles()
    measure_stats("outstanding")
    measure_history(database, SIZES[-1][0])
    measure_preloaded(database)
    print_table()
    out()
    out("%d of %d goals met, %.0f s" % (sum(row[-1] == "met" for row in figures),
                                       sum(row[-1] != "reported" for row in figures),
                                       time.monotonic() - BEGAN))
    write_page()


main()
