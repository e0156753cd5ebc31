"""Why somebody cannot open or join a group, and what the page can offer them instead."""

from chalicelib.core.errors import Conflict, Gone


class GroupFull(Conflict):
    """Every seat of the group is held or paid; ``joinable`` and ``can_open`` say what else there is."""

    code = "group_full"
    en = "This group is full."
    zh = "该团已满。"
    advice = "Offer `details.joinable`, or opening one's own group."


class GroupExpired(Gone):
    """The group is over; ``joinable`` and ``can_open`` say what else there is."""

    code = "group_expired"
    en = "This group is over."
    zh = "该团已结束。"
    advice = "Offer `details.joinable`, or opening one's own group."


class GroupNotOpen(Conflict):
    """The head has not paid yet."""

    code = "group_not_open"
    en = "This group is not open yet."
    zh = "团长尚未支付，暂不能参团。"
    advice = "Try again in a moment, or offer `details.joinable`."


class OnlyJoining(Conflict):
    """Too few units are left for a new group: one can only join, or open one of ``details.sizes``, if any."""

    code = "only_joining"
    en = "No new groups can be opened, but you can join one."
    zh = "库存已被占用，暂不能开团，可以参团。"
    advice = "Offer `details.joinable`."


class SkuSoldOut(Conflict):
    """Too little is left; ``left`` says how much, ``other_skus`` and ``sizes`` what there still is."""

    code = "sku_sold_out"
    en = "Sold out."
    zh = "已售罄。"
    advice = "Offer `details.other_skus` and `details.sizes`; units of groups that fail come back."


class LimitReached(Conflict):
    """The member has bought, or opened, as much as the campaign allows; ``details.limit`` says which."""

    code = "limit_reached"
    en = "You have reached the limit of this offer."
    zh = "已达到购买上限。"
    advice = "Show the limit and `details.mine`; who may open no more may join `details.joinable`."


class PriceNotAsShown(Conflict):
    """A seat in this group costs other than the page showed; ``details.price_fen`` is what it costs."""

    code = "price_not_as_shown"
    en = "The price is not the one that was shown."
    zh = "价格与页面显示不一致，请刷新后重试。"
    advice = "Show `details.price_fen` and ask again."


class OrderInTheWay(Conflict):
    """The member has another unpaid order in the campaign, or a seat in the group by another order."""

    code = "order_in_the_way"
    en = "There is another order of this member in the way."
    zh = "该会员有另一笔订单未处理。"
    advice = "Pay or cancel `details.order_id` first."


class NotNewMember(Conflict):
    """Only people who became members after the campaign began may join; heads may be anybody (老带新)."""

    code = "not_new"
    en = "Only new members can join this group."
    zh = "仅限新会员参团。"
    advice = "Offer `details.joinable`, which takes everybody, or opening one's own group."
