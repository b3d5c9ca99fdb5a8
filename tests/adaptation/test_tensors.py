"""What is said of tensors that are not those of a model."""

from pathlib import Path

import pytest
import torch

from workflow_scripts.adaptation.tensors import (
    read_tensors,
    require_equal_shapes,
    require_finite,
    write_tensors,
)


def test_tensors_that_share_memory_come_back_each_with_its_values(tmp_path: Path) -> None:
    values = torch.arange(6.0).reshape(2, 3)
    write_tensors({"whole": values, "turned": values.T, "part": values[0]}, tmp_path / "t.safetensors")
    found = read_tensors(tmp_path / "t.safetensors")
    assert found.keys() == {"whole", "turned", "part"}
    assert torch.equal(found["turned"], values.T)
    assert torch.equal(found["part"], torch.tensor([0.0, 1.0, 2.0]))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_value_that_is_not_finite_is_enough_to_refuse(value: float, tmp_path: Path) -> None:
    tensors = {"good": torch.ones(3), "bad": torch.tensor([1.0, value]), "worse": torch.tensor([value])}
    with pytest.raises(ValueError, match=r"^2 tensors with values that are not finite, the first is bad$"):
        require_finite(tensors)
    require_finite({"good": torch.ones(3)})
    write_tensors(tensors, tmp_path / "t.safetensors")
    with pytest.raises(ValueError, match="2 tensors"):
        read_tensors(tmp_path / "t.safetensors")


def test_names_and_shapes_must_be_those_of_the_model() -> None:
    expected = {"a": torch.ones(2, 3), "b": torch.ones(4)}
    require_equal_shapes({"b": torch.zeros(4), "a": torch.zeros(2, 3)}, expected)
    for found, message in (
        ({"a": torch.ones(2, 3)}, "1 tensors of another name or shape, the first is b"),
        ({"a": torch.ones(3, 2), "b": torch.ones(4)}, "1 tensors of another name or shape, the first is a"),
        ({**expected, "c": torch.ones(1)}, "1 tensors of another name or shape, the first is c"),
        ({}, "2 tensors of another name or shape, the first is a"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            require_equal_shapes(found, expected)
