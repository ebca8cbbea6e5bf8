"""The verbs of the `safeeraser` command, one file each: `flags` adds what it takes, and below stands what it does.

A file is imported only when its verb is given, so that `--help` and `jobs` answer at once; model libraries only when a
stage needs them.
"""

VERBS = {
    "run": "unlearn, answer, judge and score; then the table beside the base model",
    "unlearn": "train a run's adapter only",
    "generate": "write the answers of a run",
    "judge": "grade the answers of a run",
    "attack": "how much of what a run forgot comes back under attack, beside its base model",
    "score": "the scores of runs, as a table or as JSON",
    "specificity": "general benchmarks by lmms-eval on the merged model, into the scores",
    "report": "runs beside their base model as one HTML file, or their tables as LaTeX or Markdown",
    "bundle": "runs beside their base model as one folder that a browser opens from the disk, with every answer",
    "sweep": "several methods and seeds, one table",
    "tune": "choose a method's settings on dev, from a grid, by one number",
    "plan": "parameters, memory, tokens, steps and time of a run, before anything is loaded",
    "jobs": "list the runs; launch, cancel or resume one",
    "app": "start the app in a browser",
    "arena": "two models answer side by side in a browser, people vote blind; `arena results` counts the votes",
    "data": "check a data set, import answers",
    "cache": "list what is kept on disk to save time",
    "adapter": "import an adapter",
    "export": "merge a run's adapter into its base model, with a model card; transformers, vLLM and SGLang load it",
    "demo": "the demo world",
}
