"""Coupons (优惠券): what the shop promises off a price, claimed, given, used and brought back.

Words: a **template** (券模板) is what can be claimed; a **coupon** (券) is one member's piece of it, under the
terms of the day it was claimed; a **lock** holds coupons for an order of the mall; a **gift** (转赠) moves one to
a friend; a **share pack** (裂变券) has a piece for each of N friends; a **redeem code** (兑换码) is a claim in
print.

Promises (design 7): never more coupons of a template than its stock, nor of a member than their limit; a coupon is
redeemed once, and returned once, by the order that redeemed it. Never: a reward for sharing, an amount by chance.
"""
