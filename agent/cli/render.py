"""`render`: a deployment with the agent beside the server, from what there is."""

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Final

from agent.cli.arguments import add_reading, port

DESCRIPTION: Final = """\
Puts the agent beside the server: from a native document, an EAS service.json, a Kubernetes manifest or a Compose file
to a deployment that can be applied as it is. The document's own checks become the agent's, and what the platform asks
the server it asks the agent from then on. All else stays as it was, but for comments and what only a cluster writes
into its manifests; `${NAME}` stays a reference. Further files, native ones, are laid over the first. What was rendered
stays as it is when it is rendered again. The result is printed, what there is to know of it is told on standard
error. Exit status 0 or 2."""
EXAMPLES: Final = """\
  kubectl get deployment model -o yaml | health-agent render kubernetes - \\
    --image registry.example/model-health-agent:0.1.0 | kubectl apply -f -
  health-agent render kubernetes deployment.yaml restart.yaml > with-agent.yaml
  health-agent render kubernetes health.yaml --server-image vllm/vllm-openai:v0.11.0 --name llm
  health-agent render compose compose.yaml --image registry.example/model-health-agent:0.1.0
  health-agent render eas service.json > service-with-agent.json"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("target", choices=("kubernetes", "compose", "eas"), help="what to make")
    parser.add_argument("files", nargs="+", metavar="FILE", help="document, - for standard input; then native ones")
    parser.add_argument("--image", help="the agent's image, where the place pulls from (model-health-agent:VERSION)")
    parser.add_argument(
        "--server-image",
        action="append",
        default=[],
        type=_server_image,
        metavar="[NAME=]IMAGE",
        help="the image of the server, or of the one of this name, where the document has none",
    )
    parser.add_argument("--name", help="the deployment's name, where the document has none (the first container's)")
    parser.add_argument("--port", type=port, help="the agent's port (server.port, else 9809)")
    parser.add_argument(
        "--sidecar",
        choices=("native", "container"),
        default="native",
        help="native: an init container that keeps running, Kubernetes 1.29 or later; container: a plain second one",
    )
    add_reading(parser)


def _server_image(text: str) -> tuple[str, str]:
    name, equals, image = text.partition("=")
    if not text or (equals and not image):
        raise ArgumentTypeError(f"{text!r} is neither IMAGE nor NAME=IMAGE")
    return (name, image) if equals else ("", text)


def main(args: Namespace) -> int:
    from agent.cli.loading import tell
    from agent.config import ConfigError, Options, find_sources
    from agent.render import RenderError, Settings, render

    settings = Settings(
        name=args.name,
        sidecar=args.sidecar,
        port=args.port,
        server_images=dict(args.server_image),
        **({"image": args.image} if args.image else {}),
    )
    options = Options(exec_in=args.exec_in, threshold_semantics=args.threshold_semantics)
    try:
        rendered = render(args.target, find_sources(args.files, {}), os.environ, options, settings)
    except ConfigError as wrong:
        tell(wrong.problems)
        return 2
    except RenderError as wrong:
        print(f"health-agent render: {wrong}", file=sys.stderr)
        return 2
    tell(rendered.warnings)
    for note in rendered.notes:
        print(note, file=sys.stderr)
    print(rendered.text, end="")
    return 0
