r"""Texts made to hang, to crash or to fill the memory of a mathematics verifier.

Name -> (completion, gold). None of them is a right answer.
"""

from __future__ import annotations


def _boxed(content: str) -> str:
    return rf"\boxed{{{content}}}"


LONG = 100_000
"""Characters of a long text."""

HANGS: dict[str, tuple[str, str]] = {
    "tower of powers": (_boxed("9^{9^{9^{9}}}"), "12"),
    "tower of tens": (_boxed("10^{10^{10^{10}}}"), "12"),
    "tower without box": ("The answer is $9^{9^{9^{9}}}$", "12"),
    "tower as gold": (_boxed("12"), "9^{9^{9^{9}}}"),
    "factorials": (_boxed("((((9!)!)!)!)!"), "12"),
    "large power of a fraction": (_boxed(r"(\frac{1234567}{7654321})^{9999999}"), "12"),
    "large binomial": (_boxed(r"\binom{10^9}{5 \cdot 10^8}"), "12"),
    "long sum": (_boxed(r"\sum_{k=1}^{10^9} \frac{1}{k^2}"), "12"),
    "long product": (_boxed(r"\prod_{k=1}^{10^8} k"), "12"),
    "hard integral": (_boxed(r"\int_0^1 x^{x^{x^x}} \sin(e^{x^2}) dx"), "12"),
    "hard equation": (_boxed("x^{17} + e^x \\sin x = \\log x + x^{x}"), "x = 2"),
    "nested roots": (_boxed(r"\sqrt{2+" * 40 + "2" + "}" * 40), "12"),
    "nested fractions": (_boxed(r"\frac{1}{1+" * 60 + "1" + "}" * 60), "12"),
    "nested parentheses": (_boxed("(" * 3000 + "12" + ")" * 3000), "13"),
    "nested braces": (_boxed("{" * 300 + "12" + "}" * 300), "13"),
    "nested braces with sums": (_boxed("{1+" * 16 + "12" + "}" * 16), "13"),
    "nested boxes": (r"\boxed{" * 5000 + "12" + "}" * 5000, "13"),
    "open boxes": (r"\boxed{" * (LONG // 7), "12"),
    "open braces": ("{" * LONG, "12"),
    "closing braces": (_boxed("12") + "}" * LONG, "13"),
    "unbalanced braces": (r"\boxed{12}}}{{{\frac{1}{", "13"),
    "long digits": ("1" * LONG, "12"),
    "long digits in a box": (_boxed("1" * LONG), "12"),
    "digits of a thousand": (_boxed("7" * 1000), "12"),
    "long sum in a box": (_boxed("1+" * (LONG // 2) + "1"), "12"),
    "thousand summands": (_boxed("1+" * 480 + "1"), "12"),
    "long dollars": ("$" * LONG, "12"),
    "long equals": ("= " * (LONG // 2), "12"),
    "long words": ("answer is " * (LONG // 10), "12"),
    "long backslashes": ("\\" * LONG, "12"),
    "many boxes": (r"\boxed{1}" * (LONG // 9), "12"),
    "many list entries": (_boxed(",".join(str(i) for i in range(250))), "12"),
    "large set": (_boxed(r"\{" + ",".join(f"x_{{{i}}}" for i in range(120)) + r"\}"), r"\{1,2\}"),
    "large matrix": (
        _boxed(r"\begin{pmatrix}" + r"\\".join("1&2&3&4" for _ in range(60)) + r"\end{pmatrix}"),
        r"\begin{pmatrix}1\\2\end{pmatrix}",
    ),
    "long polynomial": (_boxed("+".join(f"x^{{{i}}}" for i in range(100))), "(x+1)^{50}"),
    "expanded power": (_boxed("(x+y+z)^{60}"), "x^{60}+y^{60}+z^{60}"),
    "nothing but null": ("\x00" * 1000, "12"),
}
