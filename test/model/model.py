"""A naive registry, to compare partition_registry with.

It holds a registry in plain Python objects and answers every question by the
sentences of the contract, one instant after the other.  Nothing here is
clever: an interval is the set of the instants in it, and no two intervals are
ever joined, cut or searched.  It shares no code with the extension.

Time.  A timestamp is an integer, microseconds since 2000-01-01 UTC.  A source
is watched at a few points p0 < p1 < … < pn, and every bound that is ever used
with it is one of them.  So nothing changes between two points, and instant i
stands for all of [pi, pi+1); the last one stands for what comes after.

Calls are methods with the names and arguments of the SQL functions, and the
caller's role in front.  They return what the function returns or raise
Refused with its SQLSTATE.  A new token is a Token, an object whose text the
caller of the method fills in.
"""

import datetime
import json
import zoneinfo

TIMESTAMP_MIN = -211813488000000000         # 4714-11-24 00:00:00 BC
MAX_PARTITIONS = 10000000
TIMESTAMP_END = 9223371331200000000         # 294277-01-01, not representable
INFINITY = 2**63 - 1
MINUS_INFINITY = -2**63

SECOND = 1000000
DAY = 86400 * SECOND

LEVELS = {'reader': 'R', 'writer': 'RW', 'admin': 'RWA', 'operator': 'RWAX', 'owner': 'RWAXO'}
WRITES_OF_ADMIN = ('register_source', 'drop_source')
WRITES_OF_OPERATOR = ('force_fail_partition',)
WRITES_OF_OWNER = ('reset_access_token',)

# The word for programs that goes with a SQLSTATE, where the model does not say
# which.  A role that does not exist has none.
CONDITIONS = {'42501': ('not_allowed',), '42710': ('already_exists',), '22023': ('bad_argument',),
              '22004': ('bad_argument',),
              '42704': ('unknown_source', 'unknown_provider', 'unknown_partition', 'bad_argument', None)}


class Refused(Exception):
    """A call fails with this SQLSTATE and one of these conditions, and changes
    nothing.  Where it is wrong in several ways, `others` are as good."""

    def __init__(self, sqlstate, *conditions, others=()):
        super().__init__(sqlstate, *conditions)
        self.sqlstate = sqlstate
        self.conditions = conditions or CONDITIONS.get(sqlstate, (None,))
        self.others = others

    def is_met_by(self, sqlstate, condition):
        return self.sqlstate == sqlstate and condition in self.conditions \
            or any(other.is_met_by(sqlstate, condition) for other in self.others)

    def __str__(self):
        return ' or '.join('%s %s' % (r.sqlstate, '/'.join(map(str, r.conditions))) for r in (self, *self.others))


class Anything:
    """What the contract leaves open."""

    def __eq__(self, other):
        return True

    def __repr__(self):
        return '(anything)'


ANYTHING = Anything()


def held_by_other():
    """The call names nobody, and somebody else has the lock."""
    return Refused('55006', 'held_by_other')


def lock_lost():
    """The holder that is named has not the lock."""
    return Refused('55006', 'lock_lost')


class Token:
    """A token the registry gave out, or (good for nothing) an invented one."""

    def __init__(self, kind, text=None):
        self.kind = kind
        self.text = text


class Range:
    """A tstzrange.  A bound is None (none), a timestamp or an infinity."""

    def __init__(self, lower, upper, flags='[)', empty=False):
        self.lower = lower
        self.upper = upper
        self.flags = flags
        self.empty = empty

    def half_open(self):
        """(lower, upper) of the same microseconds as [lower, upper)."""
        lower, upper = self.lower, self.upper
        if self.flags[0] == '(' and lower not in (None, INFINITY, MINUS_INFINITY):
            lower += 1
        if self.flags[1] == ']' and upper not in (None, INFINITY, MINUS_INFINITY):
            upper += 1
        return lower, upper

    def limits(self):
        """The same with infinity for no bound; None if there is nothing in it."""
        if self.empty:
            return None
        lower, upper = self.half_open()
        lower = MINUS_INFINITY if lower is None else lower
        upper = INFINITY if upper is None else upper
        return (lower, upper) if lower < upper else None


class Step:
    """An interval as a step: months, then days, by the calendar; then time."""

    def __init__(self, months=0, days=0, microseconds=0):
        self.months = months
        self.days = days
        self.microseconds = microseconds


class Details:
    """A jsonb value; None: an SQL NULL would be meant, and there is no Details."""

    def __init__(self, value):
        self.value = value

    def usable(self):
        # As PostgreSQL writes jsonb
        return isinstance(self.value, dict) and len(json.dumps(self.value, ensure_ascii=False).encode()) <= 8000


