"""What the settings say of new escrows reaches what decides about them."""

from pathlib import Path

from escrowd.bootstrap.from_settings import api_settings_of, house_of
from tests.doctor_place import make_place


def test_settings_of_new_escrows_are_in_force(tmp_path: Path) -> None:
    """W10, W13: the factor of the least amount goes to the admission, the usual tolerance to the API."""
    place = make_place(tmp_path, 1)
    assert house_of(place.loaded()).admission.min_fee_multiple == 10
    assert api_settings_of(place.loaded()).tolerance == 10_000
    place.write(escrows__min_fee_multiple=25, escrows__underpayment_tolerance=0)
    assert house_of(place.loaded()).admission.min_fee_multiple == 25
    assert api_settings_of(place.loaded()).tolerance == 0
