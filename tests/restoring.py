"""A small shop whose money goes on after the time of its table: the story, the table put back, and both books.

    shop = a_shop(desk)
    kept = shop.until_then()          # the table as of T
    shop.afterwards()                 # paid, given back, paid out, and all of that is lost here but not there
    ...
    assert shop.differs() == []

People withdraw by WeChat Pay, by the mall, and by hand; orders are paid and given back by WeChat Pay. What left, or
came, is counted where it did: in WeChat's own books, the bank's, the mall's.
"""

import copy
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core import config, due, facts
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.groupbuys.models import Group
from chalicelib.orders import service as orders
from chalicelib.orders.service import REFUND_JOB, Back, Order
from chalicelib.withdrawals import sending
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import TransferOutcome
from infra.local.wechat.pay import Trades
from infra.local.wechat.transfers import Transfers
from tests.factories import NOW, OWNER, a_word
from tests.faults.test_withdrawals import _tables
from tests.groupbuys import broken, ending_it, opened, take
from tests.harness.rows import rows
from tests.paying import Desk
from tests.transfers import METHODS, Shop, opened_program
from tests.withdrawals import METHODS as BY_OTHERS
from tests.withdrawals import broken as broken_money
from tests.withdrawals import earn, terms, withdraw

T = NOW + MINUTE
"""The time of which the table is put back."""
OFF_AT = NOW + 5 * HOUR
BILLS_AT = NOW + 2 * DAY + HOUR
"""When the bills of the day, and of the next, on which a payee may still take a transfer, are there."""
EARNED = 500_00
WHO = {
    name: "mbr_" + name.upper().ljust(26, "0")
    for name in ("alice", "bob", "carol", "dan", "eve", "gina", "hana")
}
LOST = "mbr_" + "FRED".ljust(26, "0")
"""Who registers only after the time of the table."""


