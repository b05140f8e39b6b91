"""``register``, ``deploy`` and what else changes what serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from tsavo.cli.describing import About, Described
from tsavo.cli.options import Common, Flag, Options
from tsavo.cli.printing import as_text, print_json
from tsavo.cli.telling import told_challengers
from tsavo.vocabulary import Invalid, Route

if TYPE_CHECKING:
    from tsavo.client import Client, Registered

__all__ = ["deploy", "plug", "promote", "register", "rollback"]

_Versions = Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)]


def register(
    source: str,
    /,
    *,
    name: str,
    about: Described = About(),
    problem: str = "",
    decision: str = "",
    value: str = "",
    assumptions: str = "",
    options: Common = Options(),
) -> int:
    """Check, compile and keep a model file as the next version of a model.

    Parameters
    ----------
    source
        A model file, an MLflow folder or address (models:/NAME/1), a folder with Python code, or MODULE:OBJECT.
    name
        What the model is called.
    problem
        What the model is for: the problem.
    decision
        The decision that it supports.
    value
        What it is worth to the business.
    assumptions
        What it takes for granted.
    """
    brief = {"problem": problem, "decision": decision, "value": value, "assumptions": assumptions}
    with options.connected() as client:
        registered = client.register(
            source,
            name=name,
            brief=brief if any(brief.values()) else None,
            progress=options.progress(),
            **about.words(),
        )
    if options.json:
        print_json(registered)
    else:
        _tell_registered(registered)
    return 0


def _tell_registered(registered: Registered) -> None:
    version = registered.version
    was = "" if registered.new else " (the same content was registered before)"
    print(f"{version.ref}{was}")
    if version.runtime == "python":
        print(f"  runs in a Python worker: {as_text(version.reason)}")
    for check in version.checks:
        print(f"  {'ok ' if check.passed else 'NO '} {check.name}: {as_text(check.summary)}")
    print(f"Next: tsavo deploy {version.ref}")


def deploy(
    source: str,
    /,
    *,
    name: str | None = None,
    endpoint: str | None = None,
    shadow: Flag = False,
    share: float | None = None,
    by: str | None = None,
    fallback: _Versions = None,
    constant: str | None = None,
    about: Described = About(),
    why: str = "",
    options: Common = Options(),
) -> int:
    """Make a version the champion of an endpoint, its shadow, or give it a share of the requests.

    Parameters
    ----------
    source
        MODEL@N; MODEL for its newest version; or, with --name, what 'tsavo register' takes: it is registered first.
    name
        Register the file under this name, then deploy it.
    endpoint
        The endpoint (default: called as the model).
    shadow
        Let the version score the same requests unseen, instead of making it the champion.
    share
        Let the version answer this share of the requests, such as 0.1, beside the champion; 0 takes it out again.
    by
        What decides who answers: request (each by itself, the default), key (the header X-Tsavo-Key), caller, or
        column:NAME.
    fallback
        MODEL@N that takes over when the plug is pulled or the champion fails, or @FILE with a rule table; may be given
        several times.
    constant
        JSON of a constant answer that takes over after the fallback versions.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        version = source
        if name is not None:
            registered = client.register(source, name=name, progress=options.progress(), **about.words())
            version = str(registered.version.ref)
            if not options.json:
                _tell_registered(registered)
        elif Path(source).suffix and Path(source).is_file():
            raise Invalid(
                "a model file needs a name to be registered under",
                field="name",
                found=source,
                next_step=f"tsavo deploy {source} --name NAME",
            )
        made = client.deploy(
            version,
            endpoint,
            shadow=shadow,
            share=share,
            by=by,
            fallback=_chain(fallback, constant),
            why=why,
        )
        _tell_route(client, made.name, made.route, options, url=made.url)
    return 0


def promote(
    endpoint: str,
    version: str | None = None,
    /,
    *,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Make a challenger, shadow or with a share, the champion.

    Parameters
    ----------
    endpoint
        The endpoint.
    version
        MODEL@N: the one to promote, where there are several, or to be sure that it is that one.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        _tell_route(client, endpoint, client.endpoint(endpoint).promote(version, why=why), options)
    return 0


def rollback(
    endpoint: str,
    /,
    *,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Go back to the champion before the present one.

    Parameters
    ----------
    endpoint
        The endpoint.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        _tell_route(client, endpoint, client.endpoint(endpoint).rollback(why=why), options)
    return 0


def plug(
    endpoint: str,
    /,
    *,
    off: Flag = False,
    fallback: _Versions = None,
    constant: str | None = None,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Pull the plug: the fallback answers at once, everywhere. --off puts it back.

    Parameters
    ----------
    endpoint
        The endpoint.
    off
        Put the plug back: the champion answers again.
    fallback
        MODEL@N, or @FILE with a rule table, that answers meanwhile (default: the endpoint's own fallback chain).
    constant
        JSON of a constant answer, such as '{"label": 0, "probabilities": [0.8, 0.2]}'.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        handle = client.endpoint(endpoint)
        route = handle.unplug(why) if off else handle.plug(why, fallback=_chain(fallback, constant))
        _tell_route(client, endpoint, route, options)
    return 0


def _chain(versions: list[str] | None, constant: str | None) -> list[Any] | None:
    if not versions and constant is None:
        return None
    chain = [_table(step) if step.startswith("@") else {"version": step} for step in versions or []]
    if constant is not None:
        try:
            chain.append({"constant": msgspec.json.decode(constant)})
        except msgspec.DecodeError as error:
            raise Invalid(
                f"not JSON: {error}",
                field="constant",
                found=constant,
                expected='a JSON value, such as 0 or \'{"label": 0, "probabilities": [0.8, 0.2]}\'',
            ) from error
    return chain


def _table(named: str) -> dict[str, Any]:
    """The rule table in the file that stands behind an ``@``."""
    content = Path(named[1:]).read_bytes()
    try:
        table = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise Invalid(f"not JSON: {error}", field="fallback", found=named) from error
    if not isinstance(table, dict) or table.keys() != {"rules", "otherwise"}:
        raise Invalid(
            "not a rule table",
            field="fallback",
            found=named,
            expected='{"rules": [...], "otherwise": answer}',
        )
    return table


def _tell_route(
    client: Client, endpoint: str, route: Route, options: Options, url: str | None = None
) -> None:
    if options.json:
        print_json({"route": route, "url": url or client.endpoint(endpoint).url})
        return
    state = "PLUG PULLED, the fallback answers" if route.plug else f"champion {route.champion}"
    print(f"{endpoint}: {', '.join([state, *told_challengers(route)])}")
    if route.plug is not None and not route.fallback:
        print("It has no fallback: callers are refused until the plug is put back.")
    print(f"  {url or client.endpoint(endpoint).url}")
