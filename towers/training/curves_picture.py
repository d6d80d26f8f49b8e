"""The curves of a training as one picture: total loss, its terms, and metrics where there are any.

Drawn without pyplot, on the canvas that matplotlib has for files: no display is looked for and no global
state is touched. Single steps are drawn faintly under their running mean, which is what one reads.
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from towers.training.curves import Point, StageCurve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with every kind of colour vision (Okabe and Ito, "Color Universal Design", 2008)."""
STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v")
_WIDTH, _HEIGHT, _DOTS = 10.0, 3.2, 110
"""Inches of a panel, dots an inch."""
_LEGEND_LETTERS = 28
_SMOOTHED = 1 / 40
"""Share of a stage that the running mean runs over."""


def draw(stages: Sequence[StageCurve], metrics: Mapping[str, Sequence[Point]]) -> bytes:
    """Returns a PNG with two panels, or three where there are metrics."""
    panels = 3 if metrics else 2
    figure = Figure(figsize=(_WIDTH, _HEIGHT * panels), dpi=_DOTS, layout="constrained")
    axes: list[Axes] = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    _draw_total(axes[0], stages)
    _draw_terms(axes[1], stages)
    if metrics:
        _draw_metrics(axes[2], metrics)
    for panel in axes:
        panel.grid(alpha=0.25)
        panel.set_xlim(0.5, sum(stage.steps for stage in stages) + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        for stage in stages[1:]:
            panel.axvline(stage.first - 0.5, color="0.45", linewidth=1.0, linestyle=(0, (4, 3)))
    axes[-1].set_xlabel("step, over all stages")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw_total(panel: Axes, stages: Sequence[StageCurve]) -> None:
    panel.set_ylabel("total loss")
    panel.margins(y=0.15)  # room for the stages' names
    for stage in stages:
        _draw_curve(panel, stage.total, color=COLOURS[0])
        panel.annotate(
            stage.name,
            (stage.first - 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -12),
            textcoords="offset points",
            color="0.3",
        )
    _from_zero(panel)


def _draw_terms(panel: Axes, stages: Sequence[StageCurve]) -> None:
    """A term has one colour in all stages that have it."""
    panel.set_ylabel("weighted terms")
    looks = _looks(list(dict.fromkeys(term for stage in stages for term in stage.terms)))
    for stage in stages:
        for term, points in stage.terms.items():
            _draw_curve(panel, points, **looks[term])
    for term, look in looks.items():
        panel.plot([], [], label=_wrapped(term), **look)
    _from_zero(panel)
    _legend(panel)


def _draw_metrics(panel: Axes, metrics: Mapping[str, Sequence[Point]]) -> None:
    panel.set_ylabel("metrics")
    for (name, look), marker in zip(_looks(list(metrics)).items(), itertools.cycle(MARKERS), strict=False):
        steps = [point.step for point in metrics[name]]
        panel.plot(
            steps, [point.value for point in metrics[name]], label=_wrapped(name), marker=marker, **look
        )
    _legend(panel)


def _draw_curve(panel: Axes, points: Sequence[Point], **look: Any) -> None:
    steps = np.array([point.step for point in points])
    values = np.array([point.value for point in points])
    width = round(len(values) * _SMOOTHED)
    if width > 1:
        panel.plot(steps, values, alpha=0.25, linewidth=0.8, **look)
        values = _running_mean(values, width)
    panel.plot(steps, values, **{"linewidth": 1.6, **look})
    if len(values) == 1:
        panel.plot(steps, values, marker=".", **look)


def _running_mean(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Mean over ``width`` values around each one; over fewer at the ends."""
    ones = np.ones(width)
    sums, counts = (np.convolve(part, ones, "same") for part in (values, np.ones_like(values)))
    mean: npt.NDArray[np.float64] = sums / counts
    return mean


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Gives each name a colour, and a line of its own where the colours begin anew."""
    return dict(zip(names, _all_looks(), strict=False))


def _all_looks() -> Iterator[dict[str, Any]]:
    for style in itertools.cycle(STYLES):
        for colour in COLOURS:
            yield {"color": colour, "linestyle": style}


def _legend(panel: Axes) -> None:
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")


def _wrapped(name: str) -> str:
    return textwrap.fill(name, _LEGEND_LETTERS)


def _from_zero(panel: Axes) -> None:
    """Lets heights be compared: a loss stands on zero, unless it falls below."""
    panel.set_ylim(bottom=min(0.0, panel.dataLim.ymin))
