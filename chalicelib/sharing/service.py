"""The rules of links and cards: minting, switching off, and what a share shows."""

from collections.abc import Mapping, Sequence

import msgspec

from chalicelib.core import config, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Gone, Invalid, NotFound
from chalicelib.core.money import yuan
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.operators import service as operators
from chalicelib.sharing import rules
from chalicelib.sharing.models import Card, Target
from chalicelib.sharing.models import Link as Link  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.sharing.schemas import CardAnswer, EditCard, EditTarget, MintLink
from chalicelib.uploads import service as uploads

COLLISIONS_AT_MOST = 4
_CARD_TOLD = ("title", "image_url", "path", "tag")
_FALLBACK = {
    "zh": ("{nickname}邀请你来看看{title}", "邀请你来看看"),
    "en": ("{nickname} shares {title}", "Have a look"),
}


class LinkOff(Gone):
    """The link was switched off, by its sharer or by the shop; it stays off."""

    code = "link_off"
    en = "This link is not active any more."
    zh = "该链接已停用。"
    advice = "Show the target's own page, if there is one, without the sharer."


class LinkExpired(Gone):
    """The link's own time is over."""

    code = "link_expired"
    en = "This link has expired."
    zh = "该链接已过期。"
    advice = "Show the target's own page, if there is one; the sharer may share it again."


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What can be shown of a target."""

    title: str | None = None
    description: str | None = None
    image_url: str | None = None
    price: str | None = None
    price_fen: int | None = None
    list_price_fen: int | None = None
    path: str | None = None
    variables: Mapping[str, str] | None = None

    @classmethod
    def told(cls, by_its_room: Mapping[str, str]) -> "About":
        """What the room says that the target belongs to."""
        price_fen, list_price_fen = by_its_room.get("price_fen"), by_its_room.get("list_price_fen")
        return cls(
            title=by_its_room.get("title"),
            image_url=by_its_room.get("image"),
            price=by_its_room.get("price"),
            price_fen=None if price_fen is None else int(price_fen),
            list_price_fen=None if list_price_fen is None else int(list_price_fen),
            variables=by_its_room,
        )


_links: Cache[Link | None] = Cache(size=5000)
_cards: Cache[dict[tuple[str, str, str], Card]] = Cache()
_targets: Cache[About] = Cache(size=2000)


# --- links --------------------------------------------------------------------------------------------------


def mint(*, sharer_id: str, wanted: MintLink, now: int) -> tuple[Link, bool]:
    """The link of this sharer, target, channel and placement, and whether it is new: one call either way.

    The code is a keyed hash of the four, so the same input has the same code; on a collision the next one. An
    expired link is renewed, a switched-off one stays off.

    Raises:
        Invalid: no such kind of target, or an expiry in the past. LinkOff: it was switched off.
    """
    _valid(wanted, now=now)
    for attempt in range(COLLISIONS_AT_MOST):
        row = _row(sharer_id, wanted, attempt=attempt, now=now)
        try:
            table.apply(table.create(row))
        except table.Taken as first:
            if first.row.natural_key != row.natural_key:
                continue
            link = _renewed(first.row, wanted, now=now)
            if link.state == "off":
                raise LinkOff(code=row.code) from first
            return link, False
        _links.put(row.code, row, now=now)
        return row, True
    raise Busy


def mint_all(*, sharer_id: str, wanted: Sequence[MintLink], now: int) -> list[Link]:
    """The links in the order asked for, at most 50: one read, and one transaction for those that are new.

    Raises:
        Invalid: one of them has no such kind of target, or an expiry in the past.
    """
    for one in wanted:
        _valid(one, now=now)
    attempts = [0] * len(wanted)
    for _ in range(COLLISIONS_AT_MOST * 2):
        rows = [_row(sharer_id, one, attempt=n, now=now) for one, n in zip(wanted, attempts, strict=True)]
        found = table.get_many([(Link, Link.key(row.code)) for row in rows])
        foreign = [_collides(row, old, rows) for row, old in zip(rows, found, strict=True)]
        attempts = [n + collides for n, collides in zip(attempts, foreign, strict=True)]
        if any(foreign):
            continue
        missing = {row.code: row for row, old in zip(rows, found, strict=True) if old is None}
        try:
            if missing:
                table.transact([table.create(row) for row in missing.values()])
        except table.Taken:
            # Another call minted one of them meanwhile: look again from the start.
            attempts = [0] * len(wanted)
            continue
        return [
            missing[new.code] if old is None else _renewed(old, one, now=now)
            for one, new, old in zip(wanted, rows, found, strict=True)
        ]
    raise Busy


def link_for(*, sharer_id: str, wanted: MintLink, now: int) -> Link | None:
    """The sharer's link, minted when there is none yet: at most 30 seconds old, so that a page that is asked for
    again and again does not write; None when it was switched off.

    Raises:
        Invalid: no such kind of target.
    """
    known = _links.peek(_row(sharer_id, wanted, attempt=0, now=now).code, now=now)
    if known is None or known.natural_key != _natural(sharer_id, wanted):
        try:
            known, _ = mint(sharer_id=sharer_id, wanted=wanted, now=now)
        except LinkOff:
            return None
        _links.put(known.code, known, now=now)
    return known if known.state == "on" else None


def _collides(row: Link, old: Link | None, batch: Sequence[Link]) -> bool:
    """Whether something else has this code: in the table or, where nothing has it yet, earlier in the batch."""
    holder = old or next(other for other in batch if other.code == row.code)
    return bool(holder.natural_key != row.natural_key)


def _valid(wanted: MintLink, *, now: int) -> None:
    if rules.kind_of(wanted.target.kind) is None:
        raise Invalid(field="target.kind", reason="no such kind", kinds=rules.kinds())
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid(field="expires_at", reason="it is in the past")


def _parts(sharer_id: str, wanted: MintLink) -> tuple[str, ...]:
    return sharer_id, wanted.target.kind, wanted.target.id, wanted.channel, wanted.placement


def _natural(sharer_id: str, wanted: MintLink) -> str:
    return "|".join(_parts(sharer_id, wanted))


def _row(sharer_id: str, wanted: MintLink, *, attempt: int, now: int) -> Link:
    natural = _parts(sharer_id, wanted)
    key = config.secret("link_key", now=now).encode()
    code = ids.keyed_code(*natural, str(attempt), key=key)
    return Link(
        *Link.key(code),
        code=code,
        natural_key=_natural(sharer_id, wanted),
        state="on",
        sharer_id=sharer_id,
        target_kind=wanted.target.kind,
        target_id=wanted.target.id,
        channel=wanted.channel,
        placement=wanted.placement,
        created_at=now,
        expires_at=wanted.expires_at,
        **table.listed(f"{sharer_id}#links", at=now, as_=code),
    )


def _renewed(link: Link, wanted: MintLink, *, now: int) -> Link:
    if link.state == "off" or link.expires_at is None or link.expires_at > now:
        return link
    later = Link.expires_at.remove() if wanted.expires_at is None else Link.expires_at.set(wanted.expires_at)
    same = Link.expires_at == link.expires_at
    try:
        renewed = table.apply(table.update(Link, Link.key(link.code), later, when=same, refuse=table.Taken))
    except table.Taken as changed:
        renewed = changed.row
    _links.forget(link.code)
    assert isinstance(renewed, Link)
    return renewed


def find(code: str, *, now: int) -> Link:
    """The link with this code, on or off, at most 30 seconds old.

    Raises:
        NotFound: there is none.
    """
    link = _links.get(code, now=now, load=lambda: table.get(Link, Link.key(code)))
    if link is None:
        raise NotFound
    return link


def find_open(code: str, *, now: int) -> Link:
    """The link with this code, if it opens something.

    Raises:
        NotFound, LinkOff, LinkExpired.
    """
    link = find(code, now=now)
    if link.state == "off":
        raise LinkOff(code=code)
    if link.expires_at is not None and link.expires_at <= now:
        raise LinkExpired(code=code, expired_at=link.expires_at)
    return link


def switch_off(*, code: str, sharer_id: str) -> Link:
    """A sharer takes a link back; off already, nothing changes.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    link = table.get(Link, Link.key(code))
    if link is None or link.sharer_id != sharer_id:
        raise NotFound
    return _off(link, [])


