"""Where memory does not suffice the message says how much, and which setting to change."""

import pytest
import torch

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.training.memory import explain_out_of_memory

ON_A_DEVICE = (
    "CUDA out of memory. Tried to allocate 20.50 MiB. "
    "GPU 0 has a total capacity of 15.00 GiB of which 3.25 GiB is free."
)
ON_THE_HOST = (
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (torch.OutOfMemoryError(ON_A_DEVICE), "20.50 MiB more asked for, 3.25 GiB free"),
        (RuntimeError(ON_THE_HOST), "4000000000000 bytes more asked for, less free"),
        (torch.OutOfMemoryError("HIP out of memory"), "some memory more asked for, less free"),
    ],
)
def test_too_little_memory_is_one_message(error: RuntimeError, found: str) -> None:
    with pytest.raises(UserError) as told, explain_out_of_memory("training", "training.batch_size"):
        raise error
    assert told.value.where == "memory for training"
    assert told.value.found == found
    assert "set a smaller training.batch_size" in told.value.remedy


def test_another_error_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explain_out_of_memory("x", "y"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with explain_out_of_memory("x", "y"):
        pass