class Lease:
    """An interval as a length of time, with the text it is written as."""

    def __init__(self, text, microseconds):
        self.text = text
        self.microseconds = microseconds    # None: unusable


def finite(during):
    """The bounds of a range that has to be finite and hold something."""
    if during.empty:
        raise Refused('22023')
    for bound in (during.lower, during.upper):
        if bound in (None, INFINITY, MINUS_INFINITY):
            raise Refused('22023')
    start, end = during.half_open()
    if start >= end or end >= TIMESTAMP_END:
        raise Refused('22023')
    return start, end


def check_name(name):
    if not 1 <= len(name.encode()) <= 200 or name != name.strip(' ') \
            or any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise Refused('22023')


def cut_reason(reason):
    """At most 2,000 bytes, whole characters."""
    if reason is not None:
        reason = reason.encode()[:2000].decode(errors='ignore')
    return reason


def required(*arguments):
    if None in arguments:
        raise Refused('22004')


EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)


def to_local(timestamp, zone):
    return (EPOCH + datetime.timedelta(microseconds=timestamp)).astimezone(
        zoneinfo.ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def from_local(local, zone):
    """The first instant at which the clock shows a local time or has passed it."""
    early, late = sorted(
        (local.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold).astimezone(datetime.timezone.utc)
         - EPOCH) // datetime.timedelta(microseconds=1) for fold in (0, 1))
    if to_local(early, zone) >= local:
        return early
    # Clocks skip it, somewhere between the two.
    while late - early > 1:
        middle = (early + late) // 2
        if to_local(middle, zone) >= local:
            late = middle
        else:
            early = middle
    return late


def month_later(local, months):
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = local.day
    while True:
        try:
            return local.replace(year=year, month=month + 1, day=day)
        except ValueError:
            day -= 1


def add_steps(start, step, count, zone):
    """start + count * step, by the calendar of the zone."""
    if count and (step.months or step.days):
        local = to_local(start, zone)
        midnight = datetime.datetime(local.year, local.month, local.day)
        if from_local(midnight, zone) == start:
            local = midnight
        local = month_later(local, count * step.months)
        start = from_local(local + datetime.timedelta(days=count * step.days), zone)
    return start + count * step.microseconds


class Provider:
    def __init__(self, name, token, trusted_role, effective):
        self.name = name
        self.token = token
        self.old_token = None
        self.trusted_role = trusted_role
        self.effective = effective          # a Range
        self.ends_now_at_latest = None      # when it was revoked, if it was
        self.revoked = False

    def copy(self):
        new = Provider.__new__(Provider)
        new.__dict__.update(self.__dict__)
        return new

    def limits(self):
        """The time for which it is asked, as two timestamps; None: it is not."""
        limits = self.effective.limits()
        if limits is not None and self.ends_now_at_latest is not None:
            lower, upper = limits
            upper = min(upper, self.ends_now_at_latest)
            limits = (lower, upper) if lower < upper else None
        return limits

    def asked_at(self, timestamp):
        """Does `effective` hold this timestamp?"""
        if self.effective.empty:
            return False
        lower, upper = self.effective.half_open()
        if self.ends_now_at_latest is not None and timestamp >= self.ends_now_at_latest:
            return False
        return (lower is None or lower <= timestamp) and (upper is None or timestamp < upper)


class Partition:
    def __init__(self, provider, start, end, instants, version):
        self.provider = provider            # its name
        self.start = start
        self.end = end
        self.instants = instants
        self.state = 'registered'
        self.ever_unlocked = False
        self.holder = None
        self.lease = None                   # a Lease
        self.reason = None
        self.last = None, None              # the last change of state: what, by which holder
        self.details = None                 # of its last unlock
        self.born = version                 # told apart from its namesakes, and
        self.since = version                # this state from earlier ones

    def copy(self):
        new = Partition.__new__(Partition)
        new.__dict__.update(self.__dict__)
        return new


class Source:
    def __init__(self, name, owner, rule, token, points, trusted_role=None):
        self.name = name
        self.owner = owner
        self.rule = rule
        self.token = token
        self.trusted_role = trusted_role
        self.old_token = None
        self.points = points
        self.number = {point: i for i, point in enumerate(points)}
        self.providers = {}
        self.partitions = {}                # (provider, start, end) -> Partition
        self.answers = None

    def copy(self):
        new = Source.__new__(Source)
        new.__dict__.update(self.__dict__)
        new.providers = {k: v.copy() for k, v in self.providers.items()}
        new.partitions = {k: v.copy() for k, v in self.partitions.items()}
        return new

    # -- instants

    def instants(self, lower, upper):
        """The instants of [lower, upper)."""
        for bound in (lower, upper):
            assert bound in (None, INFINITY, MINUS_INFINITY) or bound in self.number, \
                'the model does not watch this time'
        if lower in self.number and upper in self.number:
            return frozenset(range(self.number[lower], self.number[upper]))
        return frozenset(i for i, point in enumerate(self.points)
                         if (lower is None or lower <= point) and (upper is None or point < upper))

    def runs(self, instants):
        """[start, end) for each unbroken run of instants."""
        bounds = []
        for i in sorted(instants):
            if i - 1 not in instants:
                bounds.append([self.points[i], None])
            if i + 1 not in instants:
                bounds[-1][1] = self.points[i + 1]
        return [tuple(run) for run in bounds]

    # -- answers, instant by instant

    def asked(self, i):
        return [name for name, v in self.providers.items() if v.asked_at(self.points[i])]

    def is_available(self, i, suppliers):
        if self.rule == 'any':
            return len(suppliers) > 0
        return len(suppliers) > 0 and all(name in suppliers for name in self.asked(i))

    def evaluate(self):
        """Of each instant: who has unlocked a partition over it, whether it is
        available, whether it is ready; remembered until something changes."""
        if self.answers is None:
            suppliers = [set() for _ in self.points]
            blocked = [False for _ in self.points]
            for p in self.partitions.values():
                for i in p.instants:
                    if p.ever_unlocked:
                        suppliers[i].add(p.provider)
                    if p.state in ('locked', 'failed'):
                        blocked[i] = True
            available = [self.is_available(i, names) for i, names in enumerate(suppliers)]
            self.answers = suppliers, available, [a and not b for a, b in zip(available, blocked)]
        return self.answers

    def changed(self):
        self.answers = None

    def ready(self, i):
        return self.evaluate()[2][i]

    def is_ready(self, start, end):
        return all(self.ready(i) for i in self.instants(start, end))

    def explain(self, start, end, registered_at, lock_times):
        """The rows of explain_readiness.

        The model has no clock: registered_at and lock_times, by partition,
        are what the views show (lock_times: since, lease_expires_at).
        """
        asked_for = self.instants(start, end)
        pieces = {}

        def piece(i, *columns):
            pieces.setdefault(columns, set()).add(i)

        def supply_lacks(i, among, provider):
            """registered rows for each partition, where there is none a missing one"""
            registered = [p for p in among if p.state == 'registered' and i in p.instants]
            for p in registered:
                piece(i, 'registered', p.provider, registered_at[p.provider, p.start, p.end],
                      None, None, None)
            if not registered:
                piece(i, 'missing', provider, None, None, None, None)

        partitions = self.partitions.values()
        for p in partitions:
            if p.state in ('locked', 'failed'):
                since, lease_expires_at = lock_times[p.provider, p.start, p.end]
                for i in asked_for & p.instants:
                    piece(i, p.state, p.provider, since, p.holder, lease_expires_at, p.reason)
        supplied_by, available, _ = self.evaluate()
        for i in asked_for:
            if available[i]:
                continue
            lacking = [name for name in self.asked(i) if name not in supplied_by[i]]
            if self.rule == 'all' and lacking:
                for name in lacking:
                    supply_lacks(i, [p for p in partitions if p.provider == name], name)
            else:
                supply_lacks(i, partitions, None)
        rows = [(run[0], run[1]) + columns
                for columns, instants in pieces.items() for run in self.runs(instants)]
        return sorted(rows, key=obstacle_order)


def obstacle_order(row):
    """By start, end, provider byte by byte (none last), state; the rest makes
    an order out of what the contract leaves open."""
    start, end, state, provider, since, holder, lease_expires_at, reason = row
    return (start, end, provider is None, (provider or '').encode(), state,
            since or 0, holder or '', lease_expires_at or 0, reason or '')


def same_obstacles(expected, got):
    """Are these the rows, in an order that the contract allows?

    Partitions that lie over one another and were locked by one bulk call have
    rows that are alike and overlap; whether those are one row or several, and
    which of them is merged with a neighbour, the contract leaves open.
    """
    if got == expected:
        return True
    given = [obstacle_order(row)[:5] for row in got]
    if given != sorted(given):
        return False
    if sorted(got, key=obstacle_order) == expected:
        return True
    kinds = {}
    for row in got:
        kinds.setdefault(row[2:], []).append(row[:2])
    overlapping = {kind for kind, pieces in kinds.items()
                   if any(a[0] < b[1] and b[0] < a[1] for i, a in enumerate(pieces) for b in pieces[:i])}
    rows = [row for row in got if row[2:] not in overlapping]
    for kind in overlapping:
        whole = []
        for start, end in sorted(kinds[kind]):
            if whole and start <= whole[-1][1]:
                whole[-1][1] = max(end, whole[-1][1])
            else:
                whole.append([start, end])
        rows += [tuple(piece) + kind for piece in whole]
    return sorted(rows, key=obstacle_order) == expected


class Registry:
    def __init__(self, levels, members):
        """levels: role -> reader, writer, admin, operator or owner;
        members: role -> the roles it may use (itself not named)."""
        self.levels = levels
        self.members = members
        self.source_roles = True            # a source may have a trusted role
        self.sources = {}
        # (call, source, event, provider, start, end, actor, holder, reason, details)
        self.events = []
        self.calls = 0      # what one call did to many partitions has no order
        self.actor = None   # the caller of the call under way
        self.versions = 0   # never goes back, not even in a rollback

    # -- transactions

    def snapshot(self):
        return {name: source.copy() for name, source in self.sources.items()}, len(self.events)

    def restore(self, snapshot):
        sources, events = snapshot
        self.sources = {name: source.copy() for name, source in sources.items()}
        del self.events[events:]

    # -- helpers

    def version(self):
        self.versions += 1
        return self.versions

    def event(self, source, event, provider=None, partition=None, holder=None, reason=None, details=None):
        start, end = (partition.start, partition.end) if partition else (None, None)
        self.events.append((self.calls, source.name, event, provider, start, end, self.actor, holder, reason,
                            details))

    def permitted(self, caller, function):
        self.actor = caller
        self.calls += 1
        needs = ('A' if function in WRITES_OF_ADMIN else 'O' if function in WRITES_OF_OWNER else
                 'X' if function in WRITES_OF_OPERATOR else 'W')
        if needs not in LEVELS[self.levels[caller]]:
            # PostgreSQL's own error, without a word for programs
            raise Refused('42501', None)

    def check_role(self, role):
        if role is not None and role not in self.levels:
            raise Refused('42704')

    def may_use(self, caller, role):
        return role is not None and (caller == role or role in self.members.get(caller, ()))

    @staticmethod
    def is_token_of(token, thing):
        return token is not None and (token is thing.token or token is thing.old_token)

    def source_owner(self, source_name, token):
        """The source whose own token this is, or whose trusted role the caller."""
        if not self.source_roles:
            required(token)
        source = self.sources.get(source_name)
        if source is None or not self.is_token_of(token, source) \
                and not (token is None and self.may_use(self.actor, source.trusted_role)):
            raise Refused('42501')
        return source

    def writer(self, caller, source_name, provider_name, token):
        """(source, whether it was by the source's right) of a write on a partition."""
        source = self.sources.get(source_name)
        if source is None:
            raise Refused('42501')
        provider = source.providers.get(provider_name)
        if token is None and provider is not None and not provider.revoked \
                and self.may_use(caller, provider.trusted_role):
            # Trusted for both, it acts as the provider.
            return source, False
        if self.is_token_of(token, source) or token is None and self.may_use(caller, source.trusted_role):
            if provider is None:
                raise Refused('42704', 'unknown_provider')
            return source, True
        if provider is None or provider.revoked:
            raise Refused('42501')
        if not self.is_token_of(token, provider):
            raise Refused('42501')
        return source, False

    @staticmethod
    def partition(source, provider_name, during):
        start, end = finite(during)
        partition = source.partitions.get((provider_name, start, end))
        if partition is None:
            raise Refused('42704', 'unknown_partition')
        return partition

    @staticmethod
    def within(source, provider_name, during):
        """(the provider's partitions within, whether others merely overlap)"""
        if during.limits() is None:
            raise Refused('22023')
        instants = source.instants(*during.half_open())
        own = [p for p in source.partitions.values() if p.provider == provider_name]
        inside = [p for p in own if p.instants <= instants]
        partly = any(p.instants & instants and not p.instants <= instants for p in own)
        if not inside:
            raise Refused('42704', 'unknown_partition')
        return sorted(inside, key=lambda p: (p.start, p.end)), partly

    # -- sources and providers

    def register_source(self, caller, source_name, owner, rule='any', trusted_role=None, if_not_exists=None,
                        points=None):
        self.permitted(caller, 'register_source')
        required(source_name, owner)
        rule = 'any' if rule is None else rule
        check_name(source_name)
        check_name(owner)
        if rule not in ('any', 'all'):
            raise Refused('22023')
        self.check_role(trusted_role)
        if source_name in self.sources:
            if if_not_exists:
                return None
            raise Refused('42710')
        token = Token('prs')
        source = Source(source_name, owner, rule, token, points, trusted_role)
        self.sources[source_name] = source
        self.event(source, 'register_source')
        return token

    def register_provider(self, caller, provider_name, access_token=None, trusted_role=None, effective=None,
                          source_name=None):
        self.permitted(caller, 'register_provider')
        required(provider_name)
        if access_token is None:
            if source_name is None:
                raise Refused('22004', others=(Refused('42501'),))
            source = self.source_owner(source_name, None)
        else:
            source = next((s for s in self.sources.values() if self.is_token_of(access_token, s)), None)
        if source is None or source_name not in (None, source.name):
            raise Refused('42501')
        check_name(provider_name)
        self.check_role(trusted_role)
        known = source.providers.get(provider_name)
        if known is not None and not known.revoked:
            raise Refused('42710')
        token = Token('prp')
        source.providers[provider_name] = Provider(
            provider_name, token, trusted_role, effective or Range(None, None))
        source.changed()
        self.event(source, 'register_provider', provider_name, details=None if known is None else ANYTHING)
        return token

    def set_owner(self, caller, source_name, owner, access_token=None):
        self.permitted(caller, 'set_owner')
        required(source_name, owner)
        source = self.source_owner(source_name, access_token)
        check_name(owner)
        source.owner = owner

    def set_readiness_rule(self, caller, source_name, rule, access_token=None):
        self.permitted(caller, 'set_readiness_rule')
        required(source_name, rule)
        source = self.source_owner(source_name, access_token)
        if rule not in ('any', 'all'):
            raise Refused('22023')
        if source.rule != rule:
            details = {'rule': {'before': source.rule, 'after': rule}}
            source.rule = rule
            source.changed()
            self.event(source, 'change_rule', details=details)

    def change_provider(self, source_name, provider_name, access_token):
        source = self.source_owner(source_name, access_token)
        if provider_name not in source.providers:
            raise Refused('42704')
        return source, source.providers[provider_name]

    def set_effective(self, caller, source_name, provider_name, effective, access_token=None):
        self.permitted(caller, 'set_effective')
        required(source_name, provider_name, effective)
        source, provider = self.change_provider(source_name, provider_name, access_token)
        before = provider.limits()
        provider.effective = effective
        provider.ends_now_at_latest = None
        source.changed()
        if provider.limits() != before:
            self.event(source, 'change_provider', provider_name, details=ANYTHING)

    def set_trusted_role(self, caller, source_name, provider_name, trusted_role, access_token=None):
        self.permitted(caller, 'set_trusted_role')
        required(source_name)
        if provider_name is None:
            source = self.source_owner(source_name, access_token)
            self.check_role(trusted_role)
            if source.trusted_role != trusted_role:
                source.trusted_role = trusted_role
                self.event(source, 'change_provider')
            return
        source, provider = self.change_provider(source_name, provider_name, access_token)
        if provider.revoked:
            raise Refused('55000', 'provider_revoked')
        self.check_role(trusted_role)
        if provider.trusted_role != trusted_role:
            provider.trusted_role = trusted_role
            self.event(source, 'change_provider', provider_name)

    def reset_access_token(self, caller, source_name, provider_name=None):
        self.permitted(caller, 'reset_access_token')
        required(source_name)
        source = self.sources.get(source_name)
        if source is None:
            raise Refused('42704')
        whose = source
        if provider_name is not None:
            whose = source.providers.get(provider_name)
            if whose is None:
                raise Refused('42704')
            if whose.revoked:
                raise Refused('55000', 'provider_revoked')
        whose.token = Token('prs' if whose is source else 'prp')
        whose.old_token = None
        self.event(source, 'rotate', provider_name)
        return whose.token

    def rotate_access_token(self, caller, source_name, provider_name, access_token, grace=None):
        self.permitted(caller, 'rotate_access_token')
        required(source_name, access_token)
        if provider_name is None:
            source = whose = self.source_owner(source_name, access_token)
        else:
            source = self.sources.get(source_name)
            whose = source and source.providers.get(provider_name)
            if source is None:
                raise Refused('42501')
            if self.is_token_of(access_token, source):
                if whose is None:
                    raise Refused('42704')
            elif whose is None or whose.revoked or not self.is_token_of(access_token, whose):
                raise Refused('42501')
        if access_token in (source.old_token, whose.old_token):
            # In its grace it is good for all but this.
            raise Refused('42501')
        if whose is not source and whose.revoked:
            raise Refused('55000', 'provider_revoked')
        if grace is not None and grace.microseconds is None:
            raise Refused('22023')
        whose.old_token = whose.token if grace is not None and grace.microseconds > 0 else None
        whose.token = Token('prs' if whose is source else 'prp')
        self.event(source, 'rotate', provider_name)
        return whose.token

    def revoke_provider(self, caller, source_name, provider_name, access_token=None, now=None):
        self.permitted(caller, 'revoke_provider')
        required(source_name, provider_name)
        source, provider = self.change_provider(source_name, provider_name, access_token)
        if provider.revoked:
            raise Refused('42704', 'unknown_provider', 'provider_revoked')
        provider.revoked = True
        provider.token = provider.old_token = provider.trusted_role = None
        provider.ends_now_at_latest = now
        source.changed()
        self.event(source, 'revoke', provider_name, details=ANYTHING)
        for p in sorted(source.partitions.values(), key=lambda p: (p.start, p.end)):
            if p.provider == provider_name and p.state == 'locked':
                p.state = 'failed'
                p.lease = None
                p.last = 'revoke', p.holder
                p.since = self.version()
                self.event(source, 'fail', provider_name, p, p.holder, 'provider revoked')

    def drop_source(self, caller, source_name, access_token=None):
        self.permitted(caller, 'drop_source')
        required(source_name)
        source = self.source_owner(source_name, access_token)
        del self.sources[source_name]
        self.event(source, 'drop_source')

    # -- partitions

    def register_partition(self, caller, source_name, provider_name, during, access_token=None,
                           if_not_exists=None):
        self.permitted(caller, 'register_partition')
        required(source_name, provider_name, during)
        source, _ = self.writer(caller, source_name, provider_name, access_token)
        new = self.add(source, provider_name, *finite(during))
        if not new and not if_not_exists:
            raise Refused('42710')
        return new

    def add(self, source, provider_name, start, end):
        key = provider_name, start, end
        if key in source.partitions:
            return False
        partition = Partition(*key, source.instants(start, end), self.version())
        source.partitions[key] = partition
        source.changed()
        self.event(source, 'register_partition', provider_name, partition)
        return True

    def register_partitions(self, caller, source_name, provider_name, during, step,
                            access_token=None, time_zone=None):
        self.permitted(caller, 'register_partitions')
        required(source_name, provider_name, during, step)
        source, _ = self.writer(caller, source_name, provider_name, access_token)
        start, end = finite(during)
        bounds = self.step_bounds(start, end, step, time_zone)
        return sum(self.add(source, provider_name, *pair) for pair in zip(bounds, bounds[1:]))

    @staticmethod
    def step_bounds(start, end, step, time_zone):
        if min(step.months, step.days, step.microseconds) < 0 \
                or step.months + step.days + step.microseconds == 0:
            raise Refused('22023')
        try:
            zoneinfo.ZoneInfo('UTC' if time_zone is None else time_zone)
        except (ValueError, zoneinfo.ZoneInfoNotFoundError):
            raise Refused('22023') from None
        if not step.months and not step.days and (end - start) // step.microseconds > MAX_PARTITIONS:
            raise Refused('22023')
        bounds, count = [start], 0
        while bounds[-1] < end:
            count += 1
            bound = add_steps(start, step, count, time_zone or 'UTC')
            if bound > bounds[-1]:
                bounds.append(bound)
        if bounds[-1] != end:
            raise Refused('22023')
        return bounds

    def lock_partition(self, caller, source_name, provider_name, during, access_token=None,
                       holder=None, lease=None, reason=None, register=None):
        self.permitted(caller, 'lock_partition')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        key = provider_name, *finite(during)

        def free():
            if not register or key in source.partitions:
                self.check_free(self.partition(source, provider_name, during), holder or caller, override)

        self.either(free, lambda: self.usable(holder, lease))
        self.add(source, *key)
        return self.lock(source, source.partitions[key], holder or caller, lease, reason, override)

    def lock_partitions(self, caller, source_name, provider_name, during, access_token=None,
                        holder=None, lease=None, reason=None):
        self.permitted(caller, 'lock_partitions')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)

        def free():
            inside, partly = self.within(source, provider_name, during)
            for p in inside:
                self.check_free(p, holder or caller, override)
            return inside, partly

        (inside, self.warned), _ = self.either(free, lambda: self.usable(holder, lease))
        return self.all_or_nothing(
            lambda p: self.lock(source, p, holder or caller, lease, reason, override), inside)

    def unlock_partition(self, caller, source_name, provider_name, during, access_token=None,
                         holder=None, register=None, details=None):
        self.permitted(caller, 'unlock_partition')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        key = provider_name, *finite(during)

        def own():
            if not register or key in source.partitions:
                self.check_unlock(self.partition(source, provider_name, during), caller, holder, override)
            elif holder is not None and not override:
                # What is new was never locked.
                raise lock_lost()

        self.either(own, lambda: self.usable(holder, details=details))
        self.add(source, *key)
        return self.unlock(source, source.partitions[key], caller, holder, override, details)

    def unlock_partitions(self, caller, source_name, provider_name, during, access_token=None,
                          holder=None, details=None):
        self.permitted(caller, 'unlock_partitions')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        (inside, self.warned), _ = self.either(lambda: self.within(source, provider_name, during),
                                               lambda: self.usable(holder, details=details))
        return self.all_or_nothing(
            lambda p: self.unlock(source, p, caller, holder, override, details), inside)

    def fail_partition(self, caller, source_name, provider_name, during, access_token=None,
                       holder=None, reason=None):
        self.permitted(caller, 'fail_partition')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        partition, _ = self.either(lambda: self.partition(source, provider_name, during),
                                   lambda: self.usable(holder))
        return self.fail(source, partition, caller, holder, reason, override)

    def fail_partitions(self, caller, source_name, provider_name, during, access_token=None,
                        holder=None, reason=None):
        self.permitted(caller, 'fail_partitions')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        (inside, self.warned), _ = self.either(lambda: self.within(source, provider_name, during),
                                               lambda: self.usable(holder))
        return self.all_or_nothing(
            lambda p: self.fail(source, p, caller, holder, reason, override), inside)

    def force_fail_partition(self, caller, source_name, provider_name, during, reason):
        self.permitted(caller, 'force_fail_partition')
        required(source_name, provider_name, during, reason)
        if source_name not in self.sources:
            raise Refused('42704', 'unknown_source')
        source = self.sources[source_name]
        if provider_name not in source.providers:
            raise Refused('42704', 'unknown_provider')
        p = self.partition(source, provider_name, during)
        if p.state == 'failed':
            return False
        self.becomes_failed(source, p, 'force_fail', caller, reason)
        return True

    def retire_partition(self, caller, source_name, provider_name, during, access_token=None, holder=None):
        self.permitted(caller, 'retire_partition')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        p, _ = self.either(lambda: self.partition(source, provider_name, during),
                           lambda: self.usable(holder))
        return self.retire(source, p, caller, holder, override)

    def retire_partitions(self, caller, source_name, provider_name, during, access_token=None, holder=None):
        self.permitted(caller, 'retire_partitions')
        required(source_name, provider_name, during)
        source, override = self.writer(caller, source_name, provider_name, access_token)
        (inside, self.warned), _ = self.either(lambda: self.within(source, provider_name, during),
                                               lambda: self.usable(holder))
        before = dict(source.partitions)
        try:
            return self.all_or_nothing(lambda p: self.retire(source, p, caller, holder, override), inside)
        except Refused:
            source.partitions = before
            source.changed()
            raise

    def renew_lease(self, caller, source_name, provider_name, during, lease, access_token=None, holder=None):
        self.permitted(caller, 'renew_lease')
        required(source_name, provider_name, during, lease)
        source, _ = self.writer(caller, source_name, provider_name, access_token)

        def locked():
            p = self.partition(source, provider_name, during)
            if not self.has_lock(p, holder or caller):
                raise lock_lost()
            return p

        p, _ = self.either(locked, lambda: self.usable(holder, lease))
        p.lease = lease
        return lease

    def renew_leases(self, caller, source_name, provider_name, during, lease, access_token=None, holder=None):
        self.permitted(caller, 'renew_leases')
        required(source_name, provider_name, during, lease)
        source, _ = self.writer(caller, source_name, provider_name, access_token)
        # Whether it warns of locks that merely overlap is left open.
        self.warned = ANYTHING

        def own():
            try:
                inside, _ = self.within(source, provider_name, during)
            except Refused as refused:
                if refused.sqlstate == '22023':
                    raise
                # Nothing there: nothing of the holder's, either.
                raise Refused('55006', 'lock_lost', others=(refused,)) from None
            locks = [p for p in inside if self.has_lock(p, holder or caller)]
            if not locks:
                raise lock_lost()
            return locks

        locks, _ = self.either(own, lambda: self.usable(holder, lease))
        for p in locks:
            p.lease = lease
        return len(locks)

    def all_or_nothing(self, change, partitions):
        before, events = [vars(p).copy() for p in partitions], len(self.events)
        done, refusals = [], []
        for p in partitions:
            try:
                done.append(change(p))
            except Refused as refused:
                refusals.append(refused)
        if refusals:
            for p, attributes in zip(partitions, before):
                vars(p).update(attributes)
            del self.events[events:]
            # It is refused for any of them.
            raise Refused(refusals[0].sqlstate, *refusals[0].conditions, others=refusals[1:])
        return sum(done)

    @staticmethod
    def either(*checks):
        """What the checks return.  Where a call is wrong in several ways, each is as good."""
        found, refusals = [], []
        for check in checks:
            try:
                found.append(check())
            except Refused as refused:
                refusals.append(refused)
        if refusals:
            raise Refused(refusals[0].sqlstate, *refusals[0].conditions,
                          others=(*refusals[0].others, *refusals[1:]))
        return found

    @staticmethod
    def usable(holder, lease=None, details=None):
        if holder is not None:
            check_name(holder)
        if lease is not None and lease.microseconds is None:
            raise Refused('22023')
        if details is not None and not details.usable():
            raise Refused('22023')

    # -- who has the lock, and what was done last

    @staticmethod
    def has_lock(p, holder):
        return p.state == 'locked' and p.holder == holder

    def check_unclaimed(self, p, caller):
        """A call that names no holder claims nothing; but another's lock is another's."""
        if p.state == 'locked' and p.holder != caller:
            raise held_by_other()

    @staticmethod
    def check_free(p, holder, override):
        """Free, its own, or with a lease that is over."""
        if p.state == 'locked' and p.holder != holder and not override \
                and (p.lease is None or p.lease.microseconds > 0):
            raise held_by_other()

    def lock(self, source, p, holder, lease, reason, override):
        event = 'lock'
        if p.state == 'locked':
            if p.holder == holder:
                p.lease = lease
                p.reason = p.reason if reason is None else cut_reason(reason)
                return False
            self.check_free(p, holder, override)
            event = 'take_over'
        p.state, p.holder, p.lease, p.reason = 'locked', holder, lease, cut_reason(reason)
        p.last = event, holder
        p.since = self.version()
        source.changed()
        self.event(source, event, p.provider, p, holder, p.reason)
        return True

    def check_unlock(self, p, caller, holder, override):
        if not override and holder is None:
            self.check_unclaimed(p, caller)
        elif not override and not self.has_lock(p, holder):
            if p.last == ('unlock', holder):
                raise Refused('55000', 'done_already')
            raise lock_lost()

    def unlock(self, source, p, caller, holder, override, details=None):
        self.check_unlock(p, caller, holder, override)
        details = details and details.value
        if p.state == 'unlocked':
            # Nothing was claimed, or it would have been refused.
            if details is not None and details != p.details:
                self.event(source, 'unlock', p.provider, p, holder or caller, details=details)
                p.details = details
            return False
        p.state, p.ever_unlocked = 'unlocked', True
        p.holder = p.lease = p.reason = None
        p.details = details
        p.last = 'unlock', holder or caller
        source.changed()
        self.event(source, 'unlock', p.provider, p, holder or caller, details=details)
        return True

    def fail(self, source, p, caller, holder, reason, override):
        if not override and holder is None:
            self.check_unclaimed(p, caller)
        elif not override and not self.has_lock(p, holder) \
                and p.last not in (('unlock', holder), ('fail', holder)):
            raise lock_lost()
        if p.state == 'failed':
            p.reason = p.reason if reason is None else cut_reason(reason)
            return False
        self.becomes_failed(source, p, 'fail', holder or caller, reason)
        return True

    def becomes_failed(self, source, p, event, holder, reason):
        p.state, p.holder, p.lease, p.reason = 'failed', holder, None, cut_reason(reason)
        p.last = event, holder
        p.since = self.version()
        source.changed()
        self.event(source, event, p.provider, p, holder, p.reason)

    def retire(self, source, p, caller, holder, override):
        if not override and holder is None:
            self.check_unclaimed(p, caller)
        elif not override and not self.has_lock(p, holder):
            raise lock_lost()
        del source.partitions[p.provider, p.start, p.end]
        source.changed()
        # Whom the event names, the contract leaves open.
        self.event(source, 'retire', p.provider, p, ANYTHING)
        return True

    # -- questions

    def known(self, source_name):
        required(source_name)
        if source_name not in self.sources:
            raise Refused('42704')
        return self.sources[source_name]

    def check_readiness(self, source_name, during):
        required(source_name, during)
        start, end = finite(during)
        source = self.known(source_name)
        ready = source.evaluate()[2]
        return all([ready[i] for i in source.instants(start, end)])

    def assert_ready(self, source_name, during):
        if not self.check_readiness(source_name, during):
            raise Refused('55000')
        return True

    def all_ready(self, source_names, during):
        required(source_names, during)
        required(*source_names)
        if not source_names:
            raise Refused('22023')
        return all([self.check_readiness(name, during) for name in source_names])

    def ready_until(self, source_name, since):
        required(source_name, since)
        source = self.known(source_name)
        if since in (INFINITY, MINUS_INFINITY):
            raise Refused('22023')
        instants = [i for i, point in enumerate(source.points) if point <= since]
        if not instants or not source.ready(instants[-1]):
            return None
        return next(point for i, point in enumerate(source.points)
                    if point > since and not source.ready(i))

    def ready_ranges(self, source_name, during):
        required(source_name, during)
        source = self.known(source_name)
        if during.empty:
            raise Refused('22023')
        return source.runs({i for i in source.instants(*during.half_open()) if source.ready(i)})
