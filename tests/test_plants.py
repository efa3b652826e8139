"""What plants.py plants stands where it is looked for; whether tests see the faults is a command of its own."""

import plants
import pytest


@pytest.mark.parametrize("plant", plants.PLANTS, ids=lambda plant: f"{plant.file}:{plant.old.strip()[:40]}")
def test_a_plant_has_its_place(plant):
    assert (plants.ROOT / plant.file).read_text().count(plant.old) == 1
    assert plant.new != plant.old
    assert all((plants.ROOT / "tests" / name.partition("::")[0]).exists() for name in plant.tests.split())
