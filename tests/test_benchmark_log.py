"""What benchmark_model printed on a phone: every form of it, appended, cut, and what it proves of a ceiling."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ocr_conformance.benchmark_log import Run, hold, parse, text_of
from ocr_conformance.contract import DeviceCeilings
from ocr_conformance.errors import UserError
from ocr_conformance.results import CheckResult

LOG = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Num threads: [4]
INFO: Graph: [/data/local/tmp/float16@modern.tflite]
INFO: #threads used for CPU inference: [4]
INFO: Loaded model /data/local/tmp/float16@modern.tflite
INFO: The input model file size (MB): 17.6404
INFO: Initialized session in 11.5ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=3 first=221000 curr=190100 min=190100 max=221000 avg=200700 std=14360 p5=190100 median=191000 p95=221000

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=190500 curr=191200 min=188000 max=199000 avg=190400 std=2000 p5=188200 median=190100 p95=195000

INFO: Inference timings in us: Init: 11500, First inference: 221000, Warmup (avg): 200700, Inference (avg): 190400
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=20.25 overall=40.5
"""  # noqa: E501
OLD = """\
Num threads : [1]
Graph: [a.tflite]
count=50 first=80500 curr=80000 min=79000 max=81000 avg=79760.9 std=500

Average inference timings in us: Warmup: 83235, Init: 38467, Inference: 79760.9
"""
LITERT = """\
INFO: [litert/tools/benchmark_litert_model.cc:117] Loading model from: a.tflite
INFO: count=2112 first=463 curr=459 min=442 max=979 avg=464.545 std=13 p5=460 median=462 p95=478

INFO: [./litert/tools/benchmark_litert_model.h:86] Warmup (avg):         0.47 ms (1055 runs)
INFO: [./litert/tools/benchmark_litert_model.h:88] Inference (avg):      0.46 ms (2112 runs)
INFO: [./litert/tools/benchmark_litert_model.h:96] Inference (std):      0.01
INFO: [./litert/tools/benchmark_litert_model.h:114] Init footprint:       8.94 MB
INFO: [./litert/tools/benchmark_litert_model.h:116] Overall footprint:    11.50 MB
"""
PYTHON = """\
Warmup (avg):          98.76 ms (5 runs)
Inference (avg):       85.23 ms (50 runs)
Inference (std):       3.21 ms
"""


def one(text: str) -> Run:
    (run,) = parse(text, "log")
    return run


def held(text: str, **ceilings: Any) -> dict[str, CheckResult]:
    return hold(parse(text, "log"), DeviceCeilings(name="phone", **ceilings), "log")


def with_mean(microseconds: int, text: str = LOG) -> str:
    return text.replace("190400", str(microseconds))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_run_of_tflite() -> None:
    run = one(LOG)
    assert (run.avg_ms, run.count, run.threads) == (190.4, 50, 4)
    assert run.std_ms == pytest.approx(2.001)  # microseconds are cut to whole ones
    assert run.overall_bytes == 40.5 * 2**20
    assert run.graph == "/data/local/tmp/float16@modern.tflite"


def test_the_interval_is_students() -> None:
    interval = one(LOG).interval()
    assert interval is not None
    half = 2.0096 * 2.001 / math.sqrt(49) + 190.4 * 5e-6  # t(49, 0.975); std is the population's; avg has six digits
    assert interval == pytest.approx((190.4 - half, 190.4 + half), rel=1e-6)


@pytest.mark.parametrize(
    "logged",
    [
        LOG.replace("INFO: ", ""),
        LOG.replace("INFO: ", "I tflite  : "),
        LOG.replace("INFO: ", "07-08 15:34:26.201 I/tflite  ( 5395): "),
        LOG.replace("\n", "\r\n"),
        LOG.replace("Memory footprint delta from the start of the tool", "Peak memory footprint"),
        LOG.replace("count=50 ", "count=50 ").replace(" p5=188200 median=190100 p95=195000", ""),
        LOG + "Timings (microseconds): count=50 first=190000 curr=1 min=1 max=2 avg=1 std=1\nMemory (bytes): count=0\n",
        "a line of somebody else's\n" + LOG + "\nanother\n",
    ],
    ids=["plain", "android", "logcat", "crlf", "peak", "no percentiles", "profiled", "between others"],
)
def test_what_a_logger_puts_before_it_changes_nothing(logged: str) -> None:
    assert one(logged) == one(LOG)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_powershell_writes_utf_16(encoding: str) -> None:
    assert text_of(LOG.encode(encoding)) == LOG


def test_older_and_newer_tools() -> None:
    old = one(OLD)
    assert old.avg_ms == pytest.approx(79.7609)
    assert (old.count, old.threads, old.overall_bytes) == (50, 1, None)
    assert one(OLD.replace("Inference: ", "no stats: ")) == old
    new = one(LITERT)
    assert new.avg_ms == pytest.approx(0.464545)
    assert (new.count, new.overall_bytes, new.graph) == (2112, 11.5 * 2**20, "a.tflite")
    assert new.std_ms == pytest.approx(0.014)
    python = one(PYTHON)
    assert (python.avg_ms, python.count, python.overall_bytes) == (85.23, 50, None)
    assert python.std_ms == pytest.approx(3.215)  # two digits are all that is printed
    assert python.error_ms == 0.005


