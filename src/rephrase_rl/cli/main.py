"""The command ``rephrase-rl``: its list of commands, and its exit statuses.

0: done. 1: an internal error, or the demo did not learn. 2: the user's error, told without a
traceback. 130: interrupted, 143: by SIGTERM. ``--debug`` anywhere on the line shows tracebacks.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from rephrase_rl import __version__
from rephrase_rl.cli.compare import compare
from rephrase_rl.cli.config import config_app
from rephrase_rl.cli.console import messages, output
from rephrase_rl.cli.data import data_app
from rephrase_rl.cli.demo import demo
from rephrase_rl.cli.doctor import doctor
from rephrase_rl.cli.eval import evaluate
from rephrase_rl.cli.experts import experts
from rephrase_rl.cli.export import export_app
from rephrase_rl.cli.init import init
from rephrase_rl.cli.ledger import ledger
from rephrase_rl.cli.methods import methods
from rephrase_rl.cli.mine import mine
from rephrase_rl.cli.plan import plan
from rephrase_rl.cli.rephrase import rephrase
from rephrase_rl.cli.report import report
from rephrase_rl.cli.study import study_app
from rephrase_rl.cli.train import train
from rephrase_rl.errors import RephraseError, StoppedError
from rephrase_rl.runs.hardware import process_name

DEBUG_FLAG = "--debug"

app = typer.Typer(
    name="rephrase-rl",
    help="Teach a language model from hard examples without breaking what it can do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("init")(init)
app.command("plan")(plan)
app.command("train")(train)
app.command("eval")(evaluate)
app.command("experts")(experts)
app.command("mine")(mine)
app.command("rephrase")(rephrase)
app.command("report")(report)
app.command("ledger")(ledger)
app.command("compare")(compare)
app.command("methods")(methods)
app.add_typer(config_app, name="config")
app.add_typer(data_app, name="data")
app.add_typer(export_app, name="export")
app.add_typer(study_app, name="study")
app.command("doctor")(doctor)


UNSCORED = (
    "warning: no verifier could score a completion, mostly since none can read the reference "
    "answer; such groups teach nothing: `rephrase-rl data check CONFIG` names experts that cannot "
    "be scored, `rephrase-rl report` every group"
)
"""Said once in a run; records and report have each case."""
PACKAGE = Path(__file__).parents[1]
_upstream_format = warnings.formatwarning


def _show_version(wanted: bool) -> None:
    if wanted:
        output.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG_FLAG, help="Show tracebacks of errors.")] = False,
) -> None:
    """Options of every command; ``--debug`` itself is taken by ``run``."""


def main(arguments: Sequence[str]) -> int:
    """Carry out one command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit status.
    """
    debug = DEBUG_FLAG in arguments
    words = [word for word in arguments if word != DEBUG_FLAG]
    try:
        app(words, prog_name="rephrase-rl")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt as interruption:
        messages.print("\n".join(["interrupted", *getattr(interruption, "__notes__", ())]))
        return 130
    except StoppedError as stopped:
        messages.print(str(stopped))
        return 128 + stopped.signal_number
    except RephraseError as error:
        if debug:
            messages.print(traceback.format_exc())
        messages.print(f"{_speaker()}error: {error}")
        return 2
    except Exception as error:
        if debug:
            messages.print(traceback.format_exc())
        place = _place_in_own_code(error)
        if place is not None:
            messages.print(
                f"{_speaker()}error: {place}: {type(error).__name__}: {error}; required: code that "
                f"the configuration names runs to its end; do this: correct it there ({DEBUG_FLAG} "
                "shows the traceback)"
            )
            return 2
        messages.print(
            f"{_speaker()}internal error: {type(error).__name__}: {error}\n"
            f"Run the command again with {DEBUG_FLAG} for the traceback."
        )
        return 1
    return 0


def _quiet_upstream() -> None:
    """Keep bars and notices of libraries, which a user cannot act on, out of our own display.

    Set before transformers is imported; whoever sets the variable decides for himself.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # TRL 1.16 sets fields that transformers 5.23 has renamed; both still work.
    warnings.filterwarnings("ignore", ".*gradient_checkpointing.*", FutureWarning)
    warnings.formatwarning = _formatted_warning
    logging.getLogger("trl.trainer.grpo_trainer").addFilter(_unscored_in_short())


def _unscored_in_short() -> Callable[[logging.LogRecord], bool]:
    """TRL 1.16 prints the whole row of each completion that no verifier can score; say it once."""
    said = False

    def keep(record: logging.LogRecord) -> bool:
        nonlocal said
        if "All reward functions returned None" not in record.getMessage():
            return True
        record.msg, record.args = UNSCORED, ()
        first, said = not said, True
        return first

    return keep


def _formatted_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    line: str | None = None,
) -> str:  # fmt: skip
    """Our own warnings are addressed to the user, who need not see the line that gave them."""
    if Path(filename).is_relative_to(PACKAGE):
        return f"warning: {message}\n"
    return _upstream_format(message, category, filename, lineno, line)


def _place_in_own_code(error: Exception) -> str | None:
    """Where in a block of the user's own an error arose."""
    if "rephrase_rl.assembly.imports" not in sys.modules:  # nothing of the user's was imported
        return None
    from rephrase_rl.assembly.imports import place_in_own_code

    return place_in_own_code(error)


def _speaker() -> str:
    """Which of several processes speaks, since all write to one terminal."""
    name = process_name()
    return f"{name}: " if name else ""


def _leave_process_group(status: int) -> None:
    """End one of several processes; does not return if there are several.

    gloo's threads outlive Python's own shutdown, and now and then the process is then aborted
    (``terminate called without an active exception``), also after ``destroy_process_group``; a
    launcher calls the finished run a failed one. So the process leaves without that shutdown. One
    that failed leaves at once: the others wait for it in a collective until its connections break.
    """
    distributed = sys.modules.get("torch.distributed")  # not imported for the sake of looking
    if distributed is None or not distributed.is_initialized():
        return
    if status == 0:
        distributed.destroy_process_group()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run() -> None:
    """Entry point of the installed command."""
    _quiet_upstream()
    status = main(sys.argv[1:])
    _leave_process_group(status)
    sys.exit(status)


if __name__ == "__main__":  # `accelerate launch -m rephrase_rl.cli.main train ...`
    run()