@dataclass
class Story:
    """What was begun before the time of the table, and where money left afterwards."""

    desk: Desk
    store: Any
    campaign_id: str = ""
    groups: list[Group] = field(default_factory=list)
    begun: dict[str, Order] = field(default_factory=dict)
    rows: dict[str, Withdrawal] = field(default_factory=dict)
    by_hand: list[tuple[str, str, int]] = field(default_factory=list)
    bank: Any = None

    # --- before ---

    def until_then(self) -> dict[str, Any]:
        """All that happened until then; the table as it was."""
        config.override(
            payout_gateways="sandbox manual mall wechat", wechatpay_mchid=config.settings().wechatpay_mchid
        )
        terms(methods=[*METHODS, *BY_OTHERS], min_fen=1, auto_up_to_fen=300_00)
        for name, member_id in WHO.items():
            opened_program(self.shop, member_id=member_id, name=name)
            earn(EARNED, owner=member_id)
        self._orders_begin()
        self._withdrawals_begin()
        return as_it_is()

    def _orders_begin(self) -> None:
        campaign = self.desk.a_campaign(sizes={3: 8900}, group_lifetime_s=DAY)
        self.campaign_id = campaign.campaign_id
        fills, expires, given, refunded = self.groups = [self.desk.a_group(campaign) for _ in range(4)]
        self.desk.took(take(fills))
        self.begun = {"pays": take(fills), "pays and goes back": take(given), "goes back": take(refunded)}
        self.desk.begin(self.begun["pays"])
        self.desk.took(self.begun["goes back"])

    def _withdrawals_begin(self) -> None:
        self.rows["bob"] = self.applies("bob", 200_00)
        self.rows["carol"] = self.sent(self.applies("carol", 200_00), now=NOW)
        self.rows["dan"] = self.applies("dan", 300_00, method="bank")
        self.rows["eve"] = self.applies("eve", 200_00, method="mall")
        self.rows["gina"] = self.applies("gina", 400_00)

    # --- afterwards ---

    def afterwards(self) -> None:
        """All that happened since, of which the table will know nothing."""
        self._orders_go_on(T + MINUTE)
        self._withdrawals_go_on(T + HOUR)

    def _orders_go_on(self, now: int) -> None:
        fills, expires, _, refunded = self.groups
        self.desk.pays(self.begun["pays"], now=now)
        self.desk.pays(self.begun["pays and goes back"], now=now)
        for name in ("pays and goes back", "goes back"):
            orders.refund(self.begun[name].order_id, back=Back(reason="operator"), now=now)
        ending_it(expires)()
        self.desk.pays(take(refunded, now=now), now=now)
        alone = opened(self.desk.a_campaign(sizes={2: 5000})).order
        self.desk.pays(alone, now=now)
        orders.refund(alone.order_id, back=Back(reason="operator"), now=now)
        due.run(job=REFUND_JOB, worker=a_word("w"), now=now, seconds=30)

    def _withdrawals_go_on(self, now: int) -> None:
        opened_program(self.shop, member_id=LOST, name="fred")
        earn(EARNED, owner=LOST, now=now)
        withdrawals.reject(self.rows["gina"].withdrawal_id, reason="wrong", by=OWNER, now=now)
        paid = [self.rows["bob"], self.rows["carol"]]
        paid += [self.applies("alice", 300_00, key="first", now=now), self.applies("hana", 100_00, now=now)]
        paid += [self.applies("gina", 300_00, now=now), self.applies("fred", 200_00, now=now)]
        for row in paid:
            self.takes(self.sent(row, now=now), now=now)
        self.pays_by_hand(self.rows["dan"], now=now)
        self.mall_pays(self.sent(self.rows["eve"], now=now), now=now)

    # --- what people do ---

    @property
    def shop(self) -> Shop:
        """WeChat's side of transfers."""
        return Shop(self.desk.simulator, now=self.desk.now)

    def applies(
        self, name: str, fen: int, *, method: str = "wechat", key: str | None = None, now: int = NOW
    ) -> Withdrawal:
        """Somebody wants their money."""
        return withdraw(fen, method=method, key=key, owner=WHO.get(name, LOST), now=now)

    def sent(self, row: Withdrawal, *, now: int) -> Withdrawal:
        """The jobs that send have run."""
        for job in (withdrawals.TRANSFER_JOB, withdrawals.JOB):
            assert not due.run(job=job, worker=a_word("w"), now=now, seconds=30).failed
        return withdrawals.show(row.withdrawal_id)

    def takes(self, row: Withdrawal, *, now: int) -> None:
        """Its payee takes the money on WeChat's page."""
        self.desk.platform.clock = lambda: float(now)
        self.desk.now = now
        assert self.shop.confirms(row) == "requestMerchantTransfer:ok"

    def pays_by_hand(self, row: Withdrawal, *, now: int) -> None:
        """Finance pays by the bank and notes it, and the bank keeps a book of its own."""
        withdrawals.approve(row.withdrawal_id, by=OWNER, now=now)
        withdrawals.paid_by_hand(row.withdrawal_id, reference=a_word("bank"), tax_fen=None, by=OWNER, now=now)
        self.by_hand.append((row.withdrawal_id, row.member_id, row.net_fen))

    def mall_pays(self, row: Withdrawal, *, now: int) -> None:
        """The mall was asked, pays, and says so."""
        told = TransferOutcome(id=a_word("evt_"), type="withdrawal.paid", reference=a_word("mall"))
        sending.told_by_mall(row.withdrawal_id, told, now=now)

    # --- the books ---

    def left(self) -> Counter[str]:
        """What left for each member: by WeChat's, the bank's and the mall's own books."""
        names = {f"{name}": member_id for name, member_id in {**WHO, "fred": LOST}.items()}
        out: Counter[str] = Counter()
        people = self.desk.simulator.platform.of(_logins()).people
        for one in self.desk.platform.of(Transfers).by_number.values():
            if one.state == "SUCCESS":
                out[names[people[one.asked["openid"]][1]]] += one.fen
        for _, member_id, fen in self.by_hand:
            out[member_id] += fen
        paid_by_mall = {body["data"]["withdrawal_id"]: body["data"] for body in self.bank.bodies}
        for data in paid_by_mall.values():
            out[data["member_id"]] += data["net_fen"]
        return out

    def paid(self) -> Counter[str]:
        """What the books say was paid to each member."""
        found: Counter[str] = Counter()
        for row in rows(self.store.client, config.settings().truth_table, kind="withdrawal", state="paid"):
            found[row["member_id"]] += row["net_fen"]
        return found

    def differs(self) -> list[str]:
        """Where what left, or came, is not what the books say; of whom they know."""
        everything = rows(self.store.client, config.settings().truth_table)
        left, paid = self.left(), self.paid()
        known = [row["order_id"] for row in everything if row["kind"] == "order"]
        return [
            *(
                f"{who} had {left[who]} fen, {paid[who]} known"
                for who in WHO.values()
                if left[who] != paid[who]
            ),
            *(wrong for order_id in known for wrong in self.desk.differs(orders.show(order_id))),
            *broken(self.store, self.campaign_id),
            *broken_money(everything),
        ]

    def twice(self) -> list[str]:
        """Who was paid more than they ever earned."""
        return [who for who, fen in self.left().items() if fen > EARNED]

    def stranded(self) -> dict[str, int]:
        """What WeChat has of orders that are not here, less what it gave back."""
        found: dict[str, int] = defaultdict(int)
        for number, trade in self.desk.platform.of(Trades).by_number.items():
            if trade.paid_at and orders.find(number) is None:
                found[number] = trade.total - self.desk.given_back(Order(*Order.key(number), order_id=number))
        return {number: fen for number, fen in found.items() if fen}


def _logins() -> Any:
    from infra.local.wechat import login

    return login.Logins


def as_it_is() -> dict[str, Any]:
    """The tables' rows."""
    return {one.name: copy.deepcopy(one.items) for one in _tables()}


def put_back(kept: dict[str, Any], *, into: str = "truth") -> None:
    """The truth table, or the one that takes its place, has those rows and no others."""
    [there] = [one for one in _tables() if one.name == into]
    there.items.clear()
    there.items.update(copy.deepcopy(kept["truth"]))


def everything_runs(*, now: int) -> None:
    """Every job, until nothing is due any more."""
    for _ in range(30):
        ran = [_ran(job, now=now) for job in due.jobs()]
        if not any(ran):
            return
    raise AssertionError("the jobs never come to an end")


def _ran(job: str, *, now: int) -> int:
    at = now + facts.OWED_AFTER_S if job == facts.JOB else now
    return due.run(job=job, worker=a_word("w"), now=at, seconds=30).handled