@pytest.mark.parametrize(
    ("stats", "interval"),
    [
        ("count=50 curr=190400(all same)", True),
        ("count=1 curr=190400", False),
        ("count=50 first=190500 curr=19", False),
        ("count=50 curr=1 avg=190400 std=nan", False),
        ("count=50 curr=1 avg=190400 std=inf", False),
        ("count=50 curr=1 avg=190400 std=-2", False),
        ("count=50 curr=1 avg=1e300 std=2", False),
        (f"count={'9' * 400} curr=1 avg=190400 std=2", False),
        (f"count={'9' * 5000} curr=1 avg=190400 std=2", False),
        ("", False),
    ],
)
def test_without_a_spread_there_is_no_interval(stats: str, interval: bool) -> None:
    lines = [stats if line.startswith("INFO: count=50") else line for line in LOG.splitlines()]
    if not stats:  # the warm-up's goes with it
        lines = [line for line in lines if "count=" not in line]
    run = one("\n".join(lines))
    assert run.avg_ms == 190.4
    assert (run.interval() is not None) == interval
    assert "Infinity" not in held("\n".join(lines), latency_ms=100)["latency"].message


def test_a_number_of_threads_that_is_none() -> None:
    assert one(LOG.replace("[4]", f"[{'4' * 5000}]")).threads is None


@pytest.mark.parametrize("overall", ["0", "-1.5"])
def test_a_platform_without_memory_figures(overall: str) -> None:
    assert one(LOG.replace("init=20.25 overall=40.5", f"init=0 overall={overall}")).overall_bytes is None


def test_several_runs_and_one_that_was_killed() -> None:
    killed = LOG[: LOG.index("INFO: Inference timings")]
    runs = parse(LOG + killed + with_mean(192000) + killed, "log")
    assert [run.avg_ms for run in runs] == [190.4, 192.0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no finished run of benchmark_model"),
        ("\x00\x01 anything", "expected a line `Inference timings in us: ...`"),
        (LOG[: LOG.index("INFO: Inference timings")], "no finished run"),
        (LOG.replace("Inference (avg): 190400", "Inference (avg): 19"), "lines are missing or cut"),
        (LOG.replace("Inference (avg): 190400", "Inference (avg): 19O400"), "'19O400' is no number"),
        (LOG.replace("Inference (avg): 190400", "Inference (avg): nan").replace("count=", "c="), "without an invoke"),
        (LOG.replace("Inference (avg): 190400", "Inference (avg): 0").replace("count=", "c="), "without an invoke"),
        (LITERT.replace("(2112 runs)", "(50 runs)"), "lines are missing or cut"),
        *(
            (text.replace(known, number), f"'{number}' is no number that a phone gives")
            for number in ("nan", "inf", "1e300", "9" * 400)
            for text, known in ((LOG, "40.5"), (LITERT, "11.50"), (PYTHON, "3.21"), (PYTHON, "85.23"))
        ),
    ],
)
def test_what_is_no_such_file(text: str, words: str) -> None:
    with pytest.raises(UserError, match=r"^log: ") as error:
        parse(text, "log")
    assert words in str(error.value)


# --- judging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ceiling", "verdict"), [(191.0, "passed"), (190.4, "undecided"), (190.0, "undecided"), (189.8, "failed")]
)
def test_latency_is_judged_by_its_interval(ceiling: float, verdict: str) -> None:
    latency = held(LOG, latency_ms=ceiling)["latency"]
    assert latency.verdict == verdict
    assert "mean of 50 invokes, 4 threads" in latency.message
    assert ("191" in latency.message.partition("tightest")[2]) == (verdict != "passed")


def test_a_point_value_is_said_to_be_one() -> None:
    bare = "\n".join(line for line in LOG.splitlines() if "count=" not in line)
    assert held(bare, latency_ms=190.4)["latency"].verdict == "passed"
    failed = held(bare, latency_ms=190.3)["latency"]
    assert failed.verdict == "failed"
    assert "the log permits no interval" in failed.message


def test_several_runs_are_judged_by_their_means() -> None:
    three = with_mean(189000) + with_mean(191000) + with_mean(193000)
    latency = held(three, latency_ms=192.0)["latency"]
    assert latency.verdict == "undecided"  # within one run the interval is 0.6 ms wide to a side; between them 5
    assert latency.values[0].measured == pytest.approx(191)
    low, high = latency.data["interval"]
    assert (low, high) == pytest.approx((191 - 4.303 * 2 / math.sqrt(3), 191 + 4.303 * 2 / math.sqrt(3)), abs=2e-3)
    assert "mean of 3 runs" in latency.message
    assert held(three, latency_ms=197.0)["latency"].verdict == "passed"


def test_memory_is_the_largest_of_the_runs() -> None:
    two = LOG + LOG.replace("overall=40.5", "overall=41")
    assert held(two, memory_bytes=41 * 2**20)["memory"].verdict == "passed"
    failed = held(two, memory_bytes=40 * 2**20)["memory"]
    assert failed.verdict == "failed"
    assert "41 MB more at the end than at the start, at most 40 MB" in failed.message


def test_what_the_contract_or_the_log_does_not_have_is_skipped() -> None:
    assert {result.verdict for result in held(LOG).values()} == {"skipped"}
    assert held(OLD, memory_bytes=9)["memory"].message == "the log says nothing of memory"


def test_where_a_ceiling_is_from_and_its_threads_are_said() -> None:
    latency = held(OLD, latency_ms=200, threads=4, sources={"latency_ms": "of a paper"})["latency"]
    assert latency.message.endswith("<= 200 (of a paper)")
    assert latency.details == ("the ceiling is for 4 threads, the log is of 1",)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (LOG.replace("[4]", "[1]"), "runs of different threads (1, 4)"),
        (LOG.replace("float16@", "int8@"), "runs of different graph"),
    ],
)
def test_runs_of_different_things_are_refused(other: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        held(LOG + other, latency_ms=1)
    assert words in str(error.value)
