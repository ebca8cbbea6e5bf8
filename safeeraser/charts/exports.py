"""A chart as a file: PNG and SVG by a browser on this machine, HTML by itself. Nothing is fetched from a network."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any, Literal, get_args

import plotly.graph_objects as go

from safeeraser.charts.chart import Chart
from safeeraser.errors import SafeEraserError

Form = Literal["png", "svg", "html"]
FORMS = get_args(Form)
# A proxy that nobody runs. Chromium asks Google for the time and for accounts when it starts; this is where that ends.
NOWHERE = "http://127.0.0.1:9"
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body style="font-family: sans-serif; background: white; color: black">
<figure style="margin: 0">{figure}<figcaption>{alt}</figcaption></figure>
</body>
</html>
"""


class ChartError(SafeEraserError):
    """A chart cannot be exported; the message says what to install or to choose."""


def export(chart: Chart, form: Form, *, width: int = 1000, height: int | None = None) -> bytes:
    """The chart on white as `png` (two pixels per dot), `svg`, or `html` that stands alone.

    width, height: in dots; by default the chart's own height. Raises ChartError for another form, and for PNG and SVG
    where no Chrome or Chromium can be started.
    """
    if form not in FORMS:
        raise ChartError(f"unknown form {form!r}; known: {', '.join(FORMS)}")
    figure = _on_white(chart.figure)
    if form == "html":
        return _page(figure, chart.alt).encode()
    options = {"format": form, "width": width, "height": height or figure.layout["height"], "scale": 2}
    return _drawn([figure], [{**options, "scale": 1} if form == "svg" else options])[0]


def svgs(charts: Sequence[Chart], *, width: int, ink: str = "black", ground: str = "white") -> list[bytes]:
    """The charts as `svg`, all by one browser; width: in dots. Raises ChartError where none can be started."""
    figures = [_written(chart.figure, ink, ground) for chart in charts]
    return _drawn(figures, [{"format": "svg", "width": width, "height": f.layout["height"]} for f in figures])


def _on_white(figure: go.Figure) -> go.Figure:
    return _written(figure, "black", "white")


def _written(figure: go.Figure, ink: str, ground: str) -> go.Figure:
    return go.Figure(figure).update_layout(paper_bgcolor=ground, plot_bgcolor=ground, font_color=ink)


def inline(chart: Chart, *, library: bool, width: int) -> str:
    """The chart on white as a part of a page, of this width in dots; library: with Plotly itself, once on a page."""
    figure = _on_white(chart.figure).update_layout(width=width)
    return figure.to_html(full_html=False, include_plotlyjs=library, config={"staticPlot": True})


def _page(figure: go.Figure, alt: str) -> str:
    inner = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    return PAGE.format(title=escape(alt.split(". ")[0]), figure=inner, alt=escape(alt))


def _drawn(figures: Sequence[go.Figure], options: Sequence[dict]) -> list[bytes]:
    if not figures:
        return []
    with ThreadPoolExecutor(1) as thread:  # whoever calls may have an event loop of its own
        return thread.submit(asyncio.run, _by_browser(figures, options)).result()


async def _by_browser(figures: Sequence[go.Figure], options: Sequence[Any]) -> list[bytes]:
    import kaleido  # takes a third of a second, and only an export needs it
    from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError

    try:
        # By default kaleido loads MathJax from the internet.
        async with kaleido.Kaleido(mathjax=False, proxy_server=NOWHERE) as browser:
            drawing = zip(figures, options, strict=True)
            return [await browser.calc_fig(figure.to_plotly_json(), opts=how) for figure, how in drawing]
    except (ChromeNotFoundError, BrowserFailedError, BrowserClosedError, TimeoutError) as error:
        raise ChartError(
            f"{options[0]['format'].upper()} needs Chrome or Chromium, which did not start here: install one "
            "(apt-get install chromium), or name its file in BROWSER_PATH; HTML works without"
        ) from error
