"""A report of several runs: collected once, written as HTML, LaTeX or Markdown."""