def switch_off_for(*, code: str, reason: str, by: Operator, now: int) -> Link:
    """An operator switches a link off; off already, nothing changes.

    Raises:
        NotFound: there is none.
    """
    link = table.get(Link, Link.key(code))
    if link is None:
        raise NotFound
    audit = operators.recorded(
        by=by, action="link.off", subject=code, before={"state": "on"}, after={"reason": reason}, now=now
    )
    return _off(link, [audit])


class _OffAlready(Exception):
    """Somebody else switched it off."""


def _off(link: Link, others: Sequence[Write]) -> Link:
    off = table.update(
        Link, Link.key(link.code), Link.state.set("off"), when=Link.state == "on", refuse=_OffAlready
    )
    try:
        if link.state == "on":
            table.transact([off, *others])
    except _OffAlready:
        logger.info("the link was switched off by another", code=link.code)
    _links.forget(link.code)
    link.state = "off"
    return link


# --- cards --------------------------------------------------------------------------------------------------


def card(link: Link, *, about: About | None = None, now: int, lang: str, open_names: bool) -> CardAnswer:
    """What the share shows: the most particular template whose variables are all known.

    ``open_names`` false masks the sharer's name, as for strangers; ``about``: its target, for who has just read it.
    """
    about = about or describe(link.target_kind, link.target_id, now=now)
    variables = _variables(link, about, now=now, lang=lang, open_names=open_names)
    title = tag = image = path = None
    for template in _templates(link, now=now):
        title = rules.filled(template.title, variables)
        if title is not None:
            tag, image, path = template.tag, template.image_url, template.path
            break
    return CardAnswer(
        title=title or _fallback(variables, lang),
        image_url=image or about.image_url,
        path=_path(path or about.path or _kind(link).path, link),
        tag=tag,
    )


