"""How much of a text is copied from another: the passages in common."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
"""Words, numbers and single symbols: what a copy is counted in."""
MIN_RUN = 8
"""Words in a row that count as a passage; shorter ones are common to any two texts about one
problem, such as ``20 + 5 = 25``."""


def copied_share(text: str, expert_solution: str, min_run: int = MIN_RUN) -> float:
    """Share of the text's words that lie in a passage in common with the expert's.

    A passage has at least ``min_run`` words, or is the whole text. Words, numbers and symbols are
    compared, without regard to case and blanks; a passage that is repeated counts each time. Time
    and memory grow with the sum of the lengths, whatever the texts: a rollout that repeats itself
    to the length limit costs no more than another.

    Example:
        >>> copied_share("First, 2 + 2 = 4.", "we see 2+2=4. done", min_run=6)  # 6 of 8
        0.75
        >>> copied_share("First, 2 + 2 = 4.", "we see 2+2=4. done")
        0.0
    """
    words, expert = _WORD.findall(text.lower()), _WORD.findall(expert_solution.lower())
    if not words:
        return 0.0
    lengths = common_run_lengths(words, expert)
    least = min(min_run, len(words))
    copied, start = 0, len(words)
    # From the end: the longest run that ends at a word covers what is before it.
    for i in range(len(words) - 1, -1, -1):
        if lengths[i] >= least:
            start = min(start, i - lengths[i] + 1)
        copied += i >= start
    return copied / len(words)


def common_run_lengths(words: Sequence[str], others: Sequence[str]) -> list[int]:
    """Length of the longest run of words in common that ends at each of the words.

    Source: matching against the suffix automaton of one side (Blumer et al. 1985, "The smallest
    automaton recognizing the subwords of a text"), linear where dynamic programming is quadratic.

    Example:
        >>> common_run_lengths("a b c d".split(), "x b c".split())
        [0, 1, 2, 0]
    """
    automaton = _SuffixAutomaton(others)
    state = length = 0
    lengths = []
    for word in words:
        # No run that ends here can be continued by this word: shorten it until one can.
        while state and word not in automaton.following[state]:
            state = automaton.suffix[state]
            length = automaton.longest[state]
        if word in automaton.following[state]:
            state = automaton.following[state][word]
            length += 1
        lengths.append(length)
    return lengths


class _SuffixAutomaton:
    """Accepts exactly the contiguous runs of a sequence; state 0 stands for the empty run."""

    def __init__(self, words: Sequence[str]) -> None:
        self.following: list[dict[str, int]] = [{}]
        """State -> next word -> state."""
        self.suffix = [-1]
        """State -> state of its longest suffix that occurs at more places; -1: none."""
        self.longest = [0]
        """State -> length of the longest run it stands for."""
        self._last = 0
        for word in words:
            self._append(word)

    def _append(self, word: str) -> None:
        new = self._state({}, 0, self.longest[self._last] + 1)
        state = self._last
        while state >= 0 and word not in self.following[state]:
            self.following[state][word] = new
            state = self.suffix[state]
        if state >= 0:
            self.suffix[new] = self._split(state, word)
        self._last = new

    def _split(self, state: int, word: str) -> int:
        """The state of exactly the runs of ``state`` with the word behind them."""
        target, length = self.following[state][word], self.longest[state] + 1
        if self.longest[target] == length:
            return target
        clone = self._state(dict(self.following[target]), self.suffix[target], length)
        self.suffix[target] = clone
        while state >= 0 and self.following[state].get(word) == target:
            self.following[state][word] = clone
            state = self.suffix[state]
        return clone

    def _state(self, following: dict[str, int], suffix: int, longest: int) -> int:
        self.following.append(following)
        self.suffix.append(suffix)
        self.longest.append(longest)
        return len(self.longest) - 1
