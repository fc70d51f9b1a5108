"""The one exception that ends a command with a message instead of a traceback."""


class SandboxError(Exception):
    """Something the user has to know and can mend: the message names the thing, the value, the reason and the mend."""
