"""Whether anything that is deployed has a published weakness: `make audit` asks with pip-audit, and says whom of.

Ends with 1 when a weakness is known, and with 2 when nobody could be asked about some package and AUDIT_REQUIRED is
set: pip-audit itself takes a package that its service does not know for a good one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"


def asked() -> dict[str, Any] | None:
    """What pip-audit found of the runtime requirements and all that they bring; nothing when it could not ask."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(REQUIREMENTS), "--format", "json"]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, check=False)  # noqa: S603
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        return None


def judged(found: Mapping[str, Any] | None, *, required: bool) -> tuple[int, list[str]]:
    """How to end, and what to say."""
    packages = found["dependencies"] if found else []
    weak = [package for package in packages if package.get("vulns")]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    told = [
        f"WEAK: {one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}" for one in weak
    ]
    if found is None or unknown:
        whom = f"{len(unknown)} of {len(packages)} packages" if found else "anything"
        told.append(f"NOT AUDITED: nobody could be asked about {whom}; try again where PyPI answers.")
    if not told:
        told.append(f"{len(packages)} packages, none of them with a known weakness.")
    if weak:
        return 1, told
    return (2 if required and (found is None or unknown) else 0), told


def main() -> int:
    """Ask, and say it."""
    code, told = judged(asked(), required=bool(os.environ.get("AUDIT_REQUIRED")))
    print("\n".join(told))
    return code


if __name__ == "__main__":
    sys.exit(main())
