from app import left


def test_what_is_sold_is_gone():
    assert left({"tea": 40}, {"tea": 11}) == {"tea": 29}


def test_overselling_leaves_none_rather_than_less():
    assert left({"pot": 3}, {"pot": 4}) == {"pot": 0}
