"""The longest context and horizon that a model takes: one message for every family."""

from workflow_scripts.runtime.errors import UserError


def require_at_most(setting: str, steps: int, limit: int, model: str) -> None:
    """Raise UserError where a window's `setting` has more steps than the model takes.

    Upstream cuts a longer context silently; here a window that the model would not see as asked is refused.
    """
    if steps > limit:
        raise UserError(
            setting,
            f"{steps} steps",
            f"at most {limit} steps, what this {model} model takes",
            "choose fewer steps or another model",
        )
