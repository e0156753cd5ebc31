"""Attacks of the field that were published, each with how it went there and the tests that play it here."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One that somebody described so that anybody can try it."""

    name: str
    link: str
    there: str
    here: str
    tests: tuple[str, ...]


_YUDAO = "https://github.com/YunaiV/ruoyi-vue-pro/blob/1a91be9a049fd7be12f4443a991de4b0959b6fec/"
_CRMEB = "https://github.com/crmeb/CRMEB/blob/1e61411956818f715f6d26121329d831abb2b6ae/"

ATTACKS = (
    Attack(
        name="litemall #581",
        link="https://github.com/linlinjava/litemall/issues/581",
        there="64 claims at once of a coupon of which there was one, and one for each member, made nine.",
        here="All 64 are answered with the same one coupon.",
        tests=("test_coupon_claims.py::test_litemall_581_a_stock_of_one_and_a_limit_of_one_give_one_coupon",),
    ),
    Attack(
        name="lilishop #145",
        link="https://github.com/lilishop/lilishop/issues/145",
        there="Eight withdrawals at once, each of all that the wallet had and by another name, were all taken.",
        here="One is taken; the others are told that there is not enough.",
        tests=("test_withdrawals.py::test_lilishop_145_eight_withdrawals_of_all_there_is",),
    ),
    Attack(
        name="fuint #71",
        link="https://github.com/fushengqian/fuint/issues/71",
        there="Twenty gifts at once of all of a member's 100 points were all credited: 2,000 points.",
        here="Of twenty that spend all of the points at once, each for something else, one gets what it wants.",
        tests=("test_points_exchanges.py::test_fuint_71_all_points_are_spent_twenty_times",),
    ),
    Attack(
        name="macrozheng/mall #1003",
        link="https://github.com/macrozheng/mall/issues/1003",
        there="Five orders of one member at once were all made with one coupon.",
        here="One order holds the coupon; the others are told that it is in use.",
        tests=("test_coupon_uses.py::test_many_orders_for_one_coupon_and_one_holds_it",),
    ),
    Attack(
        name="macrozheng/mall #1002",
        link="https://github.com/macrozheng/mall/issues/1002",
        there="A coupon of more than the order came to was taken off in full: it was to pay less than zero.",
        here="No line loses more than it has, with one coupon or several: the goods cost nothing, and no less.",
        tests=("test_coupon_uses.py::test_macrozheng_mall_1002_coupons_are_worth_more_than_the_order",),
    ),
    Attack(
        name="eventyay #1398",
        link="https://github.com/fossasia/eventyay/issues/1398",
        there="A voucher that three may use was redeemed by five who came at once.",
        here="Three get it; two are told that all are gone.",
        tests=("test_coupon_claims.py::test_eventyay_1398_five_come_for_what_three_may_have",),
    ),
    Attack(
        name="Medusa #16012",
        link="https://github.com/medusajs/medusa/issues/16012",
        there="Refunds at once could give back more than was paid, and uses at once overspend a budget.",
        here="All refunds of an order together give back what was paid, and a budget gives what it has.",
        tests=(
            "test_ordinary_orders.py::test_parts_and_the_whole_at_once_give_back_what_was_paid_and_no_more",
            "test_rewards.py::test_a_purse_gives_all_it_has_and_no_more",
        ),
    ),
    Attack(
        name="Medusa #16595",
        link="https://github.com/medusajs/medusa/issues/16595",
        there="A use given back writes what it had read; a use at the same moment is lost from the count.",
        here="Both change the count by one; what was given back is taken by others, to the last unit.",
        tests=(
            "test_groupbuys_ends.py::test_what_is_given_back_while_others_open_is_taken_to_the_last_unit",
            "test_rewards.py::test_what_an_order_earned_while_it_was_refunded_is_taken_back",
        ),
    ),
    Attack(
        name="Vendure #4660",
        link="https://github.com/vendurehq/vendure/pull/4660",
        there="A coupon for one use was put on several orders, and all of them could be paid for with it at once.",
        here="The first order that wants the coupon holds it, and it alone can be paid for with it.",
        tests=("test_coupon_uses.py::test_vendure_4660_many_orders_are_paid_with_a_coupon_for_one",),
    ),
    Attack(
        name="yudao, paid after the group was full",
        link=_YUDAO
        + "yudao-module-mall/yudao-module-promotion/src/main/java/cn/iocoder/yudao/module/promotion/service/"
        "combination/CombinationRecordServiceImpl.java",
        there="A place is taken after the payment; where the group is full by then, taking the payment fails.",
        here="A seat is held before it is paid for; who pays too late is seated elsewhere or gets the money back.",
        tests=("test_groupbuys_payments.py::test_late_payers_and_joiners_for_the_last_seats",),
    ),
    Attack(
        name="CRMEB, a second transfer",
        link=_CRMEB + "crmeb/app/services/user/UserExtractServices.php",
        there="A withdrawal is looked at, then sent under a new number: two who approve it at once send it twice.",
        here="It has one number for good: however many approve and send it, the bank makes one transfer.",
        tests=(
            "test_withdrawals.py::test_approved_many_times_and_sent_by_many_workers_it_is_one_transfer",
            "test_transfers.py::test_sent_by_many_workers_it_is_one_transfer",
        ),
    ),
)
