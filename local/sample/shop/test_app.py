from app import offer


def test_only_what_is_left_is_offered():
    assert [row["name"] for row in offer({"tea": 18.0, "pot": 120.0}, {"tea": 29, "pot": 0})] == ["tea"]


def test_nothing_is_offered_without_a_price():
    assert offer({}, {"cup": 12}) == []
