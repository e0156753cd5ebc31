"""Sessions (登录): the front door of a mini-program, one call for its cold start.

It stands above members, sharing and wechat, and joins them: who signs in, whether they are new, by which link
they came, whose customer they become. Promises: two first sign-ins at once make one member and one binding; a
link that is over never stops a sign-in. It has no rows of its own.
"""
