import pytest

from tke_provider.domain.choices import check_choice
from tke_provider.exceptions import InputError


def test_a_misspelt_option_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="on_owner is 'refused'; write one of 'refuse', 'bounds'"):
        check_choice("on_owner", "refused", ("refuse", "bounds"))


def test_a_known_option_is_taken_and_so_is_none_where_it_may_be():
    check_choice("on_owner", "bounds", ("refuse", "bounds"))
    check_choice("direction", None, (None, "up", "down"))
