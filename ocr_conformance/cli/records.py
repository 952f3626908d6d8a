"""`report`, `merge` and `diff`: what can be made of records, without running anything."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ocr_conformance.cli.options import Commands, add_output, command, width

_OUTPUT = "--output"


def add(commands: Commands) -> None:
    """Register the commands."""
    report = command(
        commands,
        "report",
        _report,
        summary="show a record: in the terminal, as a page, as Markdown",
    )
    report.add_argument("record", type=Path, metavar="RECORD", help="run.json, of --ocr-report or of merge")
    add_output(report, "write .html, .md or .json instead of showing it", repeatable=True)
    report.add_argument(
        "--github-summary", action="store_true", help="add the Markdown to the summary of a step of GitHub Actions"
    )

    merge = command(
        commands,
        "merge",
        _merge,
        summary="several records in one: environments, shards, machines",
        about="Where they say different things of one case, both are kept and shown.",
        status="0 they go together; 1 they conflict",
    )
    merge.add_argument("records", type=Path, nargs="+", metavar="RECORD", help="run.json, of --ocr-report or of merge")
    add_output(merge, "all.json (or .html, .md)", required=True)

    diff = command(
        commands,
        "diff",
        _diff,
        summary="what changed between two records, beyond noise",
        status="0 nothing became worse; 1 something did",
    )
    diff.add_argument("old", type=Path, metavar="OLD", help="the record before")
    diff.add_argument("new", type=Path, metavar="NEW", help="the record after")
    diff.add_argument(
        "--toolchains", nargs=2, metavar=("OLD", "NEW"), help="only cases of these; both may be in one record"
    )
    add_output(diff, "write the changes as .md or .json, or the new record's page with them (.html)", repeatable=True)


def _report(options: argparse.Namespace) -> int:
    from ocr_conformance import report
    from ocr_conformance.report import markdown, schema, terminal

    for path in options.output:
        report.check_path(path, _OUTPUT)
    document = schema.load(options.record)
    if options.github_summary:
        report.add_summary(markdown.render(document), "--github-summary")
    for path in options.output:
        report.write(document, path, option=_OUTPUT)
        print(f"wrote {path}")
    if not options.output and not options.github_summary:
        print("\n".join(terminal.summary(document, width=width(), color=False)))
    return 0


def _merge(options: argparse.Namespace) -> int:
    from ocr_conformance import report
    from ocr_conformance.report import merging, record, schema, table

    report.check_path(options.output, _OUTPUT)
    document = merging.merge([(str(path), schema.load(path)) for path in options.records])
    report.write(document, options.output, option=_OUTPUT)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in record.counts(document).items() if count)
    print(f"wrote {options.output}: {len(document['cases'])} cases of {len(document['runs'])} runs, {counts}")
    for line in table.conflicts(document):
        print(line)
    return int(bool(document["conflicts"]))


def _diff(options: argparse.Namespace) -> int:
    from ocr_conformance import report
    from ocr_conformance.report import difference, markdown, schema, terminal

    for path in options.output:
        report.check_path(path, _OUTPUT)
    old, new = schema.load(options.old), schema.load(options.new)
    toolchains = None if options.toolchains is None else (options.toolchains[0], options.toolchains[1])
    changes = difference.compare(old, new, toolchains)
    names = toolchains or (str(options.old), str(options.new))
    for path in options.output:
        if path.suffix == ".html":
            report.write(new, path, changes, _OUTPUT)
        elif path.suffix == ".md":
            report.put(markdown.difference(names, changes), path, _OUTPUT)
        else:
            listed: dict[str, Any] = {"old": names[0], "new": names[1], "changes": [each.to_json() for each in changes]}
            report.put(report.as_json(listed), path, _OUTPUT)
        print(f"wrote {path}")
    if not options.output:
        print("\n".join(terminal.changes(changes, width())))
    return int(difference.worse(changes))
