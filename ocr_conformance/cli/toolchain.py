"""`toolchain list`, `create` and `remove`."""

from __future__ import annotations

import argparse

from ocr_conformance.cli.options import Commands


def add(commands: Commands) -> None:
    """Register the commands."""
    chains = commands.add_parser("toolchain", help="environments that run hops").add_subparsers(
        required=True, metavar="ACTION"
    )
    chains.add_parser("list", help="what is here, what is missing").set_defaults(command=_toolchain_list)
    create = chains.add_parser("create", help="build one from its lock, or adopt an environment that satisfies it")
    create.add_argument("name")
    create.add_argument("--python", metavar="PATH", help="adopt the environment of this interpreter")
    create.set_defaults(command=_toolchain_create)
    remove = chains.add_parser("remove", help="delete a created one")
    remove.add_argument("name")
    remove.set_defaults(command=_toolchain_remove)


def _toolchain_list(_: argparse.Namespace) -> int:
    from ocr_conformance import toolchain

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
