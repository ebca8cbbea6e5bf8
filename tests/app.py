"""The app as a session of it runs, without a browser: what the tests of its pages share."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parent.parent
BASE, PO, PO_PD = "demo-base-s0-e8752e", "demo-po-s0-6c48dc", "demo-po-pd-s0-44136f"


def opened(page: str = "home", /, *, consent: bool = True, hiding: bool = False, **address: str) -> AppTest:
    """A page with these parameters in its address, opened by a reader who agreed already."""
    app = AppTest.from_file(str(ROOT / "safeeraser" / "ui" / "frame" / "main.py"), default_timeout=60)
    app.session_state["consent"] = consent
    app.session_state["hiding"] = hiding
    for name, value in address.items():
        app.query_params[name] = value
    if page != "home":
        app.switch_page(str(ROOT / "pages" / f"{page}.py"))
    app.run()
    assert not app.exception, app.exception
    return app


def marked(app: AppTest) -> str:
    """All that the page says, as Markdown."""
    told = (app.title, app.header, app.subheader, app.markdown, app.caption, app.code)
    alerts = (app.info, app.success, app.warning, app.error)
    return "\n".join(str(element.value) for kind in (*told, *alerts) for element in kind)


def words(app: AppTest) -> str:
    """All that the page says, without the backslashes that keep Markdown from reading it."""
    return marked(app).replace("\\", "")


def html(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))
