"""The page of a real run: every case with its plots, opened in a browser that must have nothing to complain of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


@pytest.mark.usefixtures("keras3")
def test_the_page_of_a_run_in_a_browser(judge: Callable[..., Run], browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.html"
    routes = ("--ocr-route=tf-lite", "--ocr-mode=float32", "--ocr-mode=dynamic-range", "--ocr-mode=int8")
    run = judge("--ocr-model=captcha-ocr", "-k", "not latency", *routes, f"--ocr-report={path}")
    cases = run.record["cases"]
    (crash,) = (case for case in cases if case.startswith("captcha-ocr/tf-lite/int8@"))
    for width in (390, 1400):
        said: list[str] = []
        asked: list[str] = []
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(f"{path.as_uri()}#{crash}")
        assert "SIGSEGV" in page.locator(f'[id="{crash}"] .finding').inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        titles = page.locator(".plots figcaption").all_inner_texts()
        assert {"Size", "Memory", "Accuracy", "Agreement with the source against size"} <= set(titles)
        shown = page.locator("table.cases tbody tr:visible")
        assert shown.count() == len(cases)
        page.fill("#words", "tf-keras dynamic")
        assert [row.get_attribute("data-case") for row in shown.all()] == [
            case for case in cases if "tf-keras" in case and "dynamic" in case
        ]
        assert said == []
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
