"""Text is text: what a model, a data set, a person or an address says is shown as it is, never read as markup."""

SIGNS = "\\`*_{}[]()#+-.!|<>~$:&"


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is: for captions and labels that hold words of a model or a data set."""
    return "".join(f"\\{letter}" if letter in SIGNS else letter for letter in text)
