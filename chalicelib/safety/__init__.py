"""Safety (内容安全): what people write and upload is checked by WeChat before others see it.

Promises: nothing unsafe is shown to others; a check that could not be made leaves the thing pending, seen by its
author only, until WeChat or a person has decided; each decision comes out once, as a fact, and the room whose thing
it is acts on it. Never: a rule of what is shown where. Switched off (CONTENT_SAFETY), everything is approved.
"""
