"""`explain`, `search` and `repro`: one case, looked into."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ocr_conformance.cli.options import (
    Commands,
    add_case,
    add_json,
    add_output,
    command,
    count,
    engine_of_case,
    in_our_words,
    print_json,
    seed,
    share,
    status_of,
    width,
)
from ocr_conformance.errors import UserError


def add(commands: Commands) -> None:
    """Register the commands."""
    explain = command(
        commands,
        "explain",
        _explain,
        summary="find the op in which a case's artifact goes wrong",
        about="With --bisect: which layers must stay float for the contract's text agreement.",
    )
    add_case(explain)
    explain.add_argument("--all", action="store_true", help="every op in execution order, not the worst only")
    add_output(
        explain, "write the whole table (.json, .csv) or a plot of SQNR over depth (.png, .svg)", repeatable=True
    )
    explain.add_argument("--bisect", action="store_true", help="find which layers must stay float")
    explain.add_argument("--agreement", type=share, metavar="SHARE", help="with --bisect: wanted instead, e.g. 0.98")
    explain.add_argument("--recipe", type=Path, metavar="FILE", help="with --bisect: write the quantizer's recipe")
    add_json(explain)

    search = command(
        commands,
        "search",
        _search,
        summary="find the smallest picture that an artifact reads otherwise than its source",
        status="0 few enough are read otherwise; 1 too many are, or more examples are needed to tell; 5 nothing was "
        "searched, the line says why",
    )
    add_case(search)
    search.add_argument("--examples", type=count, default=500, metavar="N", help="pictures of each kind (500)")
    search.add_argument("--seed", type=seed, default=0, metavar="SEED", help="the same one finds the same (0)")
    search.add_argument("--replay", action="store_true", help="judge the counterexamples that were kept again, first")
    search.add_argument("--timeout", type=count, default=900, metavar="SECONDS", help="wall time of one job (900)")
    add_json(search)

    repro = command(
        commands, "repro", _repro, summary="write a folder that shows a case's defect without us, to send upstream"
    )
    add_case(repro)
    add_output(repro, "the folder, not there or empty (repro-CASE)", metavar="DIR")


def _explain(options: argparse.Namespace) -> int:
    from ocr_conformance.explanation import bisect, explain
    from ocr_conformance.report import explanation as views

    if not options.bisect and (options.agreement is not None or options.recipe is not None):
        raise UserError("explain: --agreement and --recipe belong to --bisect")
    if options.bisect and (options.output or options.all):
        raise UserError("explain: --output and --all show what explain finds; run it without --bisect")
    for path in options.output:
        views.check_suffix(path)
    engine, case = engine_of_case(options)
    if options.bisect:
        with engine:
            bisected = bisect(engine, case, agreement=options.agreement)
            if options.recipe is not None:
                views.write_recipe(bisected, options.recipe)
        if options.json:
            print_json({name: value for name, value in vars(bisected).items() if name != "folder"})
        else:
            print(views.bisection(bisected, options.recipe))
        return 0
    with engine:
        found = explain(engine, case)
    for path in options.output:
        views.write(found, path)
    if options.json:
        print_json(found.to_json())
        return 0
    print(views.text(found, every=options.all, width=width()), end="")
    for path in options.output:
        print(f"wrote {path}")
    return 0


def _search(options: argparse.Namespace) -> int:
    from ocr_conformance.checks import SEARCH

    engine, case = engine_of_case(
        options,
        search=options.examples,
        search_seed=options.seed,
        replay=options.replay,
        timeout=options.timeout,
    )
    with engine:
        engine.plan(case)  # what is wrong with kept counterexamples is the user's to mend
        result = engine.judge(case, SEARCH)
    if options.json:
        print_json({"case": str(case), "result": result.to_json()})
    else:
        print(f"{case}: {result.verdict}: {in_our_words(result.message)}")
        for line in result.details:
            print(f"  {line}")
    return status_of([result])


def _repro(options: argparse.Namespace) -> int:
    from ocr_conformance import repro

    if options.output is not None:
        repro.check_free(options.output)
    engine, case = engine_of_case(options)
    folder = options.output or Path("repro-" + re.sub(r"[^\w.-]+", "-", str(case)))
    with engine:
        repro.write(engine, case, folder)
    print(f"wrote {folder}: python {folder / repro.SCRIPT}")
    return 0
