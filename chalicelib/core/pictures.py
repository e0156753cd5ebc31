"""What kind of picture some bytes are, by how they begin; what anybody says of them is not believed."""

import base64

BEGINNING = 16
"""How many bytes tell it."""
TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What a picture may be."""


def type_of(content: bytes) -> str | None:
    """The media type of a PNG, JPEG, GIF or WebP; None for anything else."""
    # https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content.startswith(b"RIFF") and content[8:14] == b"WEBPVP":
        return "image/webp"
    return None


def data_uri(content: bytes) -> str:
    """The picture as an address of itself; empty for what is no picture."""
    kind = type_of(content)
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if kind else ""
