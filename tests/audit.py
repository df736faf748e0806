"""``python -m tests.audit``: packages of the lock file with known vulnerabilities.

Asks PyPI's advisories by pip-audit. Exit code 1 where there are any; where no source of advisories
can be reached it says so and ends with 0, since a machine without the internet is no defect.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Exit code 0 for none, and where nothing could be asked; 1 for any."""
    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as locked:
        uv = os.environ.get("UV", "uv")  # as `uv run` tells its children
        export = [uv, "export", "--frozen", "--no-emit-project", "--all-extras", "--quiet"]
        subprocess.run([*export, "-o", locked.name], cwd=ROOT, check=True)
        command = [sys.executable, "-m", "pip_audit", "-r", locked.name, "--no-deps"]
        command += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        print("no source of advisories can be reached; nothing was audited")
        return 0
    asked = [one for one in packages if "skip_reason" not in one]
    if not asked:
        print("no source of advisories knows any of the packages; nothing was audited")
        return 0
    found = [one for one in asked if one["vulns"]]
    for one in found:
        known = ", ".join(vuln["id"] for vuln in one["vulns"])
        print(f"{one['name']} {one['version']}: {known}")
    print(f"{len(asked)} packages audited, {len(found)} with known vulnerabilities")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
