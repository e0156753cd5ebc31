"""Commissions (分销佣金): who earns what of an order, when it becomes money, and why, to the fen.

Words: a **promoter** (分销员) is a member who agreed to the terms and may earn; a **rate** says what a line of an
order earns; a **commission** is what one order earns one promoter on one level; it is **settled** (结算) into the
promoter's account, and **clawed back** (扣回) when the order goes back after that.

Promises: one commission for an order and a level; it is a fixed function of the order's lines and of the rates that
were in force when the order was made; nothing settles while the order can still go back or an after-sale is open; a
part that goes back reduces it in proportion, after settling as a stated debt; every change is kept with its cause.
Never: more than two levels, anything for recruiting alone, a commission that nobody can explain.
"""
