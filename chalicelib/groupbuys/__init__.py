"""Group-buys (拼团): several people buy together for a better price, or get their money back.

Words: a **campaign** sets product, prices and limits; a **group** (团) is opened by its **head** (团长) and has
**seats** (名额); a **hold** (占位) keeps a seat for an unpaid order.

Promises (design 7): a seat is never given twice; a group is filled or ended, never both; whoever paid ends in a
filled group or gets all of it back; stock is never oversold. Never: an invented member.
"""
