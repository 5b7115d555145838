"""Where on the time axis a source is tried: n + 1 points for n instants.

Microseconds, so that being one off shows; hours and days; the calendar of
several zones around their clock changes; both ends of what a timestamp can
hold; the years BC; the zero of the server's own count.  None is near the
present, so that what ends now ends before or after all of its points.
"""

import datetime

from model import DAY, SECOND, TIMESTAMP_END, TIMESTAMP_MIN, Step, add_steps, from_local

ZONES = ('Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Havana', 'Asia/Beirut', 'UTC')
UNITS = (1, 1, SECOND, 60 * SECOND, 3600 * SECOND, DAY)


class Grid:
    def __init__(self, kind, points, step=None, zone=None):
        self.kind = kind
        self.points = points
        self.step = step                    # from each point to the next
        self.zone = zone


def uniform(kind, start, unit, count):
    return Grid(kind, [start + i * unit for i in range(count + 1)], Step(microseconds=unit))


def calendar(random, count):
    """Days or months of a zone, with the change of the clocks among them."""
    zone = random.choice(ZONES)
    year = random.randint(1990, 2010)
    if random.random() < 0.7:
        day = random.choice(((3, 25), (3, 8), (4, 1), (10, 24), (11, 1), (2, 27)))
        step = Step(days=1)
    else:
        day = (random.randint(1, 12), random.choice((1, 15, 31)))
        if day[1] == 31 and day[0] not in (1, 3, 5, 7, 8, 10, 12):
            day = (1, 31)
        step = Step(months=1)
    start = datetime.datetime(year, *day, random.choice((0, 0, 0, 1, 2, 3)), random.choice((0, 30)))
    start = from_local(start, zone)
    return Grid('calendar', [add_steps(start, step, i, zone) for i in range(count + 1)], step, zone)


def irregular(random, count):
    """Bounds an hour apart, some with one a microsecond beside them."""
    points = set()
    at = random.randrange(-10**15, 4 * 10**14) // (3600 * SECOND) * 3600 * SECOND
    while len(points) < count + 1:
        points.add(at + random.choice((-1, 0, 0, 1)))
        if random.random() < 0.3:
            at += 3600 * SECOND * random.choice((1, 1, 2, 24, 1000))
    return Grid('irregular', sorted(points))


def random_grid(random, count):
    kind = random.choice(('recent', 'recent', 'calendar', 'irregular', 'irregular', 'BC', 'zero',
                          'first', 'last', 'whole'))
    unit = random.choice(UNITS)
    if kind == 'calendar':
        return calendar(random, count)
    if kind == 'irregular':
        return irregular(random, count)
    if kind == 'recent':
        start = random.randrange(0, 4 * 10**14)
        if random.random() < 0.7:
            start = start // unit * unit
    elif kind == 'BC':
        start = random.randrange(TIMESTAMP_MIN, -63113904000000000)
    elif kind == 'zero':
        start = random.choice((0, -10957 * DAY, -730485 * DAY)) - random.randint(0, count) * unit
    elif kind == 'first':
        start = TIMESTAMP_MIN
    elif kind == 'last':
        start = TIMESTAMP_END - 1 - count * unit
    else:
        # From the first to the last timestamp there is, in few great strides.
        unit = (TIMESTAMP_END - 1 - TIMESTAMP_MIN) // count
        start = TIMESTAMP_MIN + (TIMESTAMP_END - 1 - TIMESTAMP_MIN) % count
    return uniform(kind, start, unit, count)
