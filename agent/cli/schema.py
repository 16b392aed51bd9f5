"""`schema`: the JSON Schema of the native document, for editors and pipelines."""

import json
from argparse import ArgumentParser, Namespace
from typing import Final

DESCRIPTION: Final = """\
Prints the JSON Schema of the native document, made from the very types that read it. Editors complete and check
with it; `validate` knows more, e.g. port names and duplicate names."""
EXAMPLES: Final = """\
  health-agent schema > health-agent.schema.json
  # yaml-language-server: $schema=health-agent.schema.json   (first line of a config.yaml)"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("json",), default="json", help="a schema is JSON")


def main(args: Namespace) -> int:  # noqa: ARG001  (every command is called alike)
    from agent.config import schema

    print(json.dumps(schema(), indent=2))
    return 0
