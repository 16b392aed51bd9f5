"""What the arguments of several commands have in common."""

from argparse import ArgumentParser, ArgumentTypeError


def seconds(text: str) -> float:
    """A number of seconds, 0 or more, as an argument."""
    try:
        number = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"{text!r}: seconds are 0 or more")
    return number


def port(text: str) -> int:
    """A TCP port as an argument."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def container_name(text: str) -> str:
    """A container's name as an argument; whether there is one of that name is another question."""
    if not text or not all(c.isascii() and (c.isalnum() or c in "-_.") for c in text):
        raise ArgumentTypeError(f"{text!r} is no container's name")
    return text


def add_url(parser: ArgumentParser) -> None:
    parser.add_argument("--url", help="the agent's address; http://127.0.0.1:${HEALTH_AGENT_SERVER__PORT:-9809}")


def add_format(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (text)")


def add_config(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        default=[],
        metavar="FILE",
        help="a document, - for standard input; again for more, each laid over the ones before "
        "(HEALTH_AGENT_CONFIG, /etc/health-agent/config.yaml, else the environment alone)",
    )


def add_documents(parser: ArgumentParser) -> None:
    """The documents of a command that takes them as words; read as `run` reads its --config."""
    parser.add_argument(
        "config",
        nargs="*",
        metavar="FILE",
        help="documents, - for standard input, each laid over the ones before; none: what `run` would read",
    )
    add_reading(parser)


def add_reading(parser: ArgumentParser) -> None:
    """How documents are to be read; the same for every command that reads one."""
    parser.add_argument(
        "--exec-in",
        choices=("agent", "container"),
        help="where exec checks of EAS and Kubernetes documents run, if not in the container (HEALTH_AGENT_EXEC_IN)",
    )
    parser.add_argument(
        "--threshold-semantics",
        choices=("kubernetes", "eas-page"),
        help="how service.json's thresholds are meant (HEALTH_AGENT_THRESHOLD_SEMANTICS)",
    )
