#!/usr/bin/env python3
"""Writes console/management.json: the OpenAPI document of the management API, for the types of the console.

`npm run types` makes `management-schema.d.ts` of it. `--check` writes nothing, and fails when the file is stale.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FILE: Final = ROOT / "console" / "management.json"
sys.path.insert(0, str(ROOT))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the document of the management API for the console.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is stale")
    check = parser.parse_args().check
    new = document()
    stale = not FILE.is_file() or FILE.read_text("utf-8") != new
    if stale and not check:
        FILE.write_text(new, "utf-8")
    if stale:
        advice = "stale; run scripts/make_management_json.py, then `npm run types` in console/"
        print(f"{FILE.relative_to(ROOT)}: {advice if check else 'written'}")
    return 1 if check and stale else 0


def document() -> str:
    """JSON. Without a version of its own, so that a release does not make it stale."""
    from parley.office import Office
    from parley.settings import Settings
    from parley.web.api.app import operations
    from parley.web.api.operations import openapi

    office = Office(Settings(home=ROOT, pepper="nothing is hashed here"))  # nothing of it is opened
    return json.dumps(openapi(operations(office), "1"), indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
