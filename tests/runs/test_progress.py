"""What a log file sees of a run's progress."""

import io

from rich.console import Console

from safeeraser.runs import progress


def test_a_log_file_gets_a_line_now_and_then_and_the_end_of_each_task(monkeypatch):
    clock = iter([0.0, 1.0, 20.0, 21.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    text = io.StringIO()
    with progress.reporter(Console(file=text, width=80)) as reporter:
        task = reporter.add_task("unlearn", total=4, completed=0, note="")
        for step in (1, 2, 3):
            reporter.update(task, completed=step, note=f"[prefer] {step}")
        monkeypatch.setattr(progress.time, "monotonic", lambda: 22.0)
        reporter.update(task, completed=4, note="")
    assert text.getvalue().split("\n") == ["unlearn 2/4 [prefer] 2", "unlearn 4/4 ", ""]
