"""What a member wants to be sent by WeChat: kinds, quiet hours, how many a day."""

import msgspec

from chalicelib.core import table
from chalicelib.notifications.models import Settings
from chalicelib.notifications.schemas import NotificationSettings


def of(member_id: str) -> NotificationSettings:
    """What the member has said; what they have not is as it is for everybody."""
    row = table.get(Settings, Settings.key(member_id))
    return msgspec.convert(row.told, type=NotificationSettings) if row is not None else NotificationSettings()


def say(member_id: str, told: NotificationSettings) -> None:
    """Say it anew, as a whole; again, it is as it is."""
    table.apply(table.upsert(Settings, Settings.key(member_id), Settings.told.set(msgspec.to_builtins(told))))
