"""A mistake is one line and exit status 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Captured, assert_refused, run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["COMMAND"]),
        (["nonsense"], ["nonsense", "judge"]),
        (["judge", "JUNK"], ["--model"]),
        (["judge", "lost.tflite", "--model=captcha-ocr"], ["there is no file lost.tflite"]),
        (["judge", "JUNK", "--model=captcha-orc"], ["--model captcha-orc", "did you mean captcha-ocr"]),
        (["judge", "JUNK", "--model=captcha*"], ["captcha*", "no such model"]),
        (["judge", "JUNK", "--model=captcha-ocr:tf-kears"], ["tf-kears", "did you mean tf-keras"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--mode=int9"], ["--mode int9", "did you mean int8"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--alphabet=no.json"], ["--alphabet no.json", '{"0": "a"']),
        (["judge", "JUNK", "--model=captcha-ocr", "--images=nowhere"], ["nowhere", "does not exist"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--samples=0"], ["--samples", "'0' is no whole number"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--samples=few"], ["--samples", "few"]),
        (["judge", "JUNK", "--model=captcha-ocr", "--device=phone"], ["--device phone", "device profile"]),
        (["judge", "JUNK", "--model=pipeline:craft+easyocr"], ["pipeline:craft+easyocr: a pipeline is two files"]),
        (["list", "--model-path=nowhere"], ["nowhere", "--model-path"]),
        (["list", "--hooks=nowhere.py"], ["--hooks nowhere.py", "pytest_ocr_register"]),
        (["contract", "update", "captcha-orc"], ["did you mean captcha-ocr"]),
        (["contract", "update", "captcha-ocr", "--check=txet"], ["--check txet", "did you mean text"]),
        (["search", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["explain", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["explain", "captcha-ocr/tf-lite/int9@here"], ["--mode int9", "did you mean int8"]),
        (["explain", "captcha-ocr/litert-torch/int8@here"], ["there is no case captcha-ocr/litert-torch/int8@here"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--output", "x.txt"], ["--output x.txt", ".csv"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--recipe", "x.json"], ["--recipe belong to --bisect"]),
        (["explain", "captcha-ocr/tf-lite/int8@here", "--bisect", "--agreement", "2"], ["'2' is no share"]),
        (["search", "captcha-orc/tf-lite/int8@here"], ["--model captcha-orc", "did you mean captcha-ocr"]),
        (["search", "captcha-ocr/tf-lite/int9@here"], ["--mode int9", "did you mean int8"]),
        (["search", "captcha-ocr/litert-torch/int8@here"], ["there is no case captcha-ocr/litert-torch/int8@here"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--examples=0"], ["--examples", "'0' is no whole number of at"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--examples=x"], ["--examples", "'x' is no whole number"]),
        (["search", "captcha-ocr/tf-lite/int8@here", "--seed=-1"], ["--seed", "'-1' is no whole number of at least 0"]),
        (["repro", "captcha-ocr"], ["'captcha-ocr' is no case"]),
        (["repro", "captcha-ocr/tf-lite/int8@here", "--output", "JUNK"], ["--output", "this is a file; name another"]),
        (["toolchain", "create", "modren"], ["modren", "did you mean 'modern'"]),
        (["toolchain", "create", "modern", "--python=/nowhere"], ["/nowhere", "does not run"]),
        (["toolchain", "remove", "modren"], ["modren"]),
        (["cache", "prune"], ["--keep", "--unused"]),
        (["cache", "prune", "--keep=5"], ["'5' is no size", "2GB"]),
        (["cache", "prune", "--keep=-1GB"], ["'-1GB' is no size"]),
        (["cache", "prune", "--keep=nanGB"], ["'nanGB' is no size"]),
        (["cache", "prune", "--keep=1e300GB"], ["'1e300GB' is no size"]),
        (["cache", "prune", "--unused=-1"], ["'-1' is no number of days"]),
        (["cache", "info", "--cache=nowhere"], ["nowhere", "there is no cache"]),
    ],
)  # fmt: skip
def test_mistakes(
    capsys: Captured, junk: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(junk.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(junk.parent / "home"))  # no toolchain or cache of whoever runs this
    own = ["--cache=cache"] if arguments[:1] == ["judge"] or arguments[:1] == ["contract"] else []
    assert_refused(capsys, [*(str(junk) if text == "JUNK" else text for text in arguments), *own], *words)


@pytest.mark.parametrize("text", ["[1, 2", '{"0": "a", "2": "b"}', "7"])
def test_an_alphabet_file_that_is_none(capsys: Captured, junk: Path, text: str) -> None:
    path = junk.with_name("alphabet.json")
    path.write_text(text)
    assert_refused(capsys, ["judge", junk, "--model=captcha-ocr", f"--alphabet={path}"], "alphabet.json")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", ["ZeroDivisionError: division by zero"]),
        ("x = 1", ["it defines no pytest_ocr_register"]),
        ("pytest_ocr_register = 1", ["pytest_ocr_register", "TypeError"]),
        (
            "def pytest_ocr_register(config, registry): config.getini('x')",
            ["config=None", "AttributeError"],
        ),
        ("def pytest_ocr_register(registry): raise OSError('two\\nlines')", ["OSError: two lines"]),
        ("def pytest_ocr_register(registry): registry.add_models('nowhere')", ["AttributeError: 'str'"]),
        (
            "from ocr_conformance.errors import UserError\n"
            "def pytest_ocr_register(registry): raise UserError('the drive is not mounted')",
            ["ocr-conformance: the drive is not mounted"],
        ),
    ],
)
def test_hooks_that_fail(capsys: Captured, tmp_path: Path, code: str, words: list[str]) -> None:
    file = tmp_path / "hooks.py"
    file.write_text(code)
    assert_refused(capsys, ["list", f"--hooks={file}"], *words, *([] if "UserError" in code else [f"--hooks {file}: "]))


@pytest.mark.parametrize("arguments", ["registry", "registry, config", "", "registry, *, more=1"])
def test_a_hook_takes_what_it_likes(capsys: Captured, tmp_path: Path, arguments: str) -> None:
    """As pluggy has it: any of the arguments, by name."""
    file = tmp_path / "hooks.py"
    file.write_text(f"def pytest_ocr_register({arguments}):\n    print('called')")
    assert run("list", f"--hooks={file}") == 0
    assert capsys.readouterr().out.startswith("called\n")
