"""The bounds of local dates, by definition.

A local date begins at the first instant at which the clock of its zone shows its
midnight or has passed it.  Where the clock changes is read from the server's own
tz data; how far it is from UTC, Python's zoneinfo says.
"""

import bisect
import calendar
import datetime
import os
import struct
import subprocess
import zoneinfo

DAY = 86400
UTC = datetime.timezone.utc
FIRST_DAY = datetime.date(1990, 1, 1)
LAST_DAY = datetime.date(2036, 1, 1)


def find_data():
    """The folder of the server's tz data."""
    def configured(option):
        return subprocess.run([os.environ.get('PG_CONFIG', 'pg_config'), option],
                              check=True, capture_output=True, text=True).stdout.strip()
    for word in configured('--configure').replace("'", ' ').split():
        if word.startswith('--with-system-tzdata='):
            return word.partition('=')[2]
    return os.path.join(configured('--sharedir'), 'timezone')


DATA = find_data()
zoneinfo.reset_tzpath([DATA])


def read(name):
    with open(os.path.join(DATA, name), 'rb') as file:
        return file.read()


def same_clocks(names):
    """Lists of the names whose clocks show the same, and changed at the same instants."""
    groups, keys = {}, {}
    for name in sorted(names, key=lambda name: (name.startswith('posix/'), '/' not in name, name)):
        data = read(name)
        if data not in keys:
            zone = Zone(name)
            keys[data] = tuple(zone.starts), tuple(zone.offsets)
        groups.setdefault(keys[data], []).append(name)
    return list(groups.values())


def seconds(date):
    return calendar.timegm(date.timetuple())


class Zone:
    """Stretches of time with one offset: when they begin, and the offset."""

    def __init__(self, name):
        self.info = zoneinfo.ZoneInfo(name)
        self.starts = []
        self.offsets = []
        begin, end = seconds(FIRST_DAY) - 30 * DAY, seconds(LAST_DAY) + 30 * DAY
        changes = [change for change in self.changes(read(name)) if begin < change < end]
        self.add(begin)
        for change in changes:
            self.add(change)
        # What the table leaves to the rule at its end, which has no two changes in a week
        for at in range(self.starts[-1], end, 7 * DAY):
            if self.offset(at + 7 * DAY) != self.offsets[-1]:
                low, high = at, at + 7 * DAY
                while high - low > 1:
                    middle = (low + high) // 2
                    if self.offset(middle) == self.offsets[-1]:
                        low = middle
                    else:
                        high = middle
                self.add(high)
        self.ends = self.starts[1:] + [end + DAY]

    @staticmethod
    def changes(data):
        """The table of changes in a file of tz data (RFC 8536)."""
        def header(at):
            return struct.unpack_from('>6l', data, at + 20)
        isut, isstd, leap, times, types, letters = header(0)
        second = 44 + times * 5 + types * 6 + letters + leap * 8 + isstd + isut
        return struct.unpack_from('>%dq' % header(second)[3], data, second + 44)

    def offset(self, at):
        return int(datetime.datetime.fromtimestamp(at, UTC).astimezone(self.info).utcoffset().total_seconds())

    def add(self, start):
        self.starts.append(start)
        self.offsets.append(self.offset(start))

    def first(self, local):
        """The first instant at which the clock shows a local time or has passed it."""
        instants = []
        for i in range(max(bisect.bisect(self.starts, local - 2 * DAY) - 1, 0), len(self.starts)):
            if self.starts[i] > local + 2 * DAY:
                break
            instant = max(self.starts[i], local - self.offsets[i])
            if instant < self.ends[i]:
                instants.append(instant)
        return min(instants)


class Bounds:
    """Where the dates of a zone begin; and which instants are not of the date
    that their partition is of, for which there is one excuse."""

    def __init__(self, zone):
        first = seconds(FIRST_DAY)
        self.bounds = [zone.first(local) for local in range(first, seconds(LAST_DAY) + DAY, DAY)]
        self.strays = []
        self.compared = 0
        for i, start in enumerate(zone.starts[1:], 1):
            if not self.bounds[0] < start < self.bounds[-1]:
                continue
            # Of dates that begin together the last one is there.
            date = bisect.bisect(self.bounds, start) - 1
            shown = (start + zone.offsets[i] - first) // DAY
            back = zone.offsets[i] < zone.offsets[i - 1]
            self.compared += 1
            if shown != date and not (back and shown < date):
                self.strays.append(('stray', FIRST_DAY + datetime.timedelta(days=date), start))

    def months(self, day):
        """Where months begin that are counted from this day of the first one."""
        result = []
        for year in range(FIRST_DAY.year, LAST_DAY.year):
            for month in range(1, 13):
                date = datetime.date(year, month, min(day, calendar.monthrange(year, month)[1]))
                result.append(self.bounds[(date - FIRST_DAY).days])
        return result
