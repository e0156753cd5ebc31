"""What of a member's sharing is erased: their links lead nowhere, and where they were when they were bound."""

from collections.abc import Iterator
from typing import Any

from chalicelib.core import estates, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.sharing import service, stories
from chalicelib.sharing.models import Binding, Past


@estates.exports("sharing")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's links, whose customer they are and were, and by whom they came besides."""
    story = stories.of(member_id)
    return {
        "links": estates.listed(f"{member_id}#links", without=("natural_key",)),
        "binding": None if story.binding is None else estates.told(story.binding),
        "past_bindings": estates.some(story.past),
        "visits": estates.some(story.touches),
    }


@estates.erases("sharing")
def erase(member_id: str, now: int) -> bool:
    """Links are off; hashes of the device and address are gone."""
    on = [row for page in table.owned_pages(f"{member_id}#links") for row in page.rows if row.state == "on"]
    for link in on:
        service.switch_off(code=link.code, sharer_id=member_id)
    writes = list(_placeless(stories.of(member_id)))
    for write in writes:
        table.apply(write)
    return bool(on or writes)


def _placeless(story: stories.Story) -> Iterator[Write]:
    """The writes that take the places away, whatever the binding is by then; what it was before never changes."""
    bound = story.binding
    if bound is not None and bound.places:
        yield table.update(Binding, (bound.pk, bound.sk), Binding.places.remove(), refuse=Busy)
    for row in story.past:
        if row.was.get("places"):
            was = {name: value for name, value in row.was.items() if name != "places"}
            yield table.update(Past, (row.pk, row.sk), Past.was.set(was), refuse=Busy)
