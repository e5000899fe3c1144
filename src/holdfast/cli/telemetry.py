"""The command telemetry: what the state of services tells of itself, as its registry has it."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import exits, options, shown


def telemetry(
    list_: Annotated[
        bool, typer.Option("--list", help="Every event; nothing else can be asked for yet.")
    ] = True,
    as_json: options.AsJson = False,
) -> int:
    """List the events of state: level, and attributes with their types; none holds a key or value.

    In code: holdfast.state.telemetry.events().
    """
    del list_  # It says what happens anyway.
    # The areas register their operations when they are loaded.
    import holdfast.state.store  # noqa: F401
    from holdfast.state.telemetry import events

    rows = [
        (
            name,
            spec.level,
            {
                attribute: kind.__name__ + ("" if attribute in spec.required else "?")
                for attribute, kind in sorted(spec.attributes.items())
            },
        )
        for name, spec in sorted(events().items())
    ]
    if as_json:
        shown.document(
            [
                {"event": name, "level": level, "attributes": attributes}
                for name, level, attributes in rows
            ]
        )
        return exits.OK
    shown.table(
        None,
        ["event", "level", "attributes"],
        [
            (name, level, "  ".join(f"{one}: {kind}" for one, kind in attributes.items()))
            for name, level, attributes in rows
        ],
        fold="attributes",
    )
    return exits.OK
