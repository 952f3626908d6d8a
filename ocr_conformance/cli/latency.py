"""`latency import`: what a phone measured."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ocr_conformance.cli.options import (
    Commands,
    add_json,
    add_model_paths,
    command,
    group,
    print_json,
    registry_of,
    status_of,
)
from ocr_conformance.errors import UserError

if TYPE_CHECKING:
    from ocr_conformance.contract import DeviceCeilings
    from ocr_conformance.registry import Registry


def add(commands: Commands) -> None:
    """Register the command."""
    actions = group(commands, "latency", summary="latency and memory on a phone")
    taken = command(
        actions,
        "import",
        _import,
        summary="hold what TFLite's benchmark_model printed on a phone against the contract's ceilings",
        about="Several runs in one log are several measurements of one file.",
        status="0 no ceiling is exceeded; 1 one is, or the figures cannot tell; 5 there is no figure for any ceiling",
    )
    taken.add_argument("file", metavar="FILE", help="the tool's output; - reads standard input")
    taken.add_argument(
        "--case", required=True, metavar="CASE", help="whose artifact it was: model[:variant]/route/mode@toolchain"
    )
    taken.add_argument("--device", required=True, metavar="NAME", help="the contract's [device.NAME]")
    add_json(taken)
    add_model_paths(taken)


def _import(options: argparse.Namespace) -> int:
    from ocr_conformance import benchmark_log

    ceilings = _ceilings(registry_of(options), options.case, options.device)
    where = "standard input" if options.file == "-" else options.file
    runs = benchmark_log.parse(benchmark_log.text_of(_read(options.file)), where)
    results = benchmark_log.hold(runs, ceilings, where)
    if options.json:
        found = {name: result.to_json() for name, result in results.items()}
        print_json({"case": options.case, "device": options.device, "results": found})
    else:
        for name, result in results.items():
            print(f"{name:8} {result.verdict:10} {result.message}")
            for line in result.details:
                print(f"{'':19} {line}")
    return status_of(results.values())


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}): expected the output of benchmark_model") from None


def _ceilings(registry: Registry, text: str, device: str) -> DeviceCeilings:
    """What the contract allows a case on a device.

    Raises:
        UserError: there is no such case, toolchain or device, or no ceiling for it.
    """
    from ocr_conformance import toolchain
    from ocr_conformance.cases import MODES, Case
    from ocr_conformance.registry import near

    case = Case.parse(text)
    registry.variants([case.model_id])
    contract = registry.models[case.model].contract
    description = contract.settings(case.variant)
    if case.mode not in MODES:
        raise near(case.mode, MODES, "mode", "--case")
    if description.kind != "pipeline" and case.route not in description.all_routes:
        raise near(case.route, description.all_routes, f"route of {case.model_id}", "--case")
    if device not in contract.device:
        raise near(device, contract.device, f"device profile in {contract.where}", "--device")
    chains = toolchain.available()
    chain = next((each for each in chains if each.name == case.toolchain), None)
    if case.toolchain in toolchain.HERE:
        chain = next(each for each in chains if each.is_here)
    if chain is None:
        raise near(case.toolchain, [*(each.name for each in chains), "here"], "toolchain", "--case")
    weights = contract.default_weights if description.kind != "pipeline" else ""
    ceilings = contract.limits(case, chain.versions, device, weights=weights).device
    assert ceilings is not None
    if ceilings.latency_ms is None and ceilings.memory_bytes is None:
        raise UserError(
            f"{contract.where}: [device.{device}] has no ceiling for {case}: add a [[device.{device}.ceiling]]"
        )
    return ceilings
