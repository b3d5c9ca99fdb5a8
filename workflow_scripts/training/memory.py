"""A device whose memory does not suffice: one message with what was asked for, instead of a traceback."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from workflow_scripts.runtime.errors import UserError

_ASKED = re.compile(r"tried to allocate ([\d.]+ (?:[KMGT]iB|bytes))", re.IGNORECASE)
_FREE = re.compile(r"of which ([\d.]+ (?:[KMGT]iB|bytes)) is free")


@contextmanager
def explain_out_of_memory(work: str, setting: str) -> Iterator[None]:
    """Raise UserError where the block finds no memory, on a device or on the host.

    work: what is done. setting: what makes it need less. The batch is not halved behind the user's back: a
    smaller one changes the numbers of some families (dropout draws), and so what the settings file says.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in text:
            raise
        asked, free = _ASKED.search(text), _FREE.search(text)
        raise UserError(
            where=f"memory for {work}",
            found=f"{asked.group(1) if asked else 'some memory'} more asked for,"
            f" {free.group(1) if free else 'less'} free",
            expected="a device, or a host, that holds the model, its gradients and one batch",
            remedy=f"set a smaller {setting}, end other processes on the device, or use a smaller model",
        ) from None
