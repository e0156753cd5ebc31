"""Withdrawals (提现): how what a promoter has earned is paid out, once, and what is taken off.

Words: a promoter **applies** for an amount, which is frozen at once; operators **approve** or **reject**, or the
terms do; a **gateway** transfers it under the withdrawal's own id, and the **payee** may have to confirm.

Promises: the fee and the tax are inside the amount; a transfer keeps its number until its end is known, and what is
not known is asked for again under it; what fails, expires or is rejected comes back, once; real names, id numbers
and bank accounts are kept sealed, and only where a rule needs them, and every look at them is in the audit trail.
Never: money out twice, or more than was settled.
"""
