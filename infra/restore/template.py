"""The packaged template, able to stand on a truth table that was restored beside the stack's own.

`RestoredTable` and `RestoredStream` name it; empty, everything stands on the table that the stack made. That one
stays as it is, with what was written to it.
"""

from typing import Any

OWN = "TruthTable"
CONDITION = "TableIsRestored"
PARAMETERS = {
    "RestoredTable": {
        "Type": "String",
        "Default": "",
        "Description": "The truth table to stand on, as infra.restore made it; empty: the stack's own.",
    },
    "RestoredStream": {"Type": "String", "Default": "", "Description": "The ARN of its stream."},
}
_IS = {CONDITION: {"Fn::Not": [{"Fn::Equals": [{"Ref": "RestoredTable"}, ""]}]}}
_ARN = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${RestoredTable}"


def either(restored: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """One thing of a restored table, or of the stack's own."""
    return {"Fn::If": [CONDITION, restored, own]}


NAME = either({"Ref": "RestoredTable"}, {"Ref": OWN})
STREAM = either({"Ref": "RestoredStream"}, {"Fn::GetAtt": [OWN, "StreamArn"]})
_TABLE = either({"Fn::Sub": _ARN}, {"Fn::GetAtt": [OWN, "Arn"]})


def finish(template: dict[str, Any]) -> dict[str, Any]:
    """The template with a choice wherever it names the table."""
    resources = {name: one if name == OWN else _chosen(one) for name, one in template["Resources"].items()}
    return {
        **template,
        "Parameters": {**template["Parameters"], **PARAMETERS},
        "Conditions": {**template["Conditions"], **_IS},
        "Resources": resources,
        "Outputs": _chosen(template["Outputs"]),
    }


def _chosen(part: Any) -> Any:
    if isinstance(part, list):
        return [_chosen(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part == {"Ref": OWN}:
        return NAME
    if part == {"Fn::GetAtt": [OWN, "StreamArn"]}:
        return STREAM
    text = part.get("Fn::Sub")
    if isinstance(text, str) and f"${{{OWN}.Arn}}" in text:
        return {"Fn::Sub": [text.replace(f"${{{OWN}.Arn}}", "${Truth}"), {"Truth": _TABLE}]}
    return {name: _chosen(one) for name, one in part.items()}
