"""Values as SQL text, and results back into values.

Timestamps go out as text with an explicit zone, written by hand, because
Python's own end at the year 9999; and come back as the eight bytes of the
server's binary format, so that neither TimeZone nor DateStyle matters.
"""

import itertools
import json
import struct

from model import DAY, INFINITY, MINUS_INFINITY, Details, Lease, Range, Step, Token

TIMES = {}


def timestamp(value):
    """A timestamp as text."""
    text = TIMES.get(value)
    if text is None:
        text = TIMES[value] = make_timestamp(value)
    return text


def make_timestamp(value):
    if value == INFINITY:
        return 'infinity'
    if value == MINUS_INFINITY:
        return '-infinity'
    days, microseconds = divmod(value, DAY)
    # Days since 0000-03-01 of the Gregorian calendar, in eras of 400 years.
    era, day = divmod(days + 730425, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day += 1 - (153 * month + 2) // 5
    year += era * 400 + (month >= 10)
    month += 3 if month < 10 else -9
    seconds, microseconds = divmod(microseconds, 1000000)
    text = '%04d-%02d-%02d %02d:%02d:%02d' % (
        year if year > 0 else 1 - year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60)
    if microseconds:
        text += '.%06d' % microseconds
    return text + '+00' + ('' if year > 0 else ' BC')


def string(value):
    return "'" + value.replace("'", "''") + "'"


def short(value):
    """A string that may be long and monotonous, as an expression for people."""
    parts = ['']
    for char, run in itertools.groupby(value):
        length = len(list(run))
        if length < 20:
            parts[-1] += char * length
        else:
            parts += ["repeat(%s, %d)" % (string(char), length), '']
    return ' || '.join(part if i % 2 else string(part) for i, part in enumerate(parts)
                       if part or len(parts) == 1)


def range_text(value):
    if value.empty:
        return 'empty'
    bounds = ['' if bound is None else '"' + timestamp(bound) + '"'
              for bound in (value.lower, value.upper)]
    return value.flags[0] + ','.join(bounds) + value.flags[1]


def literal(value, variables=False):
    """A value as an SQL expression.  With variables, tokens are psql's."""
    if value is None:
        return 'NULL'
    if isinstance(value, str):
        return short(value) if variables else string(value)
    if isinstance(value, Range):
        return string(range_text(value)) + '::tstzrange'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, int):
        return string(timestamp(value)) + '::timestamptz'
    if isinstance(value, Token):
        return ":'%s'" % value.variable if variables and hasattr(value, 'variable') \
            else string(value.text)
    if isinstance(value, Lease):
        return string(value.text)
    if isinstance(value, Details):
        return string(json.dumps(value.value, ensure_ascii=False)) + '::jsonb'
    if isinstance(value, Step):
        return string('%d months %d days %d microseconds'
                      % (value.months, value.days, value.microseconds))
    raise TypeError(value)


def array(values, of):
    """An array; its elements' type is named once."""
    texts = []
    for value in values:
        text = ('NULL' if value is None else range_text(value) if isinstance(value, Range)
                else value if isinstance(value, str) else timestamp(value))
        if value is not None:
            text = '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'
        texts.append(text)
    return string('{' + ','.join(texts) + '}') + '::' + of


def from_timestamp(hexadecimal):
    """What timestamptz_send gave, as text."""
    if hexadecimal is None:
        return None
    value = int(hexadecimal[2:], 16)
    return value - 2**64 if value >= 2**63 else value


def from_range(hexadecimal):
    """What range_send gave for a tstzrange, as text: a Range."""
    if hexadecimal is None:
        return None
    data = bytes.fromhex(hexadecimal[2:])
    flags = data[0]
    if flags & 0x01:
        return Range(None, None, empty=True)
    at, bounds = 1, []
    for is_unbounded in (0x08, 0x10):
        if flags & is_unbounded:
            bounds.append(None)
        else:
            bounds.append(struct.unpack_from('>q', data, at + 4)[0])
            at += 12
    return Range(*bounds, ('[' if flags & 0x02 else '(') + (']' if flags & 0x04 else ')'))


def from_half_open(hexadecimal):
    """The same for one that has to be [start, end), as a pair."""
    value = from_range(hexadecimal)
    assert not value.empty and value.flags == '[)', range_text(value)
    return value.lower, value.upper
