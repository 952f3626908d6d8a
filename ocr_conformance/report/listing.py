"""``--ocr-list``: models, routes, modes, checks and toolchains; what is here, what is missing and how to get it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocr_conformance import checks, toolchain
from ocr_conformance.cases import MODES, model_id

if TYPE_CHECKING:
    from ocr_conformance.registry import Registry
    from ocr_conformance.toolchain import Toolchain


def render(registry: Registry, width: int) -> str:
    """The listing as text."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    console = Console(file=out, width=max(width, 120), highlight=False, emoji=False)
    chains = toolchain.available()

    def show(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], wraps: int = 1) -> None:
        drawn = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE, pad_edge=False)
        for number, heading in enumerate(headings):
            # A name or a command that is broken over lines cannot be copied; what explains them may wrap.
            drawn.add_column(heading, no_wrap=number != wraps)
        for row in rows:
            drawn.add_row(*row)
        console.print(drawn)

    rows = []
    for entry in registry.models.values():
        for variant in (*entry.contract.plain, *entry.contract.variants):
            description = entry.contract.settings(variant)
            name = model_id(entry.name, variant)
            asked = "" if not variant or entry.contract.variants[variant].default else "on request; "
            where = _where(chains, description.requires)
            rows.append(
                (
                    name,
                    f"{asked}{description.summary}",
                    "\n".join((*description.routes, *(f"{r} (on request)" for r in description.on_request))),
                    where,
                )
            )
    show("models", ("model", "", "routes", "its framework"), rows)
    routes = [(route.name, route.summary, _where(chains, route.requires)) for route in registry.routes.values()]
    show("routes", ("route", "", "can run in"), routes)
    show("modes", ("mode",), [(mode,) for mode in MODES])
    show("checks", ("check", "the question"), [(check.name, check.summary) for check in checks.CHECKS.values()])
    show("toolchains", ("toolchain", "state", "versions"), [_toolchain(chain) for chain in chains], wraps=2)
    return out.getvalue()


def _where(chains: list[Toolchain], requires: tuple[str, ...]) -> str:
    able = [chain for chain in chains if toolchain.by_lock(chain, requires)]
    here = [chain.name for chain in able if toolchain.can_run(chain, requires)]
    if here:
        return ", ".join(here)
    return (
        f"missing: {able[0].how or 'install ' + ' '.join(requires)}"
        if able
        else f"missing: needs {', '.join(requires)}"
    )


def _toolchain(chain: Toolchain) -> tuple[str, str, str]:
    state = f"missing: {chain.how}" if chain.missing else ("here" if chain.is_here else f"created: {chain.python}")
    return (
        chain.name,
        state,
        ", ".join(f"{name} {version}" for name, version in toolchain.frameworks(chain.versions).items()),
    )
