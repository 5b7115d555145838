#!/usr/bin/env python3
"""How many readiness checks a second: by HTTP, and by a call of the database.

    clients/http/bench.py URL SOURCE START END [SECONDS]

URL leads to a running gateway; PGHOST and the like to its database.  Each
contender keeps its connection; they take turns, five rounds of SECONDS (2), one
client and then eight.  Printed: median, slowest and fastest round.  The clients
are on this machine too, so that the figures are of machine and load as well.
"""

import http.client
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from urllib.parse import quote, urlencode, urlsplit

import psycopg

ROUNDS = 5


def by_http(url: str, source: str, start: str, end: str) -> Callable[[], None]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    query = urlencode({"start": start, "end": end})
    path = f"/sources/{quote(source, safe='')}/check_readiness?{query}"

    def ask() -> None:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or b'"is_ready":true' not in body:
            sys.exit(f"not ready: {body!r}")

    return ask


def directly(_: str, source: str, start: str, end: str) -> Callable[[], None]:
    connection = psycopg.connect(autocommit=True)
    statement = "SELECT partreg.check_readiness(%s, tstzrange(%s, %s))"

    def ask() -> None:
        row = connection.execute(statement, (source, start, end)).fetchone()
        if row != (True,):
            sys.exit("not ready")

    return ask


def count(begin: Callable[..., Callable[[], None]], given: list[str], seconds: float) -> int:
    ask = begin(*given)
    ask()
    done = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ask()
        done += 1
    return done


def main() -> None:
    given = sys.argv[1:5]
    if len(given) < 4:
        sys.exit(__doc__)
    seconds = float(sys.argv[5]) if len(sys.argv) > 5 else 2.0
    for clients in (1, 8):
        rates: dict[str, list[float]] = {"http": [], "direct": []}
        with multiprocessing.Pool(clients) as pool:
            for _ in range(ROUNDS):
                for name, begin in (("http", by_http), ("direct", directly)):
                    done = pool.starmap(count, [(begin, given, seconds)] * clients)
                    rates[name].append(sum(done) / seconds)
        who = f"{clients} client{'s' * (clients > 1)}"
        for name, found in rates.items():
            print(
                f"{who}, {name:6}: "
                f"{statistics.median(found):6.0f} checks/s ({min(found):.0f} to {max(found):.0f})"
            )
        ratios = [d / h for d, h in zip(rates["direct"], rates["http"], strict=True)]
        print(f"{who}: direct is {statistics.median(ratios):.1f} times http")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
