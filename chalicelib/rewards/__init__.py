"""Rewards (奖励): what members earn by rules that operators write, for what they and their friends do.

Words: a **rule** (规则) says on which fact, where which conditions hold, what is given to whom, and how often;
an **occurrence** is one thing that happened, read off a fact's row; the **actor** did it, the **sharer** brought
the actor; a **grant** (发放) is what one occurrence earned one member by one rule; a **purse** (预算) is what a
rule may still give in all; what a limit kept back is a grant too, ``missed``, with its reason.

Promises (design 7): one grant for a rule, an occurrence and a member; no limit and no purse is overrun, and the
last unit is given; what an order earned is taken back with the order. Never: anything for a share or a visit (A1),
for the head count of a team, beyond two levels, or by chances that are not published.
"""
