"""Verifiers of a user's own for tests on verl."""

from __future__ import annotations

from rephrase_rl.records import Verdict


class LastWord:
    """Right is what ends in the answer."""

    name = "last_word"

    def verify(self, completions, reference_answers) -> list[Verdict]:
        pairs = zip(completions, reference_answers, strict=True)
        return [Verdict("scored", float(text.split()[-1:] == [answer])) for text, answer in pairs]

    def close(self) -> None:
        pass


class Choosy:
    """Right is what equals the answer; a text that ends in 2 cannot be judged."""

    name = "choosy"

    def verify(self, completions, reference_answers) -> list[Verdict]:
        return [
            Verdict("timeout", None)
            if text.endswith("2")
            else Verdict("scored", float(text == answer))
            for text, answer in zip(completions, reference_answers, strict=True)
        ]

    def close(self) -> None:
        pass
