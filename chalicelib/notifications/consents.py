"""The rules of consents: one tap allows one message, and who said no is left alone for a while.

What a tap may answer: developers.weixin.qq.com, miniprogram/dev/api/open-api/subscribe-message/
wx.requestSubscribeMessage.html. Consents of one-time templates add up: each "accept" is one message.
"""

from collections.abc import Mapping, Sequence

from pynamodb.expressions.update import Action

from chalicelib.core import table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.notifications import preferences, rules, templates
from chalicelib.notifications.models import Consent, Tap

TAPS_STAY_S = 30 * DAY
LEFT_ALONE_S = {"reject": 30 * DAY, "ban": 180 * DAY, "filter": DAY}
"""How long a template is not asked for: refused by the member; closed by WeChat; of the same title as another."""


def ask(*, after: rules.Tap, member_id: str, program_id: str, now: int) -> list[str]:
    """The templates to ask for after a tap, three at most: nothing refused lately or switched off."""
    told = templates.of_program(program_id, now=now)
    kinds = [kind for kind in rules.ASKED_AFTER[after] if kind in told]
    if not kinds:
        return []
    off = preferences.of(member_id).off
    wanted = [told[kind].template_id for kind in kinds if kind not in off]
    found = of(member_id, [(program_id, template_id) for template_id in dict.fromkeys(wanted)])
    free = [key[1] for key, row in found.items() if row is None or (row.not_before or 0) <= now]
    return free[: rules.ASKED_AT_MOST]


def of(member_id: str, ways: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Consent | None]:
    """What a member allows of these templates, each of a program."""
    if not ways:
        return {}
    return dict(
        zip(ways, table.get_many([(Consent, Consent.key(member_id, *way)) for way in ways]), strict=True)
    )


def tapped(
    results: Mapping[str, str], *, tap_id: str, member_id: str, program_id: str, now: int
) -> dict[str, int]:
    """Count a tap, once; how many messages of its templates can be sent now.

    Raises:
        Invalid: a template that this program has not.
    """
    known = {item.template_id for item in templates.of_program(program_id, now=now).values()}
    if strange := sorted(set(results) - known):
        raise Invalid(field="results", reason="not templates of this program", template_ids=strange)
    tap = Tap(*Tap.key(member_id, program_id, tap_id), ttl=now + TAPS_STAY_S)
    counted = [_counted(Consent.key(member_id, program_id, one), said, now) for one, said in results.items()]
    try:
        table.transact([table.create(tap), *counted])
    except table.Taken:
        logger.info("this tap was counted before", member=member_id)
    found = of(member_id, [(program_id, template_id) for template_id in results])
    return {way[1]: row.left if row is not None else 0 for way, row in found.items()}


def _counted(key: table.Key, said: str, now: int) -> Write:
    """Without a condition of its own: the tap's row says that it is the first time."""
    if said == "accept":
        actions: list[Action] = [Consent.left.add(1), Consent.accepts.add(1), Consent.not_before.remove()]
    else:
        later = Consent.not_before.set(now + LEFT_ALONE_S[said])
        actions = [Consent.left.add(0), Consent.accepts.add(0), later]
    return table.upsert(Consent, key, *actions)
