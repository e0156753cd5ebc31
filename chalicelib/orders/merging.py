"""A merged member's orders become another's, with their payments and refunds, which hang on the order alone.

An order of a group has a seat there, and goes over with it: the room that sells hands it over.
"""

from chalicelib.core import estates, table
from chalicelib.orders import service

AT_ONCE = 50


@estates.hands_over("orders")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some ordinary orders go over, each once; whether there were any."""
    found = [order for order in service.all_of(member_id) if order.purpose != "group"][:AT_ONCE]
    for order in found:
        table.apply(service.handed_over(order, into))
    return bool(found)
