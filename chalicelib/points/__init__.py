"""Points: what members earn and spend, what points buy, and the levels and badges that come of it.

Every posting is the ledger's (`core/ledger`): once under its cause, never below what is there. Points expire by the
month in which they were earned; growth never does, and says the level: up at once, and once a year the level costs
growth, so that who earned none goes down by one. In the mall's checkout points are frozen, spent or released under
the mall's own order number. Words: points 积分, growth 成长值, level 等级, badge 勋章, exchange 积分兑换.

Other rooms give and take points with `service.earned`, `service.spent` and `service.reversal`, in their own
transactions, and say with `exchanges.goods` what else points can buy. This room never calls them.
"""
