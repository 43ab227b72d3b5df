"""The lifecycle table as text for people: a Mermaid state diagram and a Markdown table.

docs/explanation/lifecycle.md holds both; a test compares them with what these functions give.
"""

from interceptor.action.lifecycle import (
    OPEN_STATES,
    TAKEN_AS,
    TRANSITIONS,
    FillerSees,
    LifecycleEvent,
    OrderState,
    Transition,
)


def mermaid_diagram() -> str:
    """The moves between states. Events that leave an order where it is are in the table only."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}: {LifecycleEvent.TAKEN}" for state in TAKEN_AS]
    for before in OrderState:
        for after in OrderState:
            events = [
                event
                for (state, event), transition in TRANSITIONS.items()
                if (state, transition.state) == (before, after) and before is not after
            ]
            if events:
                lines.append(f"    {before} --> {after}: {', '.join(events)}")
    lines += [f"    {state} --> [*]" for state in OrderState if state not in OPEN_STATES]
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """Every row, in the order of the table."""
    lines = [
        "| state | event | becomes | the filler sees | the placer is told | reason |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row("", LifecycleEvent.TAKEN, transition) for transition in TAKEN_AS.values()]
    lines += [_row(state, event, transition) for (state, event), transition in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"


def _row(state: str, event: LifecycleEvent, transition: Transition) -> str:
    seen = "" if transition.filler_sees is FillerSees.NOTHING else str(transition.filler_sees)
    notice = transition.notice
    told = "" if notice is None else f"{notice.order_control}, ORC-5 {notice.order_status}"
    return f"| {state} | {event} | {transition.state} | {seen} | {told} | {transition.reason} |"
