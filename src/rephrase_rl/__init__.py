"""rephrase-rl: teach a language model from hard examples without breaking what it can do."""

__version__ = "0.1.0"
