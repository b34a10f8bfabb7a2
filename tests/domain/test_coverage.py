from __future__ import annotations

import pytest

from tke_provider.domain.coverage import Coverage, check_minimum, judge_coverage, read_cobertura
from tke_provider.domain.verdicts import State
from tke_provider.exceptions import InputError

COVERAGE_PY = b"""<?xml version="1.0" ?>
<coverage version="7.6" lines-valid="8" lines-covered="7" line-rate="0.875" branch-rate="0" complexity="0">
  <packages><package name="." line-rate="0.1"><classes/></package></packages>
</coverage>"""
ISTANBUL = b"""<?xml version="1.0" ?>
<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">
<coverage line-rate="0.5" branch-rate="1"><packages/></coverage>"""
BOMB = b"""<!DOCTYPE coverage [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<coverage line-rate="1"><packages>&b;</packages></coverage>"""


@pytest.mark.parametrize(("document", "percent"), [(COVERAGE_PY, 87.5), (ISTANBUL, 50.0)], ids=["counts", "rate"])
def test_the_share_of_lines_is_that_of_the_whole(document, percent):
    assert read_cobertura(document) == Coverage(percent)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"rubbish",
        b"<testsuite/>",
        b"<coverage/>",
        COVERAGE_PY[:-5],
        b'<coverage line-rate="1.5"/>',
        b'<coverage line-rate="nan"/>',
        b'<coverage lines-valid="0" lines-covered="0" line-rate="1"/>',
        b'<coverage lines-valid="8" lines-covered="9"/>',
        b'<coverage lines-valid="8"/>',
        BOMB,
        b'<!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/hostname">]><coverage line-rate="1">&e;</coverage>',
        b'<!DOCTYPE c [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;]><coverage line-rate="1"/>',
    ],
)
def test_what_is_no_report_or_knows_no_line_or_attacks_is_not_read(document):
    assert read_cobertura(document) is None


@pytest.mark.parametrize(
    ("coverage", "state", "reason"),
    [
        (Coverage(80), State.PASSED, "80 % of the lines covered"),
        (Coverage(79.999), State.FAILED, "79.99 % of the lines covered, and 80 % are wanted"),
        (None, State.INCONCLUSIVE, "there is no readable Cobertura report"),
    ],
)
def test_too_little_fails_and_no_report_is_never_a_pass(coverage, state, reason):
    verdict = judge_coverage(coverage, 80)
    assert (verdict.state, reason in verdict.reason) == (state, True)


def test_a_share_below_one_is_taken_for_the_mistake_that_it_is():
    assert check_minimum("80") == 80
    assert check_minimum(0) == 0
    assert check_minimum(None) is None
    for given in (0.8, 101, -1, "most", "nan"):
        with pytest.raises(InputError, match="write the percentage, such as 80"):
            check_minimum(given)
