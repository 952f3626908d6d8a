"""``--ocr-list``: models, routes, modes, checks, toolchains, devices; what is here, what is missing, how to get it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocr_conformance import checks, toolchain
from ocr_conformance.cases import MODES, model_id

if TYPE_CHECKING:
    from ocr_conformance.registry import Registry
    from ocr_conformance.toolchain import Toolchain


def data(registry: Registry) -> dict[str, Any]:
    """The listing, JSON-able. Of what can be run nowhere here, ``missing`` says what to do."""
    chains = toolchain.available()
    models = []
    for entry in registry.models.values():
        for variant in (*entry.contract.plain, *entry.contract.variants):
            description = entry.contract.settings(variant)
            models.append(
                {
                    "model": model_id(entry.name, variant),
                    "summary": description.summary,
                    "kind": description.kind,
                    "framework": description.framework,
                    "on_request": bool(variant) and not entry.contract.variants[variant].default,
                    "routes": list(description.routes),
                    "routes_on_request": list(description.on_request),
                    **_where(chains, description.requires),
                }
            )
    devices: dict[str, dict[str, Any]] = {}
    for entry in registry.models.values():
        for name, profile in entry.contract.device.items():
            known = devices.setdefault(name, {"device": name, "summary": profile.summary, "models": []})
            known["models"].append(entry.name)
            known["remote"] = known.get("remote", False) or profile.remote
    return {
        "models": models,
        "routes": [
            {"route": route.name, "summary": route.summary, **_where(chains, route.requires)}
            for route in registry.routes.values()
        ],
        "modes": list(MODES),
        "checks": [{"check": check.name, "summary": check.summary} for check in checks.CHECKS.values()],
        "toolchains": [toolchain_facts(chain) for chain in chains],
        "devices": list(devices.values()),
    }


def toolchain_facts(chain: Toolchain) -> dict[str, Any]:
    """One toolchain, JSON-able."""
    return {
        "toolchain": chain.name,
        "here": chain.is_here,
        "python": chain.python or None,
        "missing": chain.missing or None,
        "create": chain.how or None,
        "lock_sha256": chain.lock_sha256,
        "versions": toolchain.frameworks(chain.versions),
    }


def _where(chains: list[Toolchain], requires: tuple[str, ...]) -> dict[str, Any]:
    """In which toolchains something can run, and if in none, what is missing."""
    able = [chain for chain in chains if toolchain.by_lock(chain, requires)]
    here = [chain.name for chain in able if toolchain.can_run(chain, requires)]
    missing = None
    if not here:
        missing = able[0].how or "install " + " ".join(requires) if able else f"needs {', '.join(requires)}"
    return {"toolchains": here, "missing": missing}


def render(registry: Registry, width: int) -> str:
    """The listing as text."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    console = Console(file=out, width=max(width, 120), highlight=False, emoji=False)
    known = data(registry)

    def show(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], wraps: int = 1) -> None:
        drawn = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
        for number, heading in enumerate(headings):
            # A name or a command that is broken over lines cannot be copied; what explains them may wrap.
            drawn.add_column(heading, no_wrap=number != wraps)
        for row in rows:
            drawn.add_row(*row)
        console.print(drawn)

    models = [
        (
            each["model"],
            f"{'on request; ' if each['on_request'] else ''}{each['summary']}",
            "\n".join((*each["routes"], *(f"{route} (on request)" for route in each["routes_on_request"]))),
            _shown(each),
        )
        for each in known["models"]
    ]
    show("models", ("model", "", "routes", "its framework"), models)
    routes = [(each["route"], each["summary"], _shown(each)) for each in known["routes"]]
    show("routes", ("route", "", "can run in"), routes)
    show("modes", ("mode",), [(mode,) for mode in MODES])
    show("checks", ("check", "the question"), [(each["check"], each["summary"]) for each in known["checks"]])
    show("toolchains", ("toolchain", "state", "versions"), [_toolchain(each) for each in known["toolchains"]], wraps=2)
    if known["devices"]:
        devices = [
            (each["device"], each["summary"], ", ".join(each["models"]), _judged_by(each)) for each in known["devices"]
        ]
        show("devices", ("device", "", "of the contracts of", "judged by"), devices)
    return out.getvalue()


def _shown(each: Mapping[str, Any]) -> str:
    return ", ".join(each["toolchains"]) or f"missing: {each['missing']}"


def _toolchain(each: Mapping[str, Any]) -> tuple[str, str, str]:
    state = (
        f"missing: {each['create']}" if each["missing"] else ("here" if each["here"] else f"created: {each['python']}")
    )
    return each["toolchain"], state, ", ".join(f"{name} {version}" for name, version in each["versions"].items())


def _judged_by(device: Mapping[str, Any]) -> str:
    return "ocr-conformance latency import" if device["remote"] else f"--ocr-device {device['device']}"
