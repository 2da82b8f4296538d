"""Constants of this machine that ``rephrase-rl plan`` computes with, for ``plan.device: this``.

Times Llama-shaped models with random weights (about a minute for each number format on two cores)
and writes the constants. The file of a machine that ships with the package was made by this:

    python benchmarks/plan_constants.py --out src/rephrase_rl/planning/measured

``benchmarks/plan_check.py`` adds what the trainer takes beyond them and checks the whole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rephrase_rl.assembly.plan_measure import measure_constants
from rephrase_rl.planning.measured import file_name, own_folder, write_constants


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=own_folder(), help="folder of the file")
    options = parser.parse_args()
    constants = measure_constants(
        options.numbers,
        command="benchmarks/plan_constants.py",
        rounds=options.rounds,
        on_progress=print,
    )
    path = options.out / file_name(constants["cpu"], constants["cores"])
    write_constants(constants, path)
    for number, programs in constants["fit_errors"].items():
        for program, spread in programs.items():
            low, high = spread["lowest"], spread["highest"]
            print(f"{number} {program}: {spread['cases']} cases, {low:+.0%} to {high:+.0%}")
    print(path)


if __name__ == "__main__":
    main()
