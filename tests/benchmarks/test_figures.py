"""The arithmetic of the tables."""

import pytest

from benchmarks.figures import Figure, number, percentile, size


def test_a_figure_is_its_median_with_its_spread() -> None:
    figure = Figure.of([5.0, 1.0, 3.0])
    assert (figure.median, figure.low, figure.high) == (3.0, 1.0, 5.0)
    assert str(figure) == "3.00 (1.00 to 5.00)"


def test_one_round_has_no_spread() -> None:
    assert str(Figure.of([0.25])) == "0.25"


def test_ratios_are_taken_round_by_round() -> None:
    # In the second round both were slowed tenfold; the ratio of medians would say 3.
    ours, theirs = Figure.of([100.0, 10.0, 60.0]), Figure.of([50.0, 5.0, 20.0])
    assert ours.over(theirs).rounds == (2.0, 2.0, 3.0)
    assert ours.over(theirs).median == 2.0
    assert ours.minus(theirs).rounds == (50.0, 5.0, 40.0)


def test_figures_of_different_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="interleaved"):
        Figure.of([1.0]).over(Figure.of([1.0, 2.0]))
    with pytest.raises(ValueError, match="interleaved"):
        Figure.of([1.0]).minus(Figure.of([1.0, 2.0]))
    with pytest.raises(ValueError, match="at least one round"):
        Figure.of([])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    values = [float(one) for one in range(100, 0, -1)]
    assert percentile(values, share) == expected


@pytest.mark.parametrize("share", [0.0, 1.01, -1.0])
def test_percentiles_of_no_share_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.012345, "0.012"), (0.5, "0.50"), (1.234, "1.23"), (12.34, "12.3"),
        (123.4, "123"), (999.6, "1,000"), (1234.0, "1,234"), (9_994.0, "9,994"),
        (9_996.0, "10.0k"), (12_345.0, "12.3k"), (123_456.0, "123k"), (999_600.0, "1.00M"),
        (1_234_567.0, "1.23M"), (-12.34, "-12.3"),
    ],
)  # fmt: skip
def test_numbers_keep_three_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.50 KiB"),
        (2**20, "1.00 MiB"),
        (3 * 2**30, "3.00 GiB"),
    ],
)
def test_sizes_are_in_the_unit_that_fits(count: float, text: str) -> None:
    assert size(count) == text
