"""The page: what stands in it, and what a browser makes of it."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocr_conformance.report import html, record
from ocr_conformance.report.difference import Change

from .conftest import case, result

F32, INT8 = "m/tf-lite/float32@modern", "m/tf-lite/int8@modern"
WIDTHS = (390, 1400)


@pytest.fixture
def full(document: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A record in which there is one of each thing that a page shows."""
    cases = document["cases"]
    scene, png = tmp_path / "street.png", io.BytesIO()
    Image.new("RGB", (2000, 500), "white").save(scene)
    Image.new("L", (40, 20), 128).save(png, "PNG")
    hop = {"stage": "", "message": "", "seconds": 1.25, "cpu_seconds": 1.0, "peak_bytes": 2**28, "seen": 1.7e9}
    cases[F32]["hops"] = [{"name": "saved-model", "kind": "ok", **hop}, {"name": "tf-lite", "kind": "ok", **hop}]
    cases[F32]["artifacts"] = [{"model": "m", "file": "model.tflite", "sha256": "e" * 64, "bytes": 8_874_000}]
    steps = [{"before": "source", "hop": "saved-model", "max_abs": 0.0, "said": "0 ok"}]
    cases[F32]["checks"]["tensors"] = result("tensors", "passed", max_abs=1e-6)
    cases[F32]["checks"]["tensors"]["data"] = {"hops": steps}
    cases[F32]["checks"]["ops"] = result("ops", "passed")
    reason = {"op": "CONV_2D", "count": 2, "rule": "its rule", "source": "https://x.org/rules"}
    lacking = {"runs": False, "summary": "5 of 7 ops", "reasons": [reason], "kinds": {"CONV_2D": False}}
    unmeasured = {"runs": None, "summary": "not here", "reasons": [], "kinds": {}}
    cases[F32]["checks"]["ops"]["data"] = {
        "ops": [{"name": "CONV_2D", "version": 3, "kind": "builtin", "count": 7}],
        "targets": {"gpu": lacking, "micro": unmeasured},
    }
    cases[F32]["checks"]["boxes"] = result("boxes", "passed", recall=1.0)
    cases[F32]["checks"]["boxes"]["data"] = {"pictures": [str(scene), str(tmp_path / "gone.png")]}
    cases[F32]["checks"]["latency"]["data"] = {"intervals": {"latency_ms": [1.0, 2.0]}}
    cases[F32]["checks"]["latency"]["values"] += result("latency", "passed", latency_ms=1.5)["values"]
    cases[F32]["checks"]["memory"] = result("memory", "passed", growth_bytes=3e6)
    found = {"source": "ab", "artifact": "<b>", "file": "/kept/1.png", "png": base64.b64encode(png.getvalue()).decode()}
    cases[INT8]["checks"]["search"] = result("search", "failed", "disagreement")
    cases[INT8]["checks"]["search"]["data"] = {"counterexample": found}
    cases[INT8]["explanation"] = {
        "sentence": "the first error is made in op 2, MUL of stn",
        "reference": F32,
        "op": 2,
        "sqnr": [[0, 60.0, 60.0], [1, 55.0, 70.0], [2, 4.5, 4.6], [3, 4.0, 199.5]],
    }
    cases[INT8]["checks"]["size"]["values"] = result("size", "failed", bytes=2e6)["values"]
    cases[INT8]["checks"]["text"]["values"] = result("text", "failed", agreement=0.2)["values"]
    claim = {
        "where": "/a_long_folder_" + 80 * "x",
        "claimed": "signal at convert",
        "why": "it crashes",
        "issue": "https://x.org/1",
    }
    cases["m/unrolled/int16x8@modern"]["checks"]["conversion"]["data"] = {"claim": claim}
    return document


