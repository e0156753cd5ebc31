"""Upload storage.

    entity    pk                 sk        written by                 read by
    Upload    UPLOAD#<upl_>      META      start, arrive, judge       whoever shows or uses it
    Content   UPLOAD#<upl_>      CONTENT   arrive (without a bucket)  show
    Day *     UPLOADS#<mbr_>     <day>     start (50 a day)           start (in its condition)

    owner  Upload: <mbr_>#uploads of its member, newest first

    * on the traffic table. Facts: upload.arrived, upload.approved, upload.rejected.

The content has a row of its own, so that the stream does not carry it twice with every change of state. An upload
that was never finished has a ttl; what was posted of it lies in `incoming/`, which the bucket empties by itself.
"""

from pynamodb.attributes import BinaryAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Upload(Row, discriminator="upload"):
    """A picture of a member: ``pending``, ``uploaded``, ``approved``, ``rejected``.

    ``size`` is what was announced, and then what it has; ``place``: bucket or row; after ``ends_at`` it comes late.
    """

    FACTS = {
        ("pending", "uploaded"): "upload.arrived",
        ("pending", "approved"): "upload.arrived",
        ("uploaded", "approved"): "upload.approved",
        ("uploaded", "rejected"): "upload.rejected",
        ("approved", "rejected"): "upload.rejected",
    }

    upload_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    program_id = UnicodeAttribute(null=True)
    purpose = UnicodeAttribute()
    content_type = UnicodeAttribute()
    size = IntAttribute()
    place = UnicodeAttribute()
    created_at = IntAttribute()
    ends_at = IntAttribute()
    arrived_at = IntAttribute(null=True)
    judged_at = IntAttribute(null=True)

    @staticmethod
    def key(upload_id: str) -> Key:
        """Where the upload of this id is."""
        return f"UPLOAD#{upload_id}", "META"


class Content(Row, discriminator="upload_content"):
    """The picture itself, 45 KB at most."""

    content = BinaryAttribute(legacy_encoding=False)

    @staticmethod
    def key(upload_id: str) -> Key:
        """Beside its upload."""
        return f"UPLOAD#{upload_id}", "CONTENT"


class Day(Row, discriminator="upload_day"):
    """How many uploads a member has begun on a day."""

    TRAFFIC = True
    n = IntAttribute()

    @staticmethod
    def key(member_id: str, day: str) -> Key:
        """One row for a member and a day of the brand's calendar."""
        return f"UPLOADS#{member_id}", day
