from metrics import Metrics


def test_an_error_that_has_not_happened_is_zero_rather_than_missing():
    assert 'http_requests_total{version="abc",status="500"} 0\n' in Metrics("abc").text()


def test_requests_are_counted_by_status_duration_and_bytes():
    metrics = Metrics("abc")
    metrics.count(200, 0.02, 100)
    metrics.count(500, 3.0, 10)
    told = metrics.text().splitlines()
    assert 'http_requests_total{version="abc",status="200"} 1' in told
    assert 'http_requests_total{version="abc",status="500"} 1' in told
    assert 'http_request_duration_seconds_bucket{version="abc",le="0.01"} 0' in told
    assert 'http_request_duration_seconds_bucket{version="abc",le="0.025"} 1' in told
    assert 'http_request_duration_seconds_bucket{version="abc",le="+Inf"} 2' in told
    assert 'http_request_duration_seconds_sum{version="abc"} 3.020000' in told
    assert 'http_response_bytes_total{version="abc"} 110' in told
