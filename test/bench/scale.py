"""What more than one server gives: the figures of docs/scale.md.

A primary, two hot standbys that stream from it, and a second site that follows
it by logical replication; all of them and the clients on one machine.  So a
machine of few cores cannot show that three servers answer three times as much.
It can show what a check costs in CPU on each, whether a standby adds to that,
whether spreading costs anything, what followers cost the one that writes, and
how far they are behind.

What is compared takes turns in short slices (A B A B ...); figures are medians
of the rounds, with their minimum and maximum.  Checks are of a day of one of
1,000 sources, prepared, by pgbench; unlocks are durable, each a transaction
that makes an hour ready that nobody knew, by 8 clients with sources of their
own, notifications off; autovacuum is off.  CPU is that of the sessions of one server while they
answered, by the kernel's account.

    scale.py FOLDER [--quick]
"""

import os
import re
import statistics
import subprocess
import sys
import time

import psycopg2

FOLDER = sys.argv[1]
QUICK = "--quick" in sys.argv[2:]
SOURCES, HOURS = (100, 100) if QUICK else (1_000, 240)
ROUNDS = 3 if QUICK else 9
SLICE = 1 if QUICK else 3               # seconds
WRITES = 100 if QUICK else 250          # transactions of a client in a slice
WRITERS = 8
WAITS = 20 if QUICK else 200            # unlocks that are watched to arrive
BACKLOG = 100 if QUICK else 500       # transactions of a writer that a site has to catch up with
TICK = os.sysconf("SC_CLK_TCK")

