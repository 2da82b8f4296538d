"""The examples in core's docstrings are run, and every public function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch

import rephrase_rl.core

MODULES = sorted(info.name for info in pkgutil.iter_modules(rephrase_rl.core.__path__))


def public_functions(module):
    return [
        (name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]


def load(name):
    return importlib.import_module(f"rephrase_rl.core.{name}")


def test_the_modules_of_the_architecture_are_there():
    assert {
        "advantages",
        "diagnostics",
        "gates",
        "kl",
        "objectives",
        "ratios",
        "reduction",
        "shapes",
        "slots",
    } <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    outcome = doctest.testmod(load(name), extraglobs={"torch": torch})
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_is_documented_in_house_style(name):
    for function_name, function in public_functions(load(name)):
        text = inspect.getdoc(function) or ""
        required = ["Args:", "Raises:", "Example:", ">>> "]
        if name != "shapes":
            required += ["Returns:", "Source:"]
        missing = [part for part in required if part not in text]
        assert not missing, f"core.{name}.{function_name} lacks {missing}"
