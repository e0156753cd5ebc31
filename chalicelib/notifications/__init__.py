"""Notifications (通知): what a member is told, in the app's own inbox and, with their consent, by WeChat.

Promises: a fact tells a member once, whatever becomes of the message; a consent is used for one message at most;
what WeChat may have shown is not sent again; nobody is woken at night or told more than they want in a day. Words:
*notification* is a line of the inbox, *message* the same sent by WeChat, *consent* one tap on "allow" for one
template, *activity* a card in a chat that shows how many have joined (动态消息). Never: no room imports it, and
nothing hangs on whether somebody was told.
"""
