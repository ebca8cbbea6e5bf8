"""What all errors have in common that a user can mend."""


class SafeEraserError(Exception):
    """Its message names the file, field or flag and says what to do; the command line prints it without a traceback."""
