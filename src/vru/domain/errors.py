"""The one error that a user is meant to read."""


class VruError(Exception):
    """Bad input or an unmet condition: one clear sentence and, where there is one, the fix."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}" if self.fix else self.message