def _templates(link: Link, *, now: int) -> list[Card]:
    known = cards(now=now)
    wanted = rules.preference(link.target_kind, link.channel, link.placement or rules.ANY)
    return [known[key] for key in dict.fromkeys(wanted) if key in known]


def _variables(link: Link, about: About, *, now: int, lang: str, open_names: bool) -> dict[str, str]:
    sharer = members.profile(link.sharer_id, now=now)
    name = sharer.nickname if sharer else None
    return {
        **(about.variables or {}),
        "nickname": name if name and open_names else masked(name, lang=lang),
        "avatar": uploads.url_of(sharer.avatar if sharer else None, base_url=config.settings().base_url)
        or "",
        "title": about.title or "",
        "image": about.image_url or "",
        "price": about.price or "",
        "id": link.target_id,
        "link": link.code,
    }


def _fallback(variables: Mapping[str, str], lang: str) -> str:
    with_title, without = _FALLBACK["zh" if lang == "zh" else "en"]
    return rules.filled(with_title, variables) or without


def _path(template: str, link: Link) -> str:
    path = template.replace("{id}", link.target_id).replace("{link}", link.code)
    if "{link}" in template:
        return path
    return f"{path}{'&' if '?' in path else '?'}link={link.code}"


def _kind(link: Link) -> rules.TargetKind:
    kind = rules.kind_of(link.target_kind)
    assert kind is not None, "links are only minted for kinds that exist, and kinds never go"
    return kind


def describe(kind: str, target_id: str, *, now: int) -> About:
    """What can be shown of a target: by the room it belongs to, else by what operators said of it; at most 30
    seconds old."""
    return _targets.get((kind, target_id), now=now, load=lambda: _about(kind, target_id, now=now))


def _about(kind: str, target_id: str, *, now: int) -> About:
    known = rules.kind_of(kind)
    if known is None or known.describe is None:
        return _told_of(kind, target_id)
    return About.told(known.describe(target_id, now) or {})


def _told_of(kind: str, target_id: str) -> About:
    row = table.get(Target, Target.key(kind, target_id))
    if row is None:
        return About()
    return About(
        title=row.title,
        description=row.description,
        image_url=row.image_url,
        price=None if row.price_fen is None else yuan(row.price_fen),
        price_fen=row.price_fen,
        path=row.path,
    )


