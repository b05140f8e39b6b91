"""The index of commands, and what happens when one fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cyclopts import App, CycloptsError, Group

if TYPE_CHECKING:
    from tsavo.vocabulary import TsavoError

__all__ = ["application", "main"]

_DONE, _FAILED, _USAGE = 0, 1, 2
_INTERRUPTED: Final = 130

# Group -> command -> module, and what it does in one line: shown by --help without importing the module.
_COMMANDS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Start here": {
        "up": ("up", "Start the gateway, the console and the keeper; print where they answer."),
        "down": ("up", "Stop what runs on a home, cleanly."),
        "demo": ("demo", "Show the whole loop on real data, then leave it running."),
        "backup": ("backing_up", "Copy a home while everything runs, and only what is new."),
        "restore": ("backing_up", "Make a new home of a backup."),
        "audit": ("auditing", "Who changed what, when and why."),
        "doctor": ("watching", "Look for what is wrong with this installation, and say the mend."),
    },
    "Models": {
        "register": ("registering", "Check, compile and keep a model file as a new version."),
        "register-many": ("bulk", "Register thousands of models from a list or a folder."),
        "deploy": ("registering", "Make a version the champion of an endpoint, or a challenger."),
        "family": ("families", "An endpoint with a version for each value of a column."),
        "ls": ("looking", "List endpoints, or models."),
        "show": ("looking", "Everything about an endpoint, a model or a version."),
        "diff": ("looking", "What differs between two versions."),
        "verify": ("verifying", "See whether versions still answer as they did when they were registered."),
        "eject": ("verifying", "Write a version as an MLflow model folder that runs without Tsavo."),
    },
    "Decisions": {
        "score": ("scoring", "Score a table; the answers come with decision ids."),
        "outcomes": ("happening", "Record what really happened."),
        "sql": ("querying", "Run one SELECT over decisions, outcomes and monitors."),
        "query": ("querying", "Queries that are kept under a name: save, ls, show, run, rm."),
        "export": ("exporting", "Let the keeper write a query's answer to a file, again and again."),
        "decision": ("decisions", "The receipt of a decision; --replay asks its version again."),
        "backtest": ("backtesting", "Ask another version what an endpoint was asked."),
        "replay": ("decisions", "Ask versions again what they were asked, and compare to the last bit."),
        "verify-log": ("proving", "See whether anything was changed behind the log's back."),
        "anchor": ("proving", "Keep the log's newest signed head elsewhere."),
    },
    "Watch and act": {
        "monitors": ("watching", "What the monitors of an endpoint say now: its findings."),
        "alerts": ("watching", "List open alerts."),
        "ack": ("watching", "Acknowledge an alert."),
        "resolve": ("watching", "Resolve an alert."),
        "plug": ("registering", "Pull the plug: the fallback answers at once. --off puts it back."),
        "drill": ("drilling", "Try every step of a fallback chain on copies of live requests."),
        "promote": ("registering", "Make a challenger the champion."),
        "rollback": ("registering", "Go back to the champion before the present one."),
        "limit": ("drilling", "What an endpoint may take: time, requests at once, a place in memory."),
        "retention": ("keeping", "How long decisions and outcomes of an endpoint are kept."),
    },
    "Personal data": {
        "personal": ("privacy", "Say which inputs of an endpoint are personal: they are recorded sealed."),
        "erase": ("privacy", "Erase a person: nobody reads what was sealed any more."),
        "pseudonym": ("privacy", "The name under which a person's decisions are found in SQL."),
        "reveal": ("privacy", "Show the personal values of a decision, which is noted."),
    },
}

# Other words for the same thing, which --help does not list.
_ALIASES: Final = {"findings": "monitors"}


def application(chosen: str = "") -> App:
    """The whole command line; a command's module is imported when it is needed.

    Parameters
    ----------
    chosen
        The command that will run. It explains itself at length; the others have their line in the index.
    """
    from importlib.metadata import version

    app = App(
        name="tsavo",
        help="Tsavo: the last mile of machine learning. Check, serve, record, watch and stop any trained model.",
        version=lambda: version("tsavo"),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # main says what an interrupt comes to
    )
    for place, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=place)
        for name, (module, what) in commands.items():
            for word in (name, *(alias for alias, known in _ALIASES.items() if known == name)):
                told = {} if word == chosen else {"help": what}
                app.command(
                    f"tsavo.cli.{module}:{name.replace('-', '_')}",
                    name=word,
                    group=group,
                    show=word == name,
                    **told,
                )
    return app


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    given = list(sys.argv[1:] if words is None else words)
    try:
        answer = application(next((word for word in given if not word.startswith("-")), ""))(
            given,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
        return answer if isinstance(answer, int) else _DONE
    except CycloptsError as error:
        _complain(f"{error} Next: see 'tsavo --help'")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as 'head' does; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DONE
    except Exception as error:
        if os.environ.get("TSAVO_TRACE"):
            raise
        _explain(error)
        return _FAILED


def _explain(error: Exception) -> None:
    # Imported now because it loads numpy, for which --help has no time.
    from tsavo.vocabulary import Disagreement, TsavoError

    if isinstance(error, TsavoError):
        _complain(str(error))
        if isinstance(error, Disagreement):
            _tell_differing_rows(error)
    elif isinstance(error, OSError):
        _complain(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    else:
        _complain(
            f"something unexpected happened ({type(error).__name__}: {error}). "
            "Next: report it, with what TSAVO_TRACE=1 shows"
        )


def _tell_differing_rows(error: TsavoError) -> None:
    from tsavo.cli.printing import as_text

    rows = error.details.get("rows", []) if isinstance(error.details, dict) else []
    for row in rows:
        told = ", ".join(f"{part}: {as_text(row.get(part))}" for part in ("original", "compiled", "inputs"))
        sys.stderr.write(f"  row {row.get('row')}: {told}\n")


def _complain(text: str) -> None:
    """Say why, on one line whatever the reason is made of."""
    from tsavo.cli.printing import as_text

    sys.stderr.write(f"tsavo: {as_text(' '.join(text.split()))}\n")
