"""Sharing (分享): links, the cards they show, visits, and who brought whom.

Words: a **link** is an opaque code for (sharer, target, channel, placement); a **visit** is one opening of it;
a **binding** (锁客) is the member → promoter relation that a policy made.

Promises: the same link always has the same code and a switched-off link stays off; one visitor counts once an
hour for a link, exactly; a member is bound once, never to themselves and never in a circle. Never: a reward for
sharing or for a visit; no money, limit or reward reads a visit count.
"""
