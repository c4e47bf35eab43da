"""The other side of `oracle.OtherBeta`, run by an interpreter with another openai: events in, findings out."""

import json
import sys

import openai

from tests.oracle import check_beta


def main() -> None:
    print(json.dumps(openai.__version__), flush=True)
    for line in sys.stdin:
        print(json.dumps(check_beta(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
