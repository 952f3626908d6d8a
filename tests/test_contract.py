"""Contracts: layered limits, version gates, and one sentence for everything that is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocr_conformance import contract
from ocr_conformance.cases import MODES, Case
from ocr_conformance.errors import UserError
from ocr_conformance.weights import resolve

BASE = """\
schema = 1
[model]
name = "m"
framework = "keras"
summary = "a model"
adapter = "model.py:M"
requires = ["tensorflow>=2.15"]
environment = { A = "1", B = "2" }
routes = ["tf-lite", "litert-quantizer"]
[variants.ctc]
summary = "with its decoder"
environment = { B = "3" }
routes = ["tf-lite-unrolled"]
options = { select_tf_ops = true }
[weights.seeded]
recipe = "m seeded 1"
"""
CASE = Case("m", "", "tf-lite", "int8", "modern")


def load(tmp_path: Path, more: str = "") -> contract.Contract:
    path = tmp_path / "contract.toml"
    path.write_text(BASE + more, encoding="utf-8")
    return contract.load(path)


def test_a_variant_replaces_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    found = load(tmp_path)
    plain, ctc = found.settings(""), found.settings("ctc")
    assert plain.environment == {"A": "1", "B": "2"}
    assert ctc.environment == {"B": "3"}
    assert (ctc.routes, ctc.requires, ctc.options) == (("tf-lite-unrolled",), plain.requires, {"select_tf_ops": True})
    assert ctc.summary == "with its decoder"
    with pytest.raises(UserError, match=r"m has no variant 'ctcc' \(did you mean ctc\?\); its variants: ctc"):
        found.settings("ctcc")


def test_later_promises_win_key_by_key_over_earlier_ones_and_the_defaults(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[[promise]]\nmode = ['int8', 'full-int8']\ntext = { agreement = 0.5, cer = 0.4 }\n"
        "[[promise]]\nroute = 'tf-*'\nvariant = ''\ntext = { agreement = 0.6 }\n",
    )
    limits = found.limits(CASE, {})
    assert (limits.text.agreement, limits.text.cer) == (0.6, 0.4)
    assert limits.text.lost == 0.08  # of the package
    assert limits.origin["text.agreement"] == f"{tmp_path}/contract.toml:20"
    assert limits.origin["text.cer"] == f"{tmp_path}/contract.toml:17"
    assert limits.origin["text.lost"] == "package defaults"
    assert found.limits(Case("m", "", "litert-quantizer", "int8", "modern"), {}).text.agreement == 0.5
    assert found.limits(Case("m", "ctc", "tf-lite-unrolled", "int8", "modern"), {}).text.agreement == 0.5


@pytest.mark.parametrize("mode", MODES)
def test_the_package_judges_every_check_of_every_mode(tmp_path: Path, mode: str) -> None:
    limits = load(tmp_path).limits(Case("m", "", "tf-lite", mode, "modern"), {})
    for table in contract.LIMIT_TABLES:
        if table == "effect" and mode == "float32":  # by definition: nothing is quantized
            continue
        assert getattr(limits, table).model_dump(exclude_none=True), table


@pytest.mark.parametrize(
    ("gate", "versions", "holds"),
    [
        ("tensorflow>=2.16", {"tensorflow": "2.21.0"}, True),
        ("tensorflow>=2.16", {"tensorflow": "2.15.1"}, False),
        ("tensorflow<2.16", {"tensorflow-cpu": "2.15.1"}, True),
        ("tensorflow>=2.16", {}, False),
        ("tensorflow<2.16", {}, False),
        ("AI_edge.litert==2.3.*", {"ai-edge-litert": "2.3.0"}, True),
        ("tensorflow>=2.16", {"tensorflow": "2.22.0rc1"}, True),
        ("tensorflow>=2.16,<2.18", {"tensorflow": "2.18.1"}, False),
    ],
)
def test_version_gates(gate: str, versions: dict[str, str], holds: bool) -> None:
    assert contract.gate_holds(gate, versions) is holds


def test_every_gate_of_an_entry_must_hold(tmp_path: Path) -> None:
    found = load(tmp_path, "[[promise]]\nwhen = ['tensorflow>=2.16', 'keras>=3']\ntext = { agreement = 0.1 }\n")
    both, one = {"tensorflow": "2.21", "keras": "3.15"}, {"tensorflow": "2.21", "keras": "2.15"}
    assert found.limits(CASE, both).text.agreement == 0.1
    assert found.limits(CASE, one).text.agreement == 0.8


def test_ceilings_belong_to_a_named_device(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[device.phone]\nsummary = 'Redmi K20 Pro'\nthreads = 4\n"
        "[[device.phone.ceiling]]\nlatency_ms = 200\nmemory_bytes = 9\nsource = 'a paper'\n"
        "[[device.phone.ceiling]]\nmode = 'int8'\nlatency_ms = 50\n",
    )
    assert found.limits(CASE, {}).device is None
    device = found.limits(CASE, {}, "phone").device
    assert device is not None
    assert (device.name, device.threads, device.latency_ms, device.memory_bytes) == ("phone", 4, 50, 9)
    assert device.sources == {"memory_bytes": "a paper"}  # of the other nobody says
    other = found.limits(CASE, {}, "tablet").device
    assert other is not None
    assert (other.latency_ms, other.memory_bytes) == (None, None)


CLAIMS = """\
[[unsupported]]
mode = "*int8"
check = ["text", "tensors"]
why = "reads garbage"
[[unsupported]]
mode = "int8"
when = "tensorflow>=2.16"
check = "text"
why = "reads worse garbage"
[[unsupported]]
mode = "int16x8"
stage = "convert"
kind = "exception"
match = "not yet supported"
why = "no kernel"
[[unsupported]]
toolchain = "tf19*"
stage = "convert"
kind = "signal"
why = "old"
"""


def test_the_last_claim_on_a_check_is_in_force(tmp_path: Path) -> None:
    found = load(tmp_path, CLAIMS)
    assert [claim.why for claim in found.claims(CASE, {})] == ["reads garbage"]
    both = found.claims(CASE, {"tensorflow": "2.21"})  # the first still has a say on tensors
    assert [claim.why for claim in both] == ["reads garbage", "reads worse garbage"]
    assert found.claims(Case("m", "", "tf-lite", "float32", "modern"), {}) == []
    assert both[0].where == f"{tmp_path}/contract.toml:17"


def test_claims_that_are_in_force_for_no_case_are_stale(tmp_path: Path) -> None:
    found = load(tmp_path, CLAIMS)
    cases = [(Case("m", "", "tf-lite", mode, "modern"), {"tensorflow": "2.15"}) for mode in MODES]
    assert [claim.why for claim in found.stale_claims(cases)] == ["reads worse garbage", "old"]
    cases += [(CASE, {"tensorflow": "2.21"}), (Case("m", "", "tf-lite", "int8", "tf190"), {})]
    assert found.stale_claims(cases) == []


WEIGHTS = """\
[[promise]]
weights = ["seed*", "mine.npz"]
text = { agreement = 0.1 }
[[device.phone.ceiling]]
weights = "seeded"
latency_ms = 5
[[unsupported]]
check = "text"
why = "always"
[[unsupported]]
weights = "seeded"
check = "text"
why = "hangs on ties"
[[unsupported]]
weights = "*.npz"
mode = "int8"
check = "tensors"
why = "only this file"
"""


@pytest.mark.parametrize(
    ("weights", "agreement", "latency", "whys"),
    [
        ("", 0.8, None, ["always"]),
        ("pretrained", 0.8, None, ["always"]),
        ("seeded", 0.1, 5, ["hangs on ties"]),
        ("mine.npz", 0.1, None, ["always", "only this file"]),
        ("other.npz", 0.8, None, ["always", "only this file"]),
    ],
)
def test_entries_for_some_weights_count_with_these_only(
    tmp_path: Path, weights: str, agreement: float, latency: float | None, whys: list[str]
) -> None:
    found = load(tmp_path, WEIGHTS)
    limits = found.limits(CASE, {}, "phone", weights=weights)
    assert limits.text.agreement == agreement
    assert limits.device is not None
    assert limits.device.latency_ms == latency
    assert [claim.why for claim in found.claims(CASE, {}, weights=weights)] == whys


def test_weights_that_a_run_does_not_use_make_no_claim_stale(tmp_path: Path) -> None:
    found = load(tmp_path, WEIGHTS)
    assert found.stale_claims([(CASE, {})]) == []
    float32 = Case("m", "", "tf-lite", "float32", "modern")
    assert [claim.why for claim in found.stale_claims([(float32, {})])] == ["only this file"]


def test_demanded_targets_are_one_name_or_several_and_a_later_promise_takes_them_back(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[[promise]]\nops = { targets = ['builtins', 'micro'] }\n"
        "[[promise]]\nmode = 'int8'\nops = { targets = 'gpu' }\n"
        "[[promise]]\nmode = 'float32'\nops = { targets = [] }\n",
    )
    assert found.limits(CASE, {}).ops.targets == ("gpu",)
    assert found.limits(Case("m", "", "tf-lite", "float32", "modern"), {}).ops.targets == ()
    assert found.limits(Case("m", "", "tf-lite", "float16", "modern"), {}).ops.targets == ("builtins", "micro")


WRONG = [
    ("[[promise]]\ntensors = { max_abz = 1 }", ":17, tensors.max_abz: unknown key (did you mean max_abs?)"),
    ("[[promisee]]\nmode = 'int8'", ", promisee: unknown key (did you mean promise?)"),
    ("[variants.x]\nsummary = 'x'\nroute = ['a']", ", variants.x.route: unknown key (did you mean routes?)"),
    ("where = 'x'", ", weights.seeded.where: unknown key"),
    ("[[promise]]\nmode = 'int9'", ":17, mode: 'int9' matches no mode (did you mean int8?)"),
    ("[[promise]]\nmode = 8", ":17, mode: expected a list, not 8"),
    ("[[promise]]\nroute = 'tf-lit'", "[[promise]] 1: route 'tf-lit' matches no route of this model (did you mean tf-"),
    ("[[promise]]\nweights = 'seded'", "weights 'seded' matches no weights of this model (did you mean seeded?)"),
    ("[[promise]]\nvariant = 'tcc'", "variant 'tcc' matches no variant of this model (did you mean ctc?); it has ctc"),
    ("[[promise]]\ntensors = { cosine = 1.5 }", ":17, tensors.cosine: expected less than or equal to 1, not 1.5"),
    ("[[promise]]\ntensors = { max_abs = nan }", ":17, tensors.max_abs: expected a finite number, not nan"),
    ("[[promise]]\ntensors = { max_abs = inf }", "expected a finite number, not inf"),
    ("[[promise]]\ntensors = { max_abs = -1e-9 }", "expected greater than or equal to 0, not -1e-09"),
    ("[[promise]]\ntext = { agreement = 1.01 }", "text.agreement: expected less than or equal to 1, not 1.01"),
    ("[[promise]]\ntext = { agreement = true }", "text.agreement: expected a valid number, not True"),
    ("[[promise]]\nsize = { bytes = -5 }", "size.bytes: expected greater than 0, not -5"),
    ("[[promise]]\nsize = { bytes = 1.5 }", "size.bytes: expected a valid integer, not 1.5"),
    ("[[promise]]\nsize = { ratio = 0 }", "size.ratio: expected greater than 0, not 0"),
    ("[[promise]]\nops = { flex = 'no' }", "ops.flex: expected a valid boolean, not 'no'"),
    ("[[promise]]\nops = { runtime_max = 'new' }", "ops.runtime_max: 'new' is no version such as '2.21.0'"),
    ("[[promise]]\nops = { targets = ['builtin'] }", "ops.targets[1]: unknown target 'builtin' (did you mean builtins"),
    ("[[promise]]\nops = { targets = 'tpu' }", "targets are builtins, flex, gpu, nnapi, xnnpack, micro"),
    ("[[promise]]\nops = { targets = 4 }", "ops.targets: expected a list, not 4"),
    ("[[promise]]\nwhen = 'tensorflow=>2'", "'tensorflow=>2' is no requirement such as 'tensorflow>=2.16'"),
    ("[[unsupported]]\nwhy = 'x'", ":17: needs either stage or check"),
    ("[[unsupported]]\nwhy = 'x'\nstage = 'convert'\ncheck = 'text'\nkind = 'exit'", "needs either stage or check"),
    ("[[unsupported]]\nwhy = 'x'\nstage = 'convert'", "a claim on a stage needs kind"),
    ("[[unsupported]]\nwhy = 'x'\nstage = 'converts'\nkind = 'exit'", ":17, stage: expected 'export', 'convert'"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'text'\nkind = 'signal'", "a check fails out-of-tolerance, not by signal"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'conversion'", "a conversion fails at a stage: use stage, not check"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'txt'", "unknown check 'txt' (did you mean text?)"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = []", "check: "),
    ("[[unsupported]]\ncheck = 'text'", ":17, why: this key is missing"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'text'\nmatch = '('", "'(' is no regular expression"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'text'\nvalue = { name = 'cer' }", "value: needs at_most or at_least"),
    ("[[unsupported]]\nwhy = 'x'\ncheck = 'text'\nissue = 'none'", "issue: expected to match pattern"),
    ("[weights.other]\nurl = 'https://x.org/w'", "weights.other: weights from a file need their sha256"),
    ("[weights.other]\nrecipe = 'x'\npath = 'w.npz'", "other: needs exactly one of recipe, path, url, distribution"),
    ("[weights.other]\nrecipe = 'x'", "model.default_weights must say which of seeded, other is the default"),
    ("[measured]\nweights_sha256 = 'abc'", "measured.weights_sha256: expected to match pattern"),
    ("[[device.x.ceiling]]\nlatency = 4", ", device.x.ceiling[1].latency: unknown key (did you mean latency_ms?)"),
    ("= 4", "is no TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "words"), WRONG)
def test_what_is_wrong_is_one_sentence_that_names_the_place(tmp_path: Path, more: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, more)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(tmp_path / "contract.toml"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('name = "m"\n', "model.name: this key is missing"),
        ('adapter = "model.py:M"\n', "model: adapter: this key is missing"),
        ("schema = 1\n", "schema: this key is missing"),
        ('[weights.seeded]\nrecipe = "m seeded 1"\n', "weights: this key is missing"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(BASE.replace(line, ""))
    with pytest.raises(UserError, match=words):
        contract.load(path)


def test_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(BASE.replace("schema = 1", "schema = 2"))
    with pytest.raises(UserError, match="schema: expected 1, not 2"):
        contract.load(path)


def test_a_contract_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such contract"):
        contract.load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        contract.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes("# é".encode("latin-1"))
    with pytest.raises(UserError, match="cannot be read"):
        contract.load(tmp_path / "latin.toml")


def test_a_contract_registered_in_python_is_named_as_its_owner_says() -> None:
    data: dict[str, Any] = {
        "schema": 1,
        "model": {"name": "p", "framework": "torch", "summary": "s", "adapter": "model.py:P", "routes": ["tf-lite"]},
        "weights": {"seeded": {"recipe": "p 1"}},
        "promise": [{"text": {"agreement": 0.5}}],
    }
    found = contract.from_dict(data, "contract of p")
    assert found.limits(Case("p", "", "tf-lite", "int8", "modern"), {}).origin["text.agreement"] == (
        "contract of p, [[promise]] 1"
    )
    assert found.weights_sources()["seeded"].recipe == "p 1"
    with pytest.raises(UserError, match=r"contract of p, \[\[promise\]\] 1, txt: unknown key \(did you mean text\?\)"):
        contract.from_dict({**data, "promise": [{"txt": {}}]}, "contract of p")


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "models").glob("*/contract.toml")), ids=str)
def test_the_built_in_contracts_load_and_were_measured_with_their_default_weights(path: Path) -> None:
    found = contract.load(path)
    assert found.model.name == path.parent.name
    if found.model.kind == "pipeline":  # its parts have the weights
        assert not found.weights
        return
    source = found.weights_sources()[found.default_weights]
    if source.distribution:
        sha256 = source.sha256  # the package may not be installed
    else:
        sources = {source.name: source}
        sha256 = resolve(source.name, found.model.name, sources, folder=path.parent, cache=path.parent).sha256
    assert found.measured is not None
    assert found.measured.weights_sha256 == sha256


@pytest.mark.parametrize(
    ("model", "variant", "route", "mode"),
    [("captcha-ocr", "tf-keras", "litert-quantizer", "int8"), ("keras-ocr", "", "tf-lite", "dynamic-range")],
)
def test_other_weights_than_the_seeded_ones_keep_to_the_package_defaults(
    tmp_path: Path, model: str, variant: str, route: str, mode: str
) -> None:
    found = contract.load(Path(__file__).parents[1] / "models" / model / "contract.toml")
    case = Case(model, variant, route, mode, "modern")
    trained, seeded = (found.limits(case, {}, weights=name) for name in ("trained.npz", "seeded"))
    package = load(tmp_path).limits(case, {})
    assert (trained.text, trained.tensors) == (package.text, package.tensors)
    assert seeded.text != trained.text
    assert (seeded.repeatability, seeded.latency) == (trained.repeatability, trained.latency)


# --- models with variants only, variants by pattern, routes on request, networks that are a file


def test_a_model_may_have_variants_only(tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(BASE.replace('name = "m"', 'name = "m"\nplain = false'), encoding="utf-8")
    found = contract.load(path)
    assert (found.plain, found.has_variant(""), found.has_variant("ctc")) == ((), False, True)
    path.write_text(BASE.replace('name = "m"', 'name = "m"\nplain = false').replace("[variants.ctc]", "[device.x]"))
    with pytest.raises(UserError):
        contract.load(path)


def test_a_pattern_stands_for_many_variants(tmp_path: Path) -> None:
    pattern = "[variants.wN]\nsummary = 'wider'\npattern = 'w[1-9][0-9]+'\ndefault = false\nalphabet = 'ab'\n"
    found = load(tmp_path, pattern)
    assert found.has_variant("w512")
    assert not found.has_variant("wN")  # stands for others, is none
    assert not found.has_variant("w512x")
    assert found.settings("w512").alphabet == "ab"
    with pytest.raises(UserError, match=r"variants.wN has a pattern: it needs default = false"):
        load(tmp_path, pattern.replace("default = false\n", ""))


def test_claims_may_name_routes_on_request(tmp_path: Path) -> None:
    claim = "[[unsupported]]\nroute = 'onnx-tf'\nstage = 'export'\nkind = 'exception'\nwhy = 'no handler'\n"
    with pytest.raises(UserError, match="route 'onnx-tf' matches no route of this model"):
        load(tmp_path, claim)
    path = tmp_path / "contract.toml"
    path.write_text(BASE.replace('name = "m"', 'name = "m"\non_request = ["onnx-tf"]') + claim, encoding="utf-8")
    found = contract.load(path)
    assert found.model.all_routes == ("tf-lite", "litert-quantizer", "onnx-tf")


READING = """
[reading]
input = "x"
output = "y"
layout = "NCHW"
height = 32
width = 100
frames = 24
"""


def test_a_reading_needs_an_alphabet_and_whole_sizes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\[reading\] needs model.alphabet"):
        load(tmp_path, READING)
    alphabet = BASE.replace('name = "m"', 'name = "m"\nalphabet = "abc"')
    path = tmp_path / "contract.toml"
    path.write_text(alphabet + READING)
    found = contract.load(path).reading
    assert found is not None
    assert (found.fit, found.color, found.blank) == ("stretch", "gray", "first")
    for before, after, message in (
        ("NCHW", "NCWH", "reading.layout"),
        ("height = 32", "height = 0", "reading.height"),
        ("frames = 24", "frame = 24", r"reading.frame: unknown key \(did you mean frames\?\)"),
    ):
        path.write_text(alphabet + READING.replace(before, after))
        with pytest.raises(UserError, match=message):
            contract.load(path)
