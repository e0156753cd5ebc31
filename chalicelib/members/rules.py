"""Pure rules of members: proofs, and what strangers see of a name."""

from collections.abc import Iterable
from typing import Literal


def openid_proof(*, program_id: str, openid: str) -> str:
    """The proof that an openid is, which is only unique within its program."""
    return f"openid#{program_id}#{openid}"


def unionid_proof(unionid: str) -> str:
    """The proof that a unionid is: one person in all programs of the brand."""
    return f"unionid#{unionid}"


def external_proof(external_id: str) -> str:
    """The proof that the mall's own id is."""
    return f"external#{external_id}"


def phone_proof(number: str) -> str:
    """The proof that a phone number is, with its country code: ``+8613800138000``."""
    return f"phone#{number}"


def openid_in(program_id: str, proofs: Iterable[str]) -> str | None:
    """The openid among the proofs that is of this program; of several the first."""
    prefix = openid_proof(program_id=program_id, openid="")
    return min((proof.removeprefix(prefix) for proof in proofs if proof.startswith(prefix)), default=None)


def phones(proofs: Iterable[str]) -> list[str]:
    """The phone numbers among the proofs."""
    return sorted(proof.removeprefix("phone#") for proof in proofs if proof.startswith("phone#"))


def masked_phone(number: str) -> str:
    """A phone number as its owner sees it: the middle four digits hidden."""
    return f"{number[:-8]}****{number[-4:]}"


def masked(nickname: str | None, *, lang: Literal["zh", "en"] | str = "zh") -> str:
    """A name as strangers see it: the first character and two stars; without a name, a friend."""
    if not nickname:
        return "好友" if lang == "zh" else "A friend"
    return f"{nickname[0]}**"


def masked_proof(proof: str) -> str:
    """A proof as operators see it: its kind, and the last four characters."""
    kind, _, value = proof.rpartition("#")
    return f"{kind}#…{value[-4:]}"
