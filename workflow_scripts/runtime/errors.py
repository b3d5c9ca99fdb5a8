"""The one error that a user is meant to read."""


class UserError(Exception):
    """Something in the input, the settings or the machine that only the user can fix.

    The message always names the place, what was found, what was expected, and what to do.
    It must never hold values from patient rows (identifiers, times, measurements).
    """

    def __init__(self, where: str, found: str, expected: str, remedy: str) -> None:
        super().__init__(where, found, expected, remedy)
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy

    def __str__(self) -> str:
        return (
            f"{self.where}\n  found:      {self.found}\n"
            f"  expected:   {self.expected}\n  what to do: {self.remedy}"
        )
