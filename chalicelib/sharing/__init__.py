"""Sharing (分享): links, the cards they show, visits, who brought whom, and whose an order is.

Words: a **link** is an opaque code for (sharer, target, channel, placement); a **visit** is one opening of it;
a **binding** (锁客) is the member → promoter relation that a policy made, for ever or for a window; an order's
**attribution** (归因) is whose it is, as of the second it was made.

Promises: the same link always has the same code and a switched-off link stays off; one visitor counts once an
hour for a link, exactly; a member is one promoter's at a time, never their own and never in a circle, and who
had them is kept; what happens to a binding touches no order that was made. Never: a reward for sharing or for a
visit; no money, limit or reward reads a visit count; what looks like fraud holds, and refuses nothing.
"""
