"""WeChat (微信): the only room that speaks to the platform.

Promises: what it answers is typed, its errors are refusals of ours, nothing secret is logged; what WeChat counts
per program (tokens, codes, links, checks) is counted here first, for all functions together. The same code speaks
to WeChat and, through the base URL, to the simulator. Never: a rule of another room.
"""
