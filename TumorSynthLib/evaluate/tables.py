"""The tables by name. Each is imported when it is wanted, so that nobody waits for what another one needs."""

from collections.abc import Callable

from TumorSynthLib.evaluate.order import Findings, Order

Table = Callable[[Order], Findings]
"""Carries out an order."""


def _synthesis(order: Order) -> Findings:
    from TumorSynthLib.evaluate.synthesis import synthesis_findings

    return synthesis_findings(order)


def _methods(order: Order) -> Findings:
    from TumorSynthLib.evaluate.methods import methods_findings

    return methods_findings(order)


def _texture(order: Order) -> Findings:
    from TumorSynthLib.evaluate.texture import evaluate_texture
    from TumorSynthLib.evaluate.texture_report import texture_figure, texture_text

    found = evaluate_texture(order.data, order.split, order.bundle, order.limit, order.progress)
    return Findings(**found, text=texture_text, draw=texture_figure)


def _sensitivity(order: Order) -> Findings:
    from TumorSynthLib.evaluate.sensitivity import sensitivity_findings

    return sensitivity_findings(order)


def _removal(order: Order) -> Findings:
    from TumorSynthLib.evaluate.removal import evaluate_removal, removal_figure, removal_text

    keep = order.out / "removal" if order.options.keep_files else None
    found = evaluate_removal(order.data, order.split, order.bundle, order.limit, order.progress, keep)
    return Findings(**found, text=removal_text, draw=removal_figure)


def _codec(order: Order) -> Findings:
    from TumorSynthLib.evaluate.codec import codec_figure, codec_text, evaluate_codec

    found = evaluate_codec(order.data, order.split, order.bundle, order.limit, order.progress)
    return Findings(**found, text=codec_text, draw=codec_figure)


def _shape(order: Order) -> Findings:
    from TumorSynthLib.evaluate.shape import shape_findings

    return shape_findings(order)


def _downstream(order: Order) -> Findings:
    from TumorSynthLib.evaluate.downstream import downstream_findings

    return downstream_findings(order)


def _time(order: Order) -> Findings:
    from TumorSynthLib.evaluate.timing import timing_findings

    return timing_findings(order)


TABLES: dict[str, Table] = {
    "synthesis": _synthesis,
    "methods": _methods,
    "texture": _texture,
    "sensitivity": _sensitivity,
    "removal": _removal,
    "codec": _codec,
    "shape": _shape,
    "downstream": _downstream,
    "time": _time,
}
"""What can be evaluated."""