# --- what operators say -------------------------------------------------------------------------------------


def cards(*, now: int) -> dict[tuple[str, str, str], Card]:
    """All card templates by (kind, channel, placement), at most 30 seconds old."""

    def load() -> dict[tuple[str, str, str], Card]:
        rows = table.query_all(Card, "CARDS")
        return {(row.target_kind, row.channel, row.placement): row for row in rows}

    return _cards.get("all", now=now, load=load)


def save_card(given: EditCard, *, by: Operator, now: int) -> Card:
    """Keep a template for its kind, channel and placement, in place of the one there was.

    Raises:
        Invalid: no such kind, or a placeholder that this kind never has.
    """
    kind = rules.kind_of(given.target_kind)
    if kind is None:
        raise Invalid(field="target_kind", reason="no such kind", kinds=rules.kinds())
    unknown = rules.unknown_placeholders(given.title, kind=kind)
    if unknown:
        raise Invalid(
            field="title",
            reason="unknown placeholders",
            unknown=sorted(unknown),
            known=sorted(kind.variables),
        )
    if rules.placeholders(given.path or "") - {"id", "link"}:
        raise Invalid(field="path", reason="a path knows {id} and {link} only")
    key = Card.key(given.target_kind, given.channel, given.placement)
    row = Card(
        *key,
        target_kind=given.target_kind,
        channel=given.channel,
        placement=given.placement,
        title=given.title,
        image_url=given.image_url,
        path=given.path,
        tag=given.tag,
    )
    _replace(Card, row, _CARD_TOLD, action="card.saved", by=by, now=now)
    _cards.clear()
    return row


def remove_card(card_id: tuple[str, str, str], *, by: Operator, now: int) -> None:
    """Take a template away.

    Raises:
        NotFound: there is none.
    """
    key = Card.key(*card_id)
    card = table.get(Card, key)
    if card is None:
        raise NotFound
    before = {name: getattr(card, name) for name in _CARD_TOLD}
    audit = operators.recorded(
        by=by, action="card.removed", subject=key[1], before=before, after=None, now=now
    )
    table.transact([table.delete(Card, key, refuse=NotFound), audit])
    _cards.clear()


def save_target(given: EditTarget, *, by: Operator, now: int) -> Target:
    """Keep what can be shown of a page or product.

    Raises:
        Invalid: no such kind, or a kind whose room describes its targets itself.
    """
    kind = rules.kind_of(given.kind)
    if kind is None or kind.describe is not None:
        raise Invalid(field="kind", reason="not a kind that operators describe")
    row = Target(
        *Target.key(given.kind, given.id),
        target_kind=given.kind,
        target_id=given.id,
        title=given.title,
        description=given.description,
        image_url=given.image_url,
        price_fen=given.price_fen,
        path=given.path,
    )
    told = ("title", "description", "image_url", "price_fen", "path")
    _replace(Target, row, told, action="target.saved", by=by, now=now)
    _targets.forget((given.kind, given.id))
    return row


def targets(kind: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """What operators said of a kind's targets."""
    return table.query(Target, f"TARGETS#{kind}", limit=limit, after=after)


def _replace(
    kind: type[Card] | type[Target],
    row: Card | Target,
    told: Sequence[str],
    *,
    action: str,
    by: Operator,
    now: int,
) -> None:
    """Put ``row`` in place of what is there, unless it is the same, or somebody else changes it meanwhile."""
    before = table.get(kind, (row.pk, row.sk))
    if before is not None and all(getattr(before, name) == getattr(row, name) for name in told):
        return
    row.rev = (before.rev if before else 0) + 1
    unchanged = kind.pk.does_not_exist() if before is None else kind.rev == before.rev
    audit = operators.recorded(
        by=by,
        action=action,
        subject=row.sk,
        before=before and {name: getattr(before, name) for name in told},
        after={name: getattr(row, name) for name in told},
        now=now,
    )
    table.transact([Write(operation="Put", row=row, when=unchanged, refuse=Busy), audit])