class _Ids(HTMLParser):
    """Ids and links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]
        self.loaded += [value for name in ("src", "href") if tag != "a" and (value := known.get(name))]


def test_every_case_has_a_section_and_every_link_a_target(full: dict[str, Any]) -> None:
    page = _Ids()
    page.feed(html.render(full, [Change(F32, "size", "1 KB", "2 KB", "worse")]))
    assert set(full["cases"]) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert set(full["cases"]) <= inner <= set(page.ids)
    assert page.links.count("https://x.org/1") == 1
    assert page.loaded
    assert all(each.startswith("data:") for each in page.loaded)


def test_what_stands_in_it(full: dict[str, Any]) -> None:
    text = html.render(full)
    for words in (
        f"{record.counts(full)['passed']} passed",
        "contract.toml:9 matches no case", "m: no mode beyond float32 passed", "tensorflow 2.21.0",
        "saved-model", "1.2 s", "0 ok", "CONV_2D (2 times): its rule", "✗ no", "? not measured",
        "why: the first error is made in op 2, MUL of stn",
        "it crashes (claimed: signal at convert; /a_long_folder", "counterexample: source &#39;ab&#39;",
        "artifact &#39;&lt;b&gt;&#39;", "SQNR over depth", "Size</figcaption>", "Latency</figcaption>",
        "Memory</figcaption>", "Accuracy</figcaption>", "Agreement with the source against size</figcaption>",
        "gone.png",
    ):  # fmt: skip
        assert words in text, words
    assert "<b>&#39;" not in text  # what a network read is no markup
    assert "Changes" not in text
    assert "Nothing changed beyond noise." in html.render(full, [])


def test_the_same_record_gives_the_same_page(full: dict[str, Any]) -> None:
    assert html.render(full) == html.render(full)


def test_a_record_without_numbers_has_no_plots(document: dict[str, Any]) -> None:
    document["cases"] = {INT8: case(result("conversion", "failed", "crashed"))}
    assert "<figure>" not in html.render(document)


@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser(browser: Any, full: dict[str, Any], tmp_path: Path, width: int) -> None:
    path = tmp_path / "run.html"
    path.write_text(html.render(full, [Change(F32, "size", "1 KB", "2 KB", "worse")]), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    rows = page.locator("table.cases tbody tr:visible")
    assert rows.count() == 5
    assert page.locator("#shown").inner_text() == "5 of 5 cases"

    page.fill("#words", "UNROLLED @modern")
    assert rows.count() == 2
    assert page.locator("details.case:visible").count() == 2
    page.locator("#filter label", has_text="unsupported").locator("input").uncheck()
    assert rows.all_inner_texts()[0].startswith("m/unrolled/float16@modern")
    assert page.locator("#shown").inner_text() == "1 of 5 cases"

    # A link shows its case, also one that the filter hides.
    hidden = page.locator(f'[id="{INT8}"]')
    assert not hidden.is_visible()
    page.locator(f'.matrix a[href="#{INT8}"]').click()
    hidden.wait_for(state="visible")
    assert hidden.get_attribute("open") is not None
    assert page.url.endswith(f"#{INT8}")
    page.fill("#words", "")

    size = page.locator("table.cases th button", has_text="KB")
    size.click()
    assert rows.nth(0).get_attribute("data-case") == INT8  # the smaller file; what was not measured comes last
    assert rows.nth(1).get_attribute("data-case") == F32
    size.click()
    assert rows.nth(0).get_attribute("data-case") == F32
    assert rows.nth(1).get_attribute("data-case") == INT8

    linked = browser.new_page(viewport={"width": width, "height": 900})
    linked.goto(f"{path.as_uri()}#m/unrolled/int16x8@modern")
    assert linked.evaluate("document.documentElement.scrollWidth") <= width  # of a case that is open, too
    linked = browser.new_page(viewport={"width": width, "height": 900})
    linked.on("console", lambda message: said.append(message.text))
    linked.goto(f"{path.as_uri()}#{F32}")
    assert linked.locator(f'[id="{F32}"] .checks').is_visible()
    pictures = "[...document.images].map((image) => image.complete && image.naturalWidth > 0)"
    assert set(linked.evaluate(pictures)) == {True}
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