CHECK = r"""\set source random(1, %d)
\set day random(0, %d)
SELECT partreg.check_readiness('s' || :source, '2020-01-01 00:00+00'::timestamptz + :day * interval '1 day',
                               '2020-01-02 00:00+00'::timestamptz + :day * interval '1 day');
""" % (SOURCES, HOURS // 24 - 1)

UNLOCK = r"""\set i :i + 1
SELECT partreg.unlock_partition('w' || :client_id, 'p',
    tstzrange('2020-01-01 00:00+00'::timestamptz + :i * interval '1 hour',
              '2020-01-01 01:00+00'::timestamptz + :i * interval '1 hour'), register => true);
"""


def used(pid, fields=slice(11, 13)):
    """CPU seconds of a process, or with the fields 13 and 14 those of its children that have ended."""
    with open("/proc/%d/stat" % pid) as file:
        return sum(int(ticks) for ticks in file.read().rpartition(")")[2].split()[fields]) / TICK


class Server:
    """One of them: where it is, and what its processes have used."""

    def __init__(self, name, data, host, port):
        self.name, self.data, self.host, self.port = name, data, host, port

    def connect(self, database="postgres"):
        connection = psycopg2.connect(host=self.host, port=self.port, dbname=database, user="postgres")
        connection.autocommit = True
        return connection

    def value(self, sql, *values):
        connection = self.connect()
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            result = cursor.fetchone()[0] if cursor.description else None
        connection.close()
        return result

    def is_running(self):
        return os.path.exists(self.data + "/postmaster.pid")

    def start(self):
        if self.is_running():
            return
        subprocess.run(["pg_ctl", "start", "--silent", "--wait", "--pgdata=" + self.data,
                        "--log=%s/%s.log" % (FOLDER, self.name),
                        "--options=-p %s -k %s -c listen_addresses=" % (self.port, self.host)],
                       check=True, stdin=subprocess.DEVNULL)

    def stop(self):
        if not self.is_running():
            return
        subprocess.run(["pg_ctl", "stop", "--silent", "--wait", "--mode=fast", "--pgdata=" + self.data], check=True)

    def sessions_used(self):
        """CPU seconds of the sessions that have ended."""
        with open(self.data + "/postmaster.pid") as file:
            pid = int(file.readline())
        return used(pid, slice(13, 15))


class Load:
    """pgbench at a server, begun; ends with transactions a second and how many there were."""

    def __init__(self, server, sql, clients, *options, user="bench_reader"):
        file = "%s/%s.sql" % (FOLDER, user)
        if not os.path.exists(file):
            with open(file, "w") as script:
                script.write(sql)
        self.server = server
        self.before = server.sessions_used()
        self.process = subprocess.Popen(
            ["pgbench", "--no-vacuum", "--protocol=prepared", "--client=%d" % clients,
             "--jobs=%d" % (1 if clients < 3 else 3), "--file=" + file, "--host=" + server.host,
             "--port=%s" % server.port, "--username=" + user, *options, "postgres"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self):
        output = self.process.communicate()[0]
        rate = re.search(r"^tps = ([0-9.]+)", output, re.M)
        done = re.search(r"^number of transactions actually processed: ([0-9]+)", output, re.M)
        if self.process.returncode != 0 or not rate:
            sys.exit("pgbench failed: " + output)
        # A session's CPU counts as its parent's when it has been waited for.
        time.sleep(0.2)
        self.cpu = self.server.sessions_used() - self.before
        self.rate, self.transactions = float(rate.group(1)), int(done.group(1))
        return self


rows = [("figure", "compared with", "measured", "ratio", "spread")]


def show(number):
    return format(number, ",.0f" if number >= 100 else ".3g")


def compare(name, baseline, pairs, unit):
    """Note a figure: pairs of (baseline, measured), one a round."""
    ratios = [it / base for base, it in pairs]
    rows.append((name, "%s: %s %s" % (baseline, show(statistics.median(base for base, _ in pairs)), unit),
                 "%s %s" % (show(statistics.median(it for _, it in pairs)), unit),
                 "%.3g" % statistics.median(ratios), "%.3g-%.3g" % (min(ratios), max(ratios))))
    print(*rows[-1], sep=" | ")


def state(name, numbers, unit):
    rows.append((name, "", "%s %s" % (show(statistics.median(numbers)), unit), "",
                 "%s-%s" % (show(min(numbers)), show(max(numbers)))))
    print(*rows[-1], sep=" | ")


def set_up():
    primary = Server("primary", os.path.dirname(os.environ["PGHOST"]) + "/data", os.environ["PGHOST"],
                     os.environ["PGPORT"])
    connection = primary.connect()
    cursor = connection.cursor()
    cursor.execute("SET client_min_messages = warning;"
                   "CREATE EXTENSION partition_registry CASCADE;"
                   "CREATE ROLE bench_reader LOGIN; CREATE ROLE bench_writer LOGIN;"
                   "ALTER ROLE bench_reader SET plan_cache_mode = force_generic_plan;"
                   "ALTER ROLE bench_writer SET partreg.notify = off;"
                   "SELECT partreg.grant_privileges('bench_reader', 'reader'),"
                   "       partreg.grant_privileges('bench_writer', 'writer')")
    cursor.execute("SELECT partreg.register_provider('p', partreg.register_source(name, 'bench'),"
                   "       trusted_role => 'bench_writer')"
                   "  FROM (SELECT 's' || generate_series(1, %s) UNION ALL SELECT 'w' || generate_series(0, %s)) t (name)",
                   (SOURCES, WRITERS))
    cursor.execute("SET SESSION AUTHORIZATION bench_writer")
    whole = "tstzrange('2020-01-01 00:00+00', '2020-01-01 00:00+00'::timestamptz + %d * interval '1 hour')" % HOURS
    for call in ("register_partitions('s' || n, 'p', %s, '1 hour')" % whole, "unlock_partitions('s' || n, 'p', %s)" % whole):
        cursor.execute("SELECT partreg.%s FROM generate_series(1, %d) n" % (call, SOURCES))
    cursor.execute("RESET SESSION AUTHORIZATION")
    cursor.execute("VACUUM ANALYZE")
    cursor.execute("CHECKPOINT")
    connection.close()

    servers = [primary]
    for number in (1, 2):
        standby = Server("standby%d" % number, "%s/standby%d" % (FOLDER, number), FOLDER, int(primary.port) + number)
        subprocess.run(["pg_basebackup", "--checkpoint=fast", "--write-recovery-conf", "--pgdata=" + standby.data], check=True)
        standby.start()
        servers.append(standby)

    site = Server("site", FOLDER + "/site", FOLDER, int(primary.port) + 3)
    subprocess.run(["initdb", "--pgdata=" + site.data, "--username=postgres", "--encoding=UTF8", "--locale=C",
                    "--no-instructions", "--auth=trust"], check=True, stdout=subprocess.DEVNULL)
    with open(site.data + "/postgresql.conf", "a") as file:
        file.write("shared_buffers = 512MB\nmax_wal_size = 8GB\ncheckpoint_timeout = 1h\nautovacuum = off\nwal_level = logical\n")
    site.start()
    site.value("CREATE EXTENSION partition_registry CASCADE")
    tables = "source provider pending partition lock coverage event registry".split()
    primary.value("CREATE PUBLICATION two_sites FOR TABLE " + ", ".join("partreg." + table for table in tables))
    site.value("CREATE SUBSCRIPTION two_sites CONNECTION 'host=%s port=%s user=postgres dbname=postgres'"
               " PUBLICATION two_sites" % (primary.host, primary.port))
    while not site.value("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"):
        time.sleep(0.2)
    return servers, site


# --------------------------------------------------------------------------
# Checks

def checks(*loads):
    """Checks a second of all (server, clients) at once, and CPU microseconds a check."""
    begun = [Load(server, CHECK, clients, "--time=%d" % SLICE) for server, clients in loads]
    ended = [load.end() for load in begun]
    return sum(load.rate for load in ended), sum(load.cpu for load in ended) / sum(load.transactions for load in ended) * 1e6


def measure_checks(servers):
    primary, standby, _ = servers
    ways = {"one": [(primary, 1)], "standby": [(standby, 1)], "many": [(primary, 6)],
            "three": [(server, 2) for server in servers]}
    rounds = [{way: checks(*loads) for way, loads in ways.items()} for _ in range(ROUNDS + 1)][1:]

    def pairs(base, it, which):
        return [(told[base][which], told[it][which]) for told in rounds]

    compare("checks of a standby, one client", "of the primary", pairs("one", "standby", 0), "a second")
    compare("CPU of a check on a standby, one client", "on the primary", pairs("one", "standby", 1), "us")
    compare("checks of primary and two standbys, two clients each", "of the primary, six clients",
            pairs("many", "three", 0), "a second")
    compare("CPU of a check on all three, two clients each", "on the primary, six clients",
            pairs("many", "three", 1), "us")
    compare("CPU of a check, six clients of one server", "one client", pairs("one", "many", 1), "us")


# --------------------------------------------------------------------------
# Unlocks

written = 0


def unlocks(primary, count=WRITES):
    global written
    load = Load(primary, UNLOCK, WRITERS, "--transactions=%d" % count, "--define=i=%d" % written, user="bench_writer").end()
    written += count
    return load.rate, load.cpu / load.transactions * 1e6


def caught_up(primary, name):
    end = primary.value("SELECT pg_current_wal_insert_lsn()")
    while not primary.value("SELECT coalesce(bool_or(replay_lsn >= %s), false) FROM pg_stat_replication"
                            " WHERE application_name = %s", end, name):
        time.sleep(0.02)


def measure_unlocks(servers, site):
    primary, *standbys = servers
    ways = ["alone", "standbys", "site"]
    rounds = []
    for _ in range(ROUNDS + 1):
        told = {}
        for way in ways:
            site.value("ALTER SUBSCRIPTION two_sites " + ("ENABLE" if way == "site" else "DISABLE"))
            for standby in standbys:
                standby.start() if way == "standbys" else standby.stop()
            time.sleep(1)
            if way != "alone":
                caught_up(primary, "walreceiver" if way == "standbys" else "two_sites")
            told[way] = unlocks(primary)
        rounds.append(told)
        # Each comes first, in the middle and last.
        ways = ways[1:] + ways[:1]
    for way, what in (("standbys", "two standbys follow"), ("site", "a site follows")):
        compare("durable unlocks, 8 clients, %s" % what, "nobody follows",
                [(told["alone"][0], told[way][0]) for told in rounds[1:]], "a second")
        compare("CPU of an unlock in its session, %s" % what, "nobody follows",
                [(told["alone"][1], told[way][1]) for told in rounds[1:]], "us")


def measure_arrival(servers, site):
    """From the commit of an unlock until a check there says ready."""
    primary, standby, _ = servers
    caught_up(primary, "two_sites")
    caught_up(primary, "walreceiver")
    writer = primary.connect().cursor()
    writer.execute("SET SESSION AUTHORIZATION bench_writer")
    hour = 0
    for server, what in ((standby, "a standby"), (site, "the other site")):
        reader = server.connect().cursor()
        late = []
        for _ in range(WAITS):
            hour += 1
            start = "'2020-01-01 00:00+00'::timestamptz + %d * interval '1 hour'" % hour
            writer.execute("SELECT partreg.unlock_partition('w%d', 'p', tstzrange(%s, %s + interval '1 hour'), register => true)"
                           % (WRITERS, start, start))
            began = time.perf_counter()
            ready = False
            while not ready:
                reader.execute("SELECT partreg.check_readiness('w%d', tstzrange(%s, %s + interval '1 hour'))"
                               % (WRITERS, start, start))
                ready = reader.fetchone()[0]
            late.append((time.perf_counter() - began) * 1e3)
        state("an unlock is ready at %s after its commit" % what, late, "ms")


def measure_backlog(primary, site):
    """How fast one site, by its one worker, catches up with what eight clients have written."""
    rates, cpu = [], []
    for _ in range(ROUNDS):
        site.value("ALTER SUBSCRIPTION two_sites DISABLE")
        unlocks(primary, BACKLOG)
        site.value("ALTER SUBSCRIPTION two_sites ENABLE")
        while True:
            worker = site.value("SELECT max(pid) FROM pg_stat_subscription")
            if worker is not None:
                break
            time.sleep(0.01)
        began, before = time.perf_counter(), used(worker)
        caught_up(primary, "two_sites")
        rates.append(BACKLOG * WRITERS / (time.perf_counter() - began))
        cpu.append((used(worker) - before) / (BACKLOG * WRITERS) * 1e6)
    state("unlocks that the other site catches up with", rates, "a second")
    state("CPU of the worker that applies an unlock there", cpu, "us")


def main():
    servers, site = set_up()
    print("partition_registry %s, PostgreSQL %s, %d cores, fsync on, %s partitions, load %s, %s" % (
        servers[0].value("SELECT extversion FROM pg_extension WHERE extname = 'partition_registry'"),
        servers[0].value("SHOW server_version"), os.cpu_count(), format(SOURCES * HOURS, ","),
        " ".join("%.1f" % load for load in os.getloadavg()), time.strftime("%Y-%m-%d")))
    measure_checks(servers)
    measure_arrival(servers, site)
    measure_backlog(servers[0], site)
    measure_unlocks(servers, site)
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    print()
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print("load at the end %s" % " ".join("%.1f" % load for load in os.getloadavg()))


main()
