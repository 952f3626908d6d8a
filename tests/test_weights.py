"""Where weights come from: names, files, downloads from a server of our own, packages."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from ocr_conformance.errors import CacheError, UserError
from ocr_conformance.weights import WeightsSource, choice, file_sha256, resolve

from .conftest import Server

DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(server: Server) -> Server:
    """Serves DATA at /weights.h5, 404 elsewhere; tests/faults/test_downloads.py has worse ones."""
    server.pages = {"/weights.h5": DATA}
    return server


def pretrained(url: str, sha256: str = SHA) -> dict[str, WeightsSource]:
    return {"pretrained": WeightsSource("pretrained", sha256, "MIT", url=url)}


def fetch(tmp_path: Path, sources: dict[str, WeightsSource], *, offline: bool = False) -> str | None:
    return resolve("pretrained", "m", sources, folder=tmp_path, cache=tmp_path / "cache", offline=offline).path


def left(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").glob("*") if path.suffix != ".lock")


def test_a_download_is_verified_kept_and_not_repeated(tmp_path: Path, server: Server) -> None:
    sources = pretrained(server.url("weights.h5"))
    path = fetch(tmp_path, sources)
    assert path is not None
    assert Path(path).read_bytes() == DATA
    assert fetch(tmp_path, sources) == fetch(tmp_path, sources, offline=True) == path
    assert server.asked == ["/weights.h5"]
    assert left(tmp_path) == [f"{SHA[:12]}-weights.h5"]


def test_offline_without_the_file_asks_nobody(tmp_path: Path, server: Server) -> None:
    with pytest.raises(UserError, match="--ocr-offline forbids to fetch http"):
        fetch(tmp_path, pretrained(server.url("weights.h5")), offline=True)
    assert server.asked == []


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path, server: Server) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CacheError, match=r"cannot store weights 'pretrained' of m in .*cache"):
        fetch(tmp_path, pretrained(server.url("weights.h5")))


def test_seeded_weights_have_no_file_and_the_hash_of_their_recipe(tmp_path: Path) -> None:
    sources = {"seeded": WeightsSource("seeded", recipe="m: glorot, seed 1")}
    found = resolve("seeded", "m", sources, folder=tmp_path, cache=tmp_path)
    assert (found.name, found.path) == ("seeded", None)
    other = {"seeded": WeightsSource("seeded", recipe="m: glorot, seed 2")}
    assert found.sha256 != resolve("seeded", "m", other, folder=tmp_path, cache=tmp_path).sha256


def test_shipped_weights_are_verified(tmp_path: Path) -> None:
    sources = {"shipped": WeightsSource("shipped", SHA, path="w/model.npz")}
    with pytest.raises(UserError, match=r"weights 'shipped' of m: there is no file .*w/model\.npz"):
        resolve("shipped", "m", sources, folder=tmp_path, cache=tmp_path)
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "model.npz").write_bytes(DATA)
    found = resolve("shipped", "m", sources, folder=tmp_path, cache=tmp_path)
    assert (found.name, found.path, found.sha256) == ("shipped", str(tmp_path / "w" / "model.npz"), SHA)
    (tmp_path / "w" / "model.npz").write_bytes(DATA[1:])
    with pytest.raises(UserError, match=f"expected {SHA}"):
        resolve("shipped", "m", sources, folder=tmp_path, cache=tmp_path)


def test_weights_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "some_models-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-models\nVersion: 1.0.0\n")
    (tmp_path / "site" / "some_models").mkdir()
    (tmp_path / "site" / "some_models" / "w.pth").write_bytes(DATA)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])

    def find(distribution: str, file: str = "some_models/w.pth", sha256: str = SHA) -> str | None:
        sources = {"real": WeightsSource("real", sha256, distribution=distribution, file=file)}
        return resolve("real", "m", sources, folder=tmp_path, cache=tmp_path).path

    assert find("some-models==1.0.0") == find("some-models") == str(tmp_path / "site" / "some_models" / "w.pth")
    with pytest.raises(UserError, match=r"not installed: pip install no-such-models==1\.0"):
        find("no-such-models==1.0")
    with pytest.raises(UserError, match=r"in some-models==2, but 1\.0\.0 is installed"):
        find("some-models==2")
    with pytest.raises(UserError, match="there is no file"):
        find("some-models", "some_models/other.pth")
    with pytest.raises(UserError, match=SHA):
        find("some-models", sha256="0" * 64)


def test_a_file_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(DATA)
    found = resolve(str(path), "m", {}, folder=tmp_path, cache=tmp_path)
    assert (found.name, found.path, found.sha256) == ("mine.npz", str(path), SHA)
    assert file_sha256(path) == SHA


def test_an_unknown_name_shows_the_near_one(tmp_path: Path) -> None:
    sources = pretrained("http://127.0.0.1/x") | {"seeded": WeightsSource("seeded", recipe="r")}
    with pytest.raises(
        UserError, match=r"pretraind is neither .* has the weights pretrained, seeded; did you mean 'pret"
    ):
        resolve("pretraind", "m", sources, folder=tmp_path, cache=tmp_path)
    with pytest.raises(UserError, match="is a folder, not a file"):
        resolve(str(tmp_path), "m", sources, folder=tmp_path, cache=tmp_path)


def test_the_option_that_names_the_model_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice([], "keras-ocr", "shipped") == "shipped"
    assert choice(["seeded"], "keras-ocr", "shipped") == "seeded"
    options = ["keras-*=pretrained", "seeded"]
    assert choice(options, "keras-ocr:ctc", "shipped") == "pretrained"
    assert choice(options, "captcha-ocr", "shipped") == "seeded"
    assert choice(["keras-ocr:ctc=a.h5", "keras-ocr=b.h5"], "keras-ocr:ctc", "shipped") == "b.h5"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keras-ocr=3.h5").touch()
    assert choice(["keras-ocr=3.h5"], "captcha-ocr", "shipped") == "keras-ocr=3.h5"


@pytest.mark.parametrize(
    "fields",
    [
        {"sha256": SHA},
        {"sha256": SHA, "url": "http://x/y", "path": "y"},
        {"sha256": SHA, "distribution": "d"},
        {"sha256": SHA, "url": "http://x/y", "file": "f"},
        {"url": "http://x/y"},
        {"sha256": SHA.upper(), "url": "http://x/y"},
    ],
)
def test_a_source_has_one_origin_and_a_hash(fields: dict[str, str]) -> None:
    with pytest.raises(UserError, match="weights 'bad'"):
        WeightsSource("bad", **fields)
