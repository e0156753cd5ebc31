"""Members (会员): people, the identities that prove who they are, and the brand's programs (小程序).

Promises: one person is one member however many programs and first logins at once; a blocked member is refused
within 30 seconds; personal data live on this room's rows only; who asks to leave is nobody
afterwards. Never: who brought a member (sharing does that).
"""
