"""Check-ins (签到 and 打卡): people who come back day after day, alone or as a team.

Words: a **campaign** is a daily sign-in or a challenge with a target; a **turn** is what is checked in once, a
local day of the campaign or, in a weekly challenge, a week; a **run** is turns in a row; a **make-up** (补签) adds
a turn that was missed, for points or a card; a **freeze** keeps a run from breaking, without adding a turn.

Promises (design 7, K1): one check-in per member, campaign and local date, with one credit; a run of n turns has
earned what n turns in a row earn, however check-ins and make-ups were ordered. Never: two credits for a day, a turn
that a change of clocks skips or doubles, a note shown to strangers.
"""
