"""How long bindings last: the windows of their policies, and the purchases that begin them anew.

A purchase renews the binding that held when it was paid. It is told by a fact, which may come late; so before
anything is decided by a window that is over, the member's own orders are looked through for what was not told
yet.
"""

from collections.abc import Sequence

from chalicelib.core import facts, table
from chalicelib.orders import service as orders
from chalicelib.sharing import history, policies
from chalicelib.sharing.history import Terms
from chalicelib.sharing.models import Binding

ORDERS_LOOKED_THROUGH = 100


class _Other(Exception):
    """Another binding, or renewed by another already."""


def terms_of(held: Binding, *, now: int) -> Terms:
    """What the policy says that the binding was made under."""
    return policies.terms(policies.version(held.policy, now=now))


def purchases(member_id: str) -> list[int]:
    """When a member paid for something, as their newest orders say."""
    page = orders.of_member(member_id, limit=ORDERS_LOOKED_THROUGH, after=None)
    return [order.paid_at for order in page.rows if order.paid_at is not None]


def caught_up(held: Binding, *, now: int, also: Sequence[int] = ()) -> Binding:
    """The binding with every purchase counted that renewed it; ``also`` are some that may not be listed yet."""
    terms = terms_of(held, now=now)
    if held.expires_at is None or not terms.renew_by_purchase:
        return held
    since = [at for at in (*purchases(held.member_id), *also) if at >= held.bound_at]
    lasts = history.renewed(held.expires_at, since, terms=terms)
    if lasts <= held.expires_at:
        return held
    same = (Binding.state == "bound") & (Binding.bound_at == held.bound_at) & (Binding.expires_at < lasts)
    longer = table.update(
        Binding, (held.pk, held.sk), Binding.expires_at.set(lasts), when=same, refuse=lambda _: _Other()
    )
    try:
        found = table.apply(longer)
    except _Other:
        found = table.get(Binding, (held.pk, held.sk)) or held
    assert isinstance(found, Binding)
    return found


@facts.errand("order.paid", name="sharing.renew_binding")
def renew(order: orders.Order, now: int) -> None:
    """A purchase begins the window of its buyer's binding anew, where its policy says so."""
    held = table.get(Binding, Binding.key(order.member_id))
    if held is not None and held.state == "bound" and order.paid_at is not None:
        caught_up(held, now=now, also=[order.paid_at])
