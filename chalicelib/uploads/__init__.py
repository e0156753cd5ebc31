"""Uploads (上传): pictures that members send, and the only way in which one comes to stand anywhere.

Words: an **upload** is one picture of one member for one purpose; it is **pending** until the picture is there,
**uploaded** until it was checked, then **approved** or **rejected**.

Promises: what is shown was looked at by how it begins, is of the size and type that was announced, and never
changes afterwards; nobody but its member uses it, for the purpose it was sent for; nobody sees it before it is
approved.
Never: an address of somebody else's in place of a picture; a picture that waits for a checker shown meanwhile.
"""
