"""Numbers: the rule against an independent one, and its options, beside the graded cases."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import NumberVerifier
from rephrase_rl.rewards.number_reading import read_number

decimals = st.builds(
    lambda digits, places: Decimal(digits).scaleb(-places),
    st.integers(-99_999, 99_999),
    st.integers(0, 4),
)


def judge(completion, gold, **options):
    return NumberVerifier(**options).verify([completion], [gold])[0]


def rule(answer: Decimal, gold: Decimal) -> bool:
    """Execution accuracy written apart: round both to the smaller precision, or 1e-3."""
    if abs(answer - gold) <= abs(gold) * Decimal("0.001"):
        return True
    unit = Decimal(1).scaleb(max(answer.as_tuple().exponent, gold.as_tuple().exponent))
    return any(
        answer.quantize(unit, mode) == gold.quantize(unit, mode)
        for mode in (ROUND_HALF_UP, ROUND_HALF_EVEN)
    )


@given(decimals, st.integers(-60, 60), st.integers(0, 3), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=400)
def test_the_rule_is_that_of_execution_accuracy(gold, shift, places, far):
    """Near and far answers, rounded to other places; ``min_digits: 0`` is the rule as it stands."""
    near = gold + Decimal(shift).scaleb(-places)
    answer = near.quantize(Decimal(1).scaleb(-places)) if not far else near
    found = judge(f"{answer:f}", f"{gold:f}", min_digits=0).value == 1.0
    # Half-way cases, towards zero: 12.5 and 12 differ by just half a unit.
    unit = Decimal(1).scaleb(max(answer.as_tuple().exponent, gold.as_tuple().exponent))
    half_way = abs(answer - gold) == unit / 2
    assert found == (rule(answer, gold) or half_way)


@given(decimals)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_a_number_equals_itself_under_the_strictest_options(value):
    strict = {"percent": "exact", "scale": "exact", "rounding": "none", "relative_tolerance": 0.0}
    for form in ("{:f}", "{:,f}", "${:,f} million", "{:f}%", r"\boxed{{{:f}}}"):
        text = form.format(value)
        gold = text.removeprefix(r"\boxed{").removesuffix("}")
        assert judge(f"The answer is {text}", gold, **strict).value == 1.0


@given(st.integers(1, 9999), st.sampled_from(["thousand", "million", "billion"]))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_scale_word_is_its_power_of_ten(value, word):
    power = {"thousand": 3, "million": 6, "billion": 9}[word]
    strict = {"scale": "exact", "rounding": "none", "relative_tolerance": 0.0}
    assert judge(f"{value * 10**power:,}", f"{value} {word}", **strict).value == 1.0
    assert judge(f"{value * 10**power + 1:,}", f"{value} {word}", **strict).value == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {"relative_tolerance": -1e-3},
        {"relative_tolerance": "0.1"},
        {"absolute_tolerance": float("nan")},
        {"rounding": "down"},
        {"min_digits": 1.5},
        {"percent": "yes"},
        {"scale": True},
        {"accounting": "no"},
    ],
)
def test_options_out_of_range(options):
    (name,) = options
    with pytest.raises(VerifierError, match=f"verifier 'number': found {name}="):
        NumberVerifier(**options)


def test_all_faults_at_once():
    with pytest.raises(VerifierError, match=r"rounding='x'.*percent='y'"):
        NumberVerifier(rounding="x", percent="y")


def test_huge_exponents_and_digits_end_at_once():
    assert judge("1e999", "1").value == 0.0
    assert judge("1e9999", "1").value == 0.0
    assert judge("9" * 5000, "1").value == 0.0
    assert read_number("1e999").value == 10**999
    assert judge("1", "9" * 300).status == "unscorable"


def test_verdict_says_what_was_read_and_why():
    verdict = judge("The change is -12.6 million.", "-12.7 million")
    assert (verdict.value, verdict.answer) == (0.0, "-12.6 million")
    assert verdict.detail == "differs from '-12.7 million'"
    assert judge("nothing", "1").detail == "no number in the completion"
    assert "no single number" in judge("The answer is 1 or 2.", "1").detail
    assert judge("1", "one").detail == "reference answer 'one' is no number"


@pytest.mark.parametrize("reference", ["31,50 €", "0,5", "1.234,5 EUR"])
def test_a_decimal_comma_is_named_as_the_cause(reference):
    assert judge("1", reference).detail.endswith("is no number; write a decimal comma as a point")
