"""Numbers: the rule against an independent one, and its options, beside the graded cases."""

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rephrase_rl.errors import VerifierError
from rephrase_rl.rewards import NumberVerifier
from rephrase_rl.rewards.number_reading import MAX_CHARS, Number, find_number, read_number

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
        {"min_digits": -1},
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


WORDS = {"hundred": 2, "thousand": 3, "lakh": 5, "million": 6, "mn": 6, "mln": 6, "crore": 7}
WORDS |= {"billion": 9, "bn": 9, "bln": 9, "trillion": 12, "tn": 12, "millions": 6, "trillions": 12}


@pytest.mark.parametrize(("word", "power"), WORDS.items())
def test_scale_words_are_powers_of_ten(word, power):
    assert read_number(f"5 {word}").scale == power


def test_letters_are_scales_right_behind_the_digits_and_as_capitals():
    scales = {"5k": 3, "5K": 3, "5M": 6, "5B": 9, "5T": 12, "5mn": 6, "5bn": 9}
    assert {text: read_number(text).scale for text in scales} == scales
    assert [read_number(text).scale for text in ("5m", "5 m", "5 M", "5b", "5 t")] == [0] * 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\frac{3}{4}", "3/4"),
        (r"\dfrac{-3}{4}", "-3/4"),
        (r"\frac34", "3/4"),
        (r"1\frac{1}{2}", "3/2"),
        ("1{,}234", "1234"),
        (r"1\,234", "1234"),
        (r"12,345\,678", "12345678"),
        (r"1\!234", "1234"),
        (r"\approx 5", "5"),
        ("x ≈ 5", "5"),
        ("about 5", "5"),
        (r"2 \times 10^{3}", "2000"),
        (r"2 \cdot 10^{-1}", "1/5"),
        ("2 × 10⁻¹", "1/5"),
        (r"90^\circ", "90"),
        (r"90^{\circ}", "90"),
        ("+5", "5"),
        ("(5)", "-5"),
        ("(+5)", "5"),
        ("(-5)", "-5"),
        ("-(5)", "-5"),
        ("(5", "5"),
        ("5)", "5"),
    ],
)
def test_one_number_in_many_forms(text, value):
    assert read_number(text).value == Fraction(value)


def test_a_fraction_has_no_zero_under_it_and_percent_is_no_scale():
    assert read_number("3/0") is None
    assert read_number("3/1").value == 3
    assert read_number("12 percent") == Number(Fraction(12), 0, 0, True)
    assert read_number("12") == Number(Fraction(12), 0)


def test_what_is_longer_than_a_number_is_none():
    assert read_number("5".ljust(MAX_CHARS)).value == 5
    assert read_number("5".ljust(MAX_CHARS + 1)) is None


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        ("The answer is (5).", -5),
        ("The answer is a loss (5).", 5),
        ("The answer is unclear. It may be 7.", None),
        ("The answer is 5, so 3 are left. Then 7.", 5),
        ("The answer is 3. No: the answer is 4.", 4),
        ("Sales were 12 in 2019", 12),
        ("We get 3,5", None),  # not the half of a decimal comma
        ("It opened in 2019", 2019),
        ("It grew by 12, as in Q3/4", 12),
        ("It goes from 5 - 3", 3),
        ("It goes 5-3", 3),
        ("It goes A-3", 3),
        ("It is -3", -3),
        ("We end at = (94)", -94),
    ],
)
def test_the_number_that_is_given_as_the_answer(completion, value):
    number = find_number(completion).number
    assert (None if number is None else number.value) == value


def test_what_is_said_is_the_number_that_was_read():
    assert find_number("It is 3, then  4 ").said == "4"
    assert find_number("The answer is  5 % of it").said == "5 %"
    assert find_number(" 12 ").said == "12"


def test_parentheses_are_a_sign_only_in_accounting():
    assert read_number("(5)", accounting=False).value == 5
    for completion in ("(5)", r"\boxed{(5)}", "The answer is (5).", "We end at = (5)"):
        assert find_number(completion).number.value == -5
        assert find_number(completion, accounting=False).number.value == 5
        assert judge(completion, "(5)", accounting=False).value == 1.0
        assert judge(completion, "5", accounting=False).value == 1.0
        assert judge(completion, "5").value == 0.0


@pytest.mark.parametrize(
    ("completion", "gold", "options", "value"),
    [
        # Per cent and millions are two things.
        ("12 million", "12%", {}, 0.0),
        ("12%", "12 million", {}, 0.0),
        # Zero has no digit that could be rounded to.
        ("0.04", "0.0", {}, 0.0),
        ("0.3", "0", {"min_digits": 0}, 1.0),
        # One digit is too few, and a sign is none.
        ("5.3", "5", {}, 0.0),
        ("-5.3", "-5", {}, 0.0),
        ("-12.3", "-12", {}, 1.0),
        # The last written place moves with scale word and percent sign.
        ("12,634,000", "12.6 million", {"relative_tolerance": 0.0}, 1.0),
        ("12,660,000", "12.6 million", {"relative_tolerance": 0.0}, 0.0),
        ("0.1264", "12.6%", {"relative_tolerance": 0.0}, 1.0),
        ("0.1266", "12.6%", {"relative_tolerance": 0.0}, 0.0),
        # Fractions are exact: there is nothing to round to.
        ("1/3", "2/3", {}, 0.0),
        ("2/3", "2/3", {}, 1.0),
    ],
)
def test_how_far_numbers_may_differ(completion, gold, options, value):
    assert judge(completion, gold, **options).value == value


def test_one_reference_for_each_completion():
    with pytest.raises(VerifierError, match="1 completions and 2 reference"):
        NumberVerifier().verify(["1"], ["1", "2"])


@pytest.mark.parametrize("reference", ["31,50 €", "0,5", "1.234,5 EUR"])
def test_a_decimal_comma_is_named_as_the_cause(reference):
    assert judge("1", reference).detail.endswith("is no number; write a decimal comma as a point")
