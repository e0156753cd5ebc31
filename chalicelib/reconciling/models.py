"""Reconciling storage.

    entity  pk                     sk                      written by     read by
    Pass    RECONCILING            <YYYY-MM[-DD]>#<kind>   plan, the job  the job, operators
    Slice   RECONCILING#<pass>     REVS#<n> | USES#<n>#<m> the job        the job, at the pass's end
    Drift   DRIFTS                 <book>#<subject>        the job        operators

    due    Pass: reconcile#k from half past three at night until it is done

Pass: looking_again → running → judging → done, or, of a day, → running → done. Its slices are two months old at
most.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Pass(Row, discriminator="reconciling_pass"):
    """One look at the books: how far it is (``cursor``, ``slices``), and what came of it.

    ``looked`` rows were read, ``proved`` numbers added up or not, ``unjudged`` ones moved meanwhile, ``too_large``
    ones count more rows than a proof reads. ``tries``: how often the next slice was begun. What was open when the
    pass began (``begun_at``) is looked at first, and ``cursor`` is among it then. ``proved_last`` is what a slice
    proved of the partition in which it ended.
    """

    full = BooleanAttribute()
    since = IntAttribute()
    cursor = JSONAttribute(null=True)
    slices = IntAttribute()
    looked = IntAttribute()
    proved = IntAttribute()
    drifts = IntAttribute()
    unjudged = IntAttribute()
    too_large = IntAttribute()
    tries = IntAttribute(null=True)
    begun_at = IntAttribute(null=True)
    proved_last = JSONAttribute(null=True)
    ended_at = IntAttribute(null=True)

    @staticmethod
    def key(name: str) -> Key:
        """All passes, in the order of their days."""
        return "RECONCILING", name


class Slice(Row, discriminator="reconciling_slice"):
    """A part of what a full pass has seen: by counter, its revision at the beginning, or units that rows use."""

    numbers = JSONAttribute()

    @staticmethod
    def key(name: str, part: str) -> Key:
        """Beside the other slices of its pass."""
        return f"RECONCILING#{name}", part


class Drift(Row, discriminator="drift"):
    """A number that did not add up: what the row says and what it should, when last seen, in how many passes.

    ``gone_at``: when a pass found it in order again; somebody has seen to it, for no pass repairs anything.
    ``place`` is the partition that proves it, where one does. A day's pass and a month's may go on at once, so each
    kind notes by itself which of them told it last, and which looked at it again as it was open.
    """

    book = UnicodeAttribute()
    subject = UnicodeAttribute()
    says = JSONAttribute()
    adds_up = JSONAttribute()
    first_seen_at = IntAttribute()
    seen_at = IntAttribute()
    seen_in = UnicodeAttribute()
    times = IntAttribute()
    last_day = UnicodeAttribute(null=True)
    last_month = UnicodeAttribute(null=True)
    again_day = UnicodeAttribute(null=True)
    again_month = UnicodeAttribute(null=True)
    place = UnicodeAttribute(null=True)
    gone_at = IntAttribute(null=True)
    gone_in = UnicodeAttribute(null=True)

    @staticmethod
    def key(book: str, subject: str) -> Key:
        """One row for a number, however often it is seen."""
        return "DRIFTS", f"{book}#{subject}"
