"""Toolchains: locks, the environment pytest runs in, and environments made from a lock."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ocr_conformance import toolchain
from ocr_conformance.errors import CacheError, UserError

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def wheel(folder: Path, name: str, version: str) -> None:
    """An empty distribution that an installer accepts, so that no test needs an index."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def write_lock(folder: Path, name: str, *pins: str, python: str = PYTHON) -> toolchain.Lock:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.lock"
    path.write_text("\n".join([f"# python: {python}", f"# platform: {toolchain._platform()}", *pins]) + "\n")
    return toolchain._read_lock(path)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of one small distribution each, wheels for it and an installer that looks nowhere else."""
    locks = tmp_path / "locks"
    write_lock(locks, "small", "tiny==1.0")
    write_lock(locks, "gone", "tiny==9.9")
    wheel(tmp_path / "wheels", "tiny", "1.0")
    wheel(tmp_path / "wheels", "tiny", "1.1")
    known = toolchain.locks(locks)
    monkeypatch.setattr(toolchain, "locks", lambda: known)
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    toolchain.here.cache_clear()
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    toolchain.here.cache_clear()


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_uv", lambda: None)


# --- locks


def test_the_locks_pin_what_their_top_requirements_ask_for() -> None:
    known = toolchain.locks()
    assert {name: lock.python for name, lock in known.items()} == {"modern": "3.11", "onnx2tf": "3.12", "tf215": "3.11"}
    for lock in known.values():
        assert lock.platform == "linux x86_64"
        for line in lock.path.with_suffix(".in").read_text().splitlines():
            if text := line.partition("#")[0].strip():
                top = Requirement(text)
                assert top.specifier.contains(lock.pins[toolchain._canonical(top.name)]), text
        # The build for CUDA would be locked with 20 distributions of its own; which build it is, is not ours to say.
        assert not [name for name in lock.pins if name.startswith(("nvidia-", "cuda-"))]
        assert "+" not in lock.pins.get("torch", "")


def test_the_extras_pin_what_the_modern_lock_pins(request: pytest.FixtureRequest) -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((request.config.rootpath / "pyproject.toml").read_text())["project"]
    pins = toolchain.locks()["modern"].pins
    for extra in ("captcha-ocr", "keras-ocr", "deep-text-recognition", "easyocr"):
        for text in project["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name != project["name"]:
                assert str(requirement.specifier) == f"=={pins[toolchain._canonical(requirement.name)]}"
    # The plugin must install beside a lock: where both name a distribution, the pin satisfies the plugin.
    for lock in toolchain.locks().values():
        for text in project["dependencies"]:
            requirement = Requirement(text)
            if pin := lock.pins.get(toolchain._canonical(requirement.name)):
                assert requirement.specifier.contains(pin), f"{lock.name}: {text}, locked {pin}"


def test_a_lock_s_hash_is_over_its_pins_not_its_comments(tmp_path: Path) -> None:
    first = write_lock(tmp_path, "a", "tiny==1.0", "other-one==2")
    same = write_lock(tmp_path, "b", "# why", "Other_One==2", "tiny==1.0")
    assert first.sha256 == same.sha256
    assert first.sha256 != write_lock(tmp_path, "c", "tiny==1.1", "other-one==2").sha256
    assert first.sha256 != write_lock(tmp_path, "d", "tiny==1.0", "other-one==2", python="3.99").sha256


@pytest.mark.parametrize("line", ["tiny>=1", "tiny", "-r other.txt", "tiny==1.*", "tiny==1 ; python_version > '3'"])
def test_a_line_that_is_no_pin_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(UserError, match=r"bad\.lock, line 3: .* is no pin"):
        write_lock(tmp_path, "bad", line)


def test_a_lock_without_its_headers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.lock").write_text("tiny==1.0\n")
    with pytest.raises(UserError, match=r"needs '# python:' and '# platform:' lines"):
        toolchain.locks(tmp_path)


# --- here


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> toolchain.Toolchain:
    monkeypatch.setattr(toolchain, "_installed_here", lambda: iter(versions.items()))
    toolchain.here.cache_clear()
    return toolchain.here()


def test_here_is_a_locked_toolchain_or_local(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: dataclasses.replace(lock, python=PYTHON) for name, lock in toolchain.locks().items()}
    known = {name: dataclasses.replace(lock, platform=toolchain._platform()) for name, lock in known.items()}
    monkeypatch.setattr(toolchain, "locks", lambda: known)
    modern = dict(known["modern"].pins)
    assert installed(monkeypatch, modern | {"pytest": "9.2.0"}).name == "modern"
    assert installed(monkeypatch, modern | {"setuptools": "65.5.0"}).name == "modern"
    del modern["keras-ocr"]  # the extra captcha-ocr leaves it out
    found = installed(monkeypatch, modern)
    assert (found.name, found.lock_sha256, found.is_here) == ("modern", known["modern"].sha256, True)
    assert installed(monkeypatch, dict(known["tf215"].pins)).name == "tf215"
    # Another version of anything that is pinned: it is not that toolchain.
    local = installed(monkeypatch, modern | {"numpy": "2.4.5"})
    assert local.name == "local"
    assert local.lock_sha256 != installed(monkeypatch, modern | {"numpy": "2.4.4"}).lock_sha256
    assert local.lock_sha256 == installed(monkeypatch, modern | {"numpy": "2.4.5", "pytest": "1"}).lock_sha256
    # Without a framework numpy alone makes no toolchain.
    assert installed(monkeypatch, {"numpy": modern["numpy"]}).name == "local"


def test_here_is_not_a_toolchain_of_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: dataclasses.replace(lock, python="3.99") for name, lock in toolchain.locks().items()}
    monkeypatch.setattr(toolchain, "locks", lambda: known)
    assert installed(monkeypatch, dict(known["modern"].pins)).name == "local"


def test_here_and_its_aliases_are_one() -> None:
    current = toolchain.here()
    assert current.python == sys.executable
    assert current.present
    assert current.versions["pytest"] == pytest.__version__
    assert {toolchain.find(name).python for name in ("here", "@here", current.name)} == {sys.executable}
    assert toolchain.available()[0] == current


# --- requirements


def test_requirements_and_the_other_names_of_tensorflow() -> None:
    chain = toolchain.Toolchain("x", "/p", "0", {"tensorflow-cpu": "2.15.1", "litert-quantizer": "0.12.0rc1"})
    assert toolchain.can_run(chain, ["tensorflow>=2.15", "litert_quantizer", "litert-quantizer>=0.11"])
    assert toolchain.unmet(chain, ["tensorflow>=2.16", "torch", "tensorflow-cpu==2.15.1"]) == [
        "tensorflow>=2.16",
        "torch",
    ]
    missing = dataclasses.replace(chain, python="", missing="not created")
    assert toolchain.unmet(missing, ["tensorflow"]) == []
    assert not toolchain.can_run(missing, ["tensorflow"])


def test_a_local_build_of_a_pinned_version_is_that_version(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = dataclasses.replace(
        toolchain.locks()["modern"], pins={"torch": "2.13.0"}, python=PYTHON, platform=toolchain._platform()
    )
    monkeypatch.setattr(toolchain, "locks", lambda: {"modern": lock})
    assert installed(monkeypatch, {"torch": "2.13.0+cpu"}).name == "modern"
    assert installed(monkeypatch, {"torch": "2.13.1+cpu"}).name == "local"


def test_a_toolchain_that_is_here_in_part_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {"tensorflow": "2.21.0", "torch": "2.13.0", "onnx": "1.23.2"}
    lock = dataclasses.replace(toolchain.locks()["modern"], pins=pins, python=PYTHON, platform=toolchain._platform())
    monkeypatch.setattr(toolchain, "locks", lambda: {"modern": lock})
    here = installed(monkeypatch, {"tensorflow": "2.21.0"})
    assert here.name == "modern"
    assert toolchain.by_lock(here, ["torch>=2.4"])
    assert not toolchain.by_lock(here, ["onnx2tf"])
    assert not toolchain.can_run(here, ["torch>=2.4"])
    assert toolchain.lacking(here, ["tensorflow"]) == ""
    message = toolchain.lacking(here, ["torch>=2.4", "onnx", "tensorflow"])
    assert message.startswith("toolchain modern lacks torch>=2.4, onnx here: install with `")
    assert message.endswith(f"-m pip install torch==2.13.0 onnx==1.23.2 -c {lock.path}`")


def test_a_toolchain_can_be_there_for_some_routes_only() -> None:
    chain = toolchain.find("onnx2tf")
    assert toolchain.locks()["onnx2tf"].only == ("onnx2tf",)
    assert toolchain.by_lock(chain, ["onnx2tf", "tensorflow"])
    assert not toolchain.by_lock(chain, ["tensorflow>=2.16", "keras>=3"])  # it could, and it is not what it is for


# --- create, find, remove


@pytest.mark.parametrize("installer", ["venv", "uv"])
def test_a_toolchain_is_created_found_and_removed(small: Path, monkeypatch: pytest.MonkeyPatch, installer: str) -> None:
    if installer == "venv":
        without_uv(monkeypatch)
    elif toolchain._uv() is None:
        pytest.skip("uv is not installed")
    before = toolchain.find("small", small)
    assert not before.present
    assert before.how == "ocr-conformance toolchain create small"
    assert before.missing == "toolchain small is not created here"

    lines: list[str] = []
    made = toolchain.create("small", small, progress=lines.append)
    assert made.present
    assert made.versions["tiny"] == "1.0"
    assert any("tiny" in line for line in lines)
    assert toolchain.find("small", small) == made
    assert [chain.name for chain in toolchain.available(small) if chain.present] == [toolchain.here().name, "small"]
    prefix = subprocess.run(
        [made.python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert Path(prefix.stdout.strip()).is_relative_to(small.resolve())

    again: list[str] = []
    assert toolchain.create("small", small, progress=again.append).python == made.python
    assert again == [f"toolchain small is there: {made.python}"]

    assert [path.name for path in toolchain.remove("small", small)] == [f"small-{made.lock_sha256[:8]}"]
    assert not Path(made.python).exists()
    assert not toolchain.find("small", small).present
    assert toolchain.remove("small", small) == []


def test_a_failed_build_is_one_sentence_and_leaves_nothing(small: Path) -> None:
    with pytest.raises(UserError, match=r"building the toolchain gone failed: .*ended with 1: .*tiny==9\.9") as caught:
        toolchain.create("gone", small, progress=lambda line: None)
    assert "\n" not in str(caught.value)
    assert not [path for path in small.iterdir() if path.is_dir()]


def test_an_interrupted_build_is_not_a_toolchain_and_is_built_anew(small: Path) -> None:

    def interrupt(line: str) -> None:
        if "tiny" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toolchain.create("small", small, progress=interrupt)
    assert not toolchain.find("small", small).present
    # A kill leaves the folder, without its record.
    folder = small / f"small-{toolchain.locks()['small'].sha256[:8]}"
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "python").write_text("half")
    assert not toolchain.find("small", small).present
    assert toolchain.create("small", small, progress=lambda line: None).present


def environment(folder: Path, *wheels: Path) -> str:
    venv.create(folder, with_pip=False)
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    for path in wheels:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(site.stdout.strip())
    return python


def test_an_existing_environment_is_adopted_watched_and_not_deleted(small: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "mine", tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl")
    assert toolchain.create("small", small, python=python).python == python
    found = toolchain.find("small", small)
    assert (found.python, found.versions["tiny"]) == (python, "1.0")
    # Somebody upgrades it: it is no longer the toolchain.
    (info,) = (tmp_path / "mine").rglob("tiny-1.0.dist-info")
    site = info.parent
    shutil.rmtree(info)
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny-1.1-py3-none-any.whl") as archive:
        archive.extractall(site)
    assert "is no longer small: tiny is 1.1, locked 1.0" in toolchain.find("small", small).missing
    toolchain.remove("small", small)
    assert Path(python).exists()
    shutil.rmtree(site / "tiny-1.1.dist-info")
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl") as archive:
        archive.extractall(site)
    toolchain.create("small", small, python=python)
    shutil.rmtree(tmp_path / "mine")
    assert "is gone" in toolchain.find("small", small).missing


def test_an_environment_that_is_another_is_refused(small: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "mine", tmp_path / "wheels" / "tiny-1.1-py3-none-any.whl")
    with pytest.raises(UserError, match=r"is not the toolchain small \(tiny is 1\.1, locked 1\.0\): install its lock"):
        toolchain.create("small", small, python=python)
    with pytest.raises(UserError, match="does not run as a Python interpreter"):
        toolchain.create("small", small, python=str(tmp_path / "nowhere"))
    write_lock(tmp_path / "locks", "old", "tiny==1.1", python="2.7")
    toolchain.locks()["old"] = toolchain._read_lock(tmp_path / "locks" / "old.lock")
    with pytest.raises(UserError, match=rf"is Python {PYTHON}, toolchain old needs 2\.7"):
        toolchain.create("old", small, python=python)
    assert not toolchain.find("small", small).present


def test_a_failed_adoption_leaves_the_toolchain_as_it_is(small: Path, tmp_path: Path) -> None:
    built = toolchain.create("small", small, progress=lambda line: None)
    other = environment(tmp_path / "other", tmp_path / "wheels" / "tiny-1.1-py3-none-any.whl")
    for python in (other, str(tmp_path / "nowhere")):
        with pytest.raises(UserError):
            toolchain.create("small", small, python=python)
        assert Path(built.python).exists()
        assert toolchain.find("small", small) == built


def test_an_adoption_replaces_the_toolchain_that_was_built(small: Path, tmp_path: Path) -> None:
    built = toolchain.create("small", small, progress=lambda line: None)
    assert toolchain.create("small", small, python=built.python) == built, "its own environment is not deleted"
    assert toolchain.find("small", small) == built
    python = environment(tmp_path / "mine", tmp_path / "wheels" / "tiny-1.0-py3-none-any.whl")
    assert toolchain.create("small", small, python=python).python == python
    assert toolchain.find("small", small).python == python
    assert not Path(built.python).exists()


def test_what_is_wrong_with_the_request_is_one_sentence(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for ask in (toolchain.find, toolchain.create, toolchain.remove):
        with pytest.raises(UserError, match=r"no toolchain 'smal': known are gone, small; did you mean 'small'\?"):
            ask("smal", small)
    without_uv(monkeypatch)
    monkeypatch.setattr(toolchain, "find_python", lambda version: None)
    with pytest.raises(
        UserError, match=rf"needs Python {PYTHON} and none was found: put python{PYTHON} on PATH, or inst"
    ):
        toolchain.create("small", small)
    small.rmdir() if not any(small.iterdir()) else shutil.rmtree(small)
    small.write_text("a file where the folder should be")
    with pytest.raises(CacheError, match="cannot write the toolchain small"):
        toolchain.create("small", small)


def test_a_lock_of_another_platform_is_not_built(small: Path) -> None:
    toolchain.locks()["small"] = dataclasses.replace(toolchain.locks()["small"], platform="windows riscv64")
    with pytest.raises(UserError, match="was made for windows riscv64, this machine is "):
        toolchain.create("small", small)


def test_a_shim_that_refuses_to_start_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_uv(monkeypatch)
    for folder, text in (("shims", "exit 127"), ("real", "echo 3.99")):
        (tmp_path / folder).mkdir()
        script = tmp_path / folder / "python3.99"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}{os.pathsep}{tmp_path / 'real'}{os.pathsep}/bin")
    assert toolchain.find_python("3.99") == str(tmp_path / "real" / "python3.99")
    assert toolchain.find_python("3.98") is None
    assert toolchain.find_python(PYTHON) == sys.executable


def test_pip_s_settings_reach_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not toolchain._output([sys.executable, "-m", "pip", "--version"]):
        pytest.skip("this environment has no pip")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "SSL_"))]:
        monkeypatch.delenv(name)
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one/simple\nextra-index-url = https://two/simple\n  https://three/simple\n"
        "[install]\nfind-links = /wheels /more\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_CONSTRAINT", "/c.txt")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own/simple")
    settings = toolchain._uv_settings()
    expected = {
        "UV_CONSTRAINT": "/c.txt",
        "UV_EXTRA_INDEX_URL": "https://two/simple https://three/simple",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert {name: value for name, value in settings.items() if name != "SSL_CERT_FILE"} == expected


def test_the_kept_list_of_distributions_is_a_short_cut_only(tmp_path: Path) -> None:
    versions = toolchain.distributions(sys.executable, tmp_path)
    assert versions["pytest"] == pytest.__version__
    kept = json.loads((tmp_path / "distributions.json").read_text())
    kept["versions"] = {"from": "the file"}
    (tmp_path / "distributions.json").write_text(json.dumps(kept))
    assert toolchain.distributions(sys.executable, tmp_path) == {"from": "the file"}
    (tmp_path / "distributions.json").write_text("{")
    assert toolchain.distributions(sys.executable, tmp_path) == versions
