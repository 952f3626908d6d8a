"""`toolchain list`, `create` and `remove`."""

from __future__ import annotations

import argparse

from ocr_conformance.cli.options import Commands, add_json, command, group, print_json


def add(commands: Commands) -> None:
    """Register the commands."""
    actions = group(commands, "toolchain", summary="environments that run hops")
    listed = command(actions, "list", _toolchain_list, summary="what is here, what is missing and how to get it")
    add_json(listed)
    create = command(
        actions,
        "create",
        _toolchain_create,
        summary="build one from its lock, or adopt an environment that satisfies it",
    )
    create.add_argument("name", metavar="NAME", help="as `toolchain list` shows it")
    create.add_argument("--python", metavar="PATH", help="adopt the environment of this interpreter")
    remove = command(actions, "remove", _toolchain_remove, summary="delete a created one")
    remove.add_argument("name", metavar="NAME", help="as `toolchain list` shows it")


def _toolchain_list(options: argparse.Namespace) -> int:
    from ocr_conformance import toolchain
    from ocr_conformance.report import listing

    if options.json:
        print_json({"toolchains": [listing.toolchain_facts(chain) for chain in toolchain.available()]})
        return 0
    for chain in toolchain.available():
        state = f"missing: {chain.how}" if chain.missing else ("here" if chain.is_here else chain.python)
        shown = ", ".join(f"{name} {version}" for name, version in toolchain.frameworks(chain.versions).items())
        print(f"{chain.name:10} {state}\n{'':10} {shown}")
    return 0


def _toolchain_create(options: argparse.Namespace) -> int:
    from ocr_conformance import toolchain

    chain = toolchain.create(options.name, python=options.python, progress=lambda line: print(line, flush=True))
    print(f"toolchain {chain.name}: {chain.python}")
    return 0


def _toolchain_remove(options: argparse.Namespace) -> int:
    from ocr_conformance import toolchain

    removed = toolchain.remove(options.name)
    print("\n".join(f"removed {path}" for path in removed) or f"there is no created toolchain {options.name}")
    return 0
