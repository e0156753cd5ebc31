"""What `infra.doctor` makes of what it saw: pure functions from answers to findings, in words and with a remedy."""

import json
from dataclasses import dataclass, field
from typing import Any

DAY = 86400
SECRETS = {
    "session_keys": "JSON {key id: key of 32 characters or more}; sessions are signed with the first",
    "link_key": "a random text; link codes are derived from it, so it never changes",
    "erased_key": "a random text; who comes back after they were erased is known by it, so it never changes",
    "mall_secrets": "the secret shared with the mall; two, separated by a space, while one replaces the other",
}
OF_PROGRAMS = "wechat/"
OF_A_PROGRAM = (
    "the AppSecret of a mini-program, under the secret_name of its program; nobody signs in without it"
)
SEALS = "payee_keys"
SEALING = "JSON {key id: 64 hex digits}; bank accounts, names and id numbers are sealed with the first"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``do`` is the remedy, or a remark when all is well."""

    ok: bool
    what: str
    do: str = ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What GET /v1/programs brought; ``failure`` when there was no answer at all."""

    status: int = 0
    body: str = ""
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Handshake:
    """What the TLS handshake brought."""

    version: str = ""
    expires_at: int = 0
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as DynamoDB describes it; ``described`` is empty when there is none."""

    name: str
    described: dict[str, Any] = field(default_factory=dict)
    ttl: dict[str, Any] = field(default_factory=dict)
    backups: dict[str, Any] = field(default_factory=dict)


def answer(*, url: str, region: str, given: Answer) -> Finding:
    """Whether the base URL leads to this app."""
    if given.status == 200 and _lists_programs(given.body):
        return Finding(ok=True, what=f"{url} answers", do=_remark(url))
    if given.failure:
        do = (
            "Is the name right and does it resolve? Is the stack deployed? In mainland China a domain without"
        )
        return Finding(
            ok=False, what=f"{url}: {given.failure}", do=f"{do} an ICP filing is cut off on the way."
        )
    return Finding(
        ok=False, what=f"{url} answers {given.status}", do=_explain(given.status, region, given.body)
    )


def _lists_programs(body: str) -> bool:
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("items"), list)


def _remark(url: str) -> str:
    if ".execute-api." not in url:
        return ""
    return (
        "WeChat takes only an ICP-filed domain of yours as a request domain. This URL serves for trying, with the "
        "domain check of the developer tools switched off."
    )


def _explain(status: int, region: str, body: str) -> str:
    if status in {401, 403}:
        return _explain_refusal(region, body)
    if status == 404:
        return (
            "There is no such route. An execute-api URL needs the stage in its path (…amazonaws.com/api); a custom "
            "domain needs a base path mapping to the API's stage."
        )
    if status == 200:
        return "Something else lives at this address: the answer is not a list of programs."
    if status >= 500:
        return (
            "The function failed. Read the newest lines of the API handler's log group; a missing setting or "
            "secret is named there."
        )
    return f"Not what a new deployment answers. It said: {body[:200]}"


def _explain_refusal(region: str, body: str) -> str:
    causes = [cause for known, cause in _REFUSALS.items() if known in body] or list(_REFUSALS.values())
    if region.startswith("cn-"):
        filing = (
            "In the China regions API Gateway serves calls without an AWS signature only for accounts tied to an "
            "ICP filing. Ask the support of Sinnet (Beijing) or NWCD (Ningxia) for the exemption, for each region "
            "of its own."
        )
        causes.insert(0, filing)
    return " Or: ".join(causes)


_REFUSALS = {
    "Missing Authentication Token": (
        "The route is not deployed under this URL: the stage is missing from the path (…amazonaws.com/api), or "
        "the deployment is older than the route. Deploy again and use the URL that the stack's outputs show."
    ),
    "Forbidden": (
        "The domain has no mapping for this path, or a resource policy or firewall of yours refuses the call. "
        "Look at the custom domain's base path mappings."
    ),
}


def tls(*, host: str, given: Handshake, now: int) -> Finding:
    """Whether phones will accept the connection."""
    if given.failure:
        return Finding(
            ok=False,
            what=f"TLS to {host}: {given.failure}",
            do="The host must answer there with a certificate that is valid, made for it, and sent with its chain.",
        )
    days = (given.expires_at - now) // DAY
    if given.version not in {"TLSv1.2", "TLSv1.3"}:
        return Finding(
            ok=False, what=f"{host} speaks {given.version}", do="WeChat asks for TLS 1.2 or later."
        )
    if days < 14:
        return Finding(ok=False, what=f"The certificate of {host} ends in {days} days", do="Renew it.")
    return Finding(ok=True, what=f"{host} speaks {given.version}; its certificate is good for {days} days")


def table(*, wanted: dict[str, Any], found: Table) -> list[Finding]:
    """Whether a table is the one that the template describes."""
    if not found.described:
        return [
            Finding(ok=False, what=f"There is no table {found.name}", do=f"{_REDEPLOY} It makes the table.")
        ]
    wrong = [
        *_keys("", wanted, found.described),
        *_indexes(wanted, found.described),
        *_stream(wanted, found.described),
        *_safety(wanted, found),
    ]
    if not wrong:
        return [Finding(ok=True, what=f"The table {found.name} is as the template describes it")]
    return [Finding(ok=False, what=f"The table {found.name}: {what}", do=_REDEPLOY) for what in wrong]


_REDEPLOY = "Deploy the stack (`make deploy`), or the tables' own (`python -m infra.tables`)."


def _keys(of: str, wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    right = _pairs(wanted["KeySchema"]) == _pairs(found.get("KeySchema", []))
    return [] if right else [f"{of}the keys are {_pairs(found.get('KeySchema', []))}"]


def _pairs(schema: list[dict[str, str]]) -> dict[str, str]:
    return {part["KeyType"]: part["AttributeName"] for part in schema}


def _indexes(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    there = {index["IndexName"]: index for index in found.get("GlobalSecondaryIndexes", ())}
    wrong: list[str] = []
    for index in wanted.get("GlobalSecondaryIndexes", ()):
        name = index["IndexName"]
        if name not in there:
            wrong.append(f"the index {name} is missing")
            continue
        wrong += _keys(f"index {name}: ", index, there[name])
        if _projected(index) != _projected(there[name]):
            wrong.append(f"the index {name} carries {sorted(_projected(there[name]))}")
        if there[name].get("IndexStatus") != "ACTIVE":
            wrong.append(f"the index {name} is {there[name].get('IndexStatus')}; wait until it is ACTIVE")
    return wrong


def _projected(index: dict[str, Any]) -> set[str]:
    projection = index.get("Projection", {})
    return {projection.get("ProjectionType", ""), *projection.get("NonKeyAttributes", ())}


def _stream(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    view = wanted.get("StreamSpecification", {}).get("StreamViewType")
    there = found.get("StreamSpecification", {})
    if view is None or (there.get("StreamEnabled") and there.get("StreamViewType") == view):
        return []
    return [f"its stream is not on with {view}, so no reaction and no delivery runs"]


def _safety(wanted: dict[str, Any], found: Table) -> list[str]:
    wrong: list[str] = []
    expiry = wanted["TimeToLiveSpecification"]["AttributeName"]
    if (found.ttl.get("TimeToLiveStatus"), found.ttl.get("AttributeName")) != ("ENABLED", expiry):
        wrong.append(f"TTL on {expiry} is not enabled, so nothing old ever goes")
    recovery = found.backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if "PointInTimeRecoverySpecification" in wanted and recovery != "ENABLED":
        wrong.append("point-in-time recovery is off")
    if wanted.get("DeletionProtectionEnabled") and not found.described.get("DeletionProtectionEnabled"):
        wrong.append("deletion protection is off")
    return wrong


def money_out(row: dict[str, Any]) -> Finding:
    """Whether what is owed is paid, by the row that switches it."""
    if row.get("state") != "off":
        return Finding(ok=True, what="Refunds and withdrawals are paid as they fall due")
    what = f"Money out is off since {int(row['at'])}, by {row['by']}: {row['why']}"
    return Finding(
        ok=False, what=what, do="Nothing is paid until `python -m infra.restore on`; docs/restore.md"
    )


def mappings(*, wanted: int, found: list[dict[str, Any]]) -> list[Finding]:
    """Whether the stream reaches its handlers, and what fails goes to the failure queue."""
    findings = [_mapping(one) for one in found]
    if len(found) < wanted:
        what = f"{len(found)} of {wanted} stream handlers are connected to the stream"
        findings.append(Finding(ok=False, what=what, do="Deploy again; the template connects them."))
    return findings


def _mapping(one: dict[str, Any]) -> Finding:
    name = str(one.get("FunctionArn", "?")).rpartition(":")[2]
    wrong = [] if one.get("State") == "Enabled" else [f"it is {one.get('State')}"]
    if str(one.get("LastProcessingResult", "")).startswith("PROBLEM"):
        wrong.append(str(one["LastProcessingResult"]))
    if "ReportBatchItemFailures" not in one.get("FunctionResponseTypes", []):
        wrong.append("one bad record fails its whole batch (no ReportBatchItemFailures)")
    if not one.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"):
        wrong.append("what cannot be worked off is lost (no failure queue)")
    if not wrong:
        return Finding(ok=True, what=f"{name} reads the stream")
    return Finding(ok=False, what=f"{name} and the stream: {'; '.join(wrong)}", do=_REMAP)


_REMAP = (
    "`make deploy` sets all of this. After plain `chalice deploy` do it with `aws lambda "
    "update-event-source-mapping`; see docs/deploying.md."
)


def secrets(*, path: str, found: dict[str, str]) -> list[Finding]:
    """Whether the secrets are there (their types by name); their values are never read."""
    needed = [secret(f"{path}/{name}", holds, found.get(name)) for name, holds in SECRETS.items()]
    programs = sorted(name for name in found if name.startswith(OF_PROGRAMS)) or [f"{OF_PROGRAMS}<program>"]
    logins = [secret(f"{path}/{name}", OF_A_PROGRAM, found.get(name)) for name in programs]
    if SEALS in found:
        return [*needed, *logins, secret(f"{path}/{SEALS}", SEALING, found[SEALS])]
    what = f"The secret {path}/{SEALS} is not there, and nobody has to say their bank account yet"
    later = f"Before withdrawals ask for one, put it: {SEALING}"
    return [*needed, *logins, Finding(ok=True, what=what, do=later)]


def secret(name: str, holds: str, kind: str | None, *, of: str = "") -> Finding:
    """Whether a secret is there, and is one; ``of`` says whose it is."""
    if kind == "SecureString":
        return Finding(ok=True, what=f"The secret {name}{of} is there")
    what = f"The secret {name}{of} is missing" if kind is None else f"The secret {name}{of} is a plain {kind}"
    do = f"aws ssm put-parameter --type SecureString --name {name} --value '…'   ({holds})"
    return Finding(ok=False, what=what, do=do)


def report(findings: list[Finding]) -> str:
    """The findings for a person to read."""
    lines: list[str] = []
    for found in findings:
        lines.append(f"{'ok     ' if found.ok else 'WRONG  '}{found.what}")
        if found.do:
            lines.append(f"       → {found.do}")
    wrong = sum(not found.ok for found in findings)
    lines.append(f"{wrong} of {len(findings)} need your attention." if wrong else "All is well.")
    return "\n".join(lines)
