import pytest
from app import discounted


@pytest.mark.parametrize(("percent", "price"), [(0, 35.5), (10, 31.95), (100, 0.0)])
def test_a_discount_is_exact_to_the_cent(percent, price):
    assert discounted({"cup": 35.5}, percent) == {"cup": price}
