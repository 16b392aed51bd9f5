"""The part of docs/presets.md below its mark, made of the presets: `python -m tests.config.presets_page` writes it."""

from pathlib import Path
from typing import Any

from agent.cli.presets import hangs
from agent.config.preset_shown import presets_shown

PAGE = Path(__file__).parents[2] / "docs" / "presets.md"
MARK = "<!-- below here: python -m tests.config.presets_page -->\n"


def generated() -> str:
    """One table of all, then a section of each."""
    shown = presets_shown()
    rows = [
        f"| [{one['name']}](#{_anchor(one['name'])}) | {one['title']} | {one['port']} | {hangs(one)} |" for one in shown
    ]
    table = "\n".join(["| preset | server | port | sees a hang by |", "|---|---|---|---|", *rows])
    return f"{table}\n\n" + "\n".join(_section(one) for one in shown)


def _section(shown: dict[str, Any]) -> str:
    checks = [f"| {one['type']} | {one['name']} | {_asks(one)} | {_numbers(one)} |" for one in shown["checks"]]
    checks += [
        f"| {one['type']} | {one['name']} | on request: {_path(one['check'].get('inference', {}))} | {one['why']} |"
        for one in shown["on_request"]
    ]
    return "\n".join(
        [
            f"### {shown['name']}\n",
            f"{shown['title']}, {shown['versions']}. A load usually takes up to {shown['load_seconds']:g} s.\n",
            "| type | check | asks | numbers |",
            "|---|---|---|---|",
            *checks,
            "\nCannot see:\n",
            *(f"- {spot}" for spot in shown["blind_spots"]),
            "\nSources:\n",
            *(f"- <{source}>" for source in shown["sources"]),
            "",
        ]
    )


def _asks(check: dict[str, Any]) -> str:
    options = check["options"]
    if check["method"] == "progress":
        return f"progress of {options['server']}" + (f", port {options['port']}" if options["port"] else "")
    if check["method"] == "inference":
        return f"canary: {_path(options)}"
    expect = options["expect"] or {}
    more = [f"port {options['port']}"] if options["port"] else []
    more += [f"body holds `{expect['body_contains']}`"] if expect.get("body_contains") else []
    more += [f"status {', '.join(map(str, expect['status']))}"] if expect.get("status") else []
    return ", ".join([f"`{options['path']}`", *more])


def _path(options: dict[str, Any]) -> str:
    return (
        ", ".join(filter(None, [options.get("api"), f"`{options['path']}`" if options.get("path") else ""])) or "yours"
    )


def _numbers(check: dict[str, Any]) -> str:
    times = f"every {check['period_seconds']:g} s, at most {check['timeout_seconds']:g} s"
    return f"{times}, {check['failure_threshold']} failures"


def _anchor(name: str) -> str:
    return name.replace(".", "")


if __name__ == "__main__":
    own = PAGE.read_text(encoding="utf-8").partition(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(f"{own}{MARK}\n{generated()}", encoding="utf-8")
