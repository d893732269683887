"""Prints the part of template.yaml that outlives its stack: the key and the buckets, to be imported into a new stack.

    python3 tools/deploy/retained.py > retained.yaml          (docs/OPERATIONS.md, "A new stack is to have the data of a deleted one")

CloudFormation imports into a new stack only if its template has nothing that is to be created. A deployment then adds the rest.
"""

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from python_environment import PROJECT, Failure  # noqa: E402

RETAINED = "    DeletionPolicy: RetainExceptOnCreate\n"
HEAD = """AWSTemplateFormatVersion: "2010-09-09"
Description: "tripcast: what outlives a stack"

Resources:
"""


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        print(HEAD + retained((PROJECT / "template.yaml").read_text()), end="")
    except Failure as failure:
        print(f"retained: {failure}", file=sys.stderr)
        return 1
    return 0


def retained(template: str) -> str:
    """Returns the resources that are retained, as they are written."""
    [resources] = re.findall(r"^Resources:\n(.*?)^\S", template, re.DOTALL | re.MULTILINE)
    blocks = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)*)", resources, re.MULTILINE))
    kept = {name: block.rstrip() + "\n" for name, block in blocks.items() if RETAINED in block}
    for name, block in kept.items():
        references = " ".join(re.findall(r"!(?:Ref|GetAtt|Sub) (.*)", block))
        if others := sorted(set(re.findall(r"\w+", references)) & set(blocks) - set(kept)):
            raise Failure(f"{name} needs {', '.join(others)}, which a deleted stack leaves nothing of")
    return "\n".join(f"  {name}:\n{block}" for name, block in kept.items())


if __name__ == "__main__":
    sys.exit(main())
