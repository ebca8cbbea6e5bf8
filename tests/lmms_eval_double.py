"""An executable that stands for the Python of an environment with lmms-eval 0.7.3, and writes what that writes.

Its files were compared with those of a real run of lmms-eval 0.7.3 on a local task. What a task does is in
`$FAKE_LMMS_EVAL`, by name: ok, fails, killed, cut, other model, swallows.
"""

import json
import os
import signal
import stat
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

ENVIRONMENT = "FAKE_LMMS_EVAL"
NUMBERS: dict[str, dict[str, Any]] = {
    "gqa": {"exact_match,none": 0.62, "exact_match_stderr,none": 0.004, "exact_match_stderr_clt,none": 0.004},
    "vizwiz_vqa_val": {"exact_match,none": 0.56, "exact_match_stderr,none": 0.007},
    "scienceqa_img": {"exact_match,none": 0.7, "exact_match_stderr,none": 0.01},
    "vqav2_val": {"exact_match,none": 0.76, "exact_match_stderr,none": 0.001},
    "pope": {
        "pope_precision,none": 0.9,
        "pope_accuracy,none": 0.86,
        "pope_accuracy_stderr,none": "N/A",
        "pope_accuracy_stderr_clt,none": 0.003,
    },
    "mmvet": {"gpt_eval_score,none": 31.0, "gpt_eval_score_stderr,none": "N/A", "gpt_eval_score_stderr_clt,none": 0.03},
    "mmbench_en_dev": {
        "gpt_eval_score,none": 64.0,
        "gpt_eval_score_stderr,none": "N/A",
        "gpt_eval_score_stderr_clt,none": "N/A",
        "submission,none": None,
    },
}
N = 101


def make(folder: Path) -> Path:
    """An environment's folder."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\n{Path(__file__).read_text(encoding='utf-8')}", encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    return folder


def results(task: str, model: str, limit: float | None = None) -> dict[str, Any]:
    """What lmms-eval's results file holds, as far as anybody reads it."""
    numbers = NUMBERS.get(task, {"exact_match,none": 0.5, "exact_match_stderr,none": 0.1})
    return {
        "results": {task: {"alias": task, **numbers}},
        "versions": {task: "Yaml"},
        "n-samples": {task: {"original": N, "effective": int(limit or N)}},
        "config": {"model": "llava_hf", "limit": limit},
        "date": "20260102_030405",
        "lmms_eval_version": "unknown@unknown",
        "model_name": model,
    }


def _main(words: list[str]) -> None:
    if words[0] == "-c":
        print("0.7.3")
        return
    given = {flag: value for flag, value in pairwise(words) if flag.startswith("--")}
    task, model = given["--tasks"], given["--model_args"].split(",")[0].removeprefix("pretrained=")
    assert os.listdir() == [], "not in an empty folder"
    assert "PYTHONPATH" not in os.environ
    assert not model.startswith("/") or Path(model, "config.json").exists()
    does = json.loads(os.environ.get(ENVIRONMENT, "{}")).get(task, "ok")
    print(f"\x1b[1mINFO\x1b[0m {task} as {does}", flush=True)
    if does == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "fails":
        print("ERROR Error during evaluation: no such data set")
        return
    if does == "swallows":
        print("ERROR Error CUDA out of memory in generating")
    folder = Path(given["--output_path"]) / "model"
    folder.mkdir()
    limit = float(given["--limit"]) if "--limit" in given else None
    text = json.dumps(results(task, "/another/model" if does == "other model" else model, limit))
    (folder / "20260102_030405_results.json").write_text(text[:40] if does == "cut" else text)


if __name__ == "__main__":
    _main(sys.argv[1:])
