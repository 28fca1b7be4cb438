"""Smoothed direction: the mean of the next k closes against the mean of the last k."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import ndtr

from truefill.core.registry import Params
from truefill.forecast.labels.base import Asked, Floats, LabelBars, Walk, label, together
from truefill.forecast.labels.trailing import trailing_mean


class SmoothedParams(Params):
    """Fall, still or rise of the mean of the next k closes over the mean of the last k."""

    horizon: int = Field(20, ge=1, description="k, bars: as many ahead as back")
    threshold: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | Literal["auto"] = Field(
        "auto", description="|l| above which it is a rise or a fall; auto: median |l| of train rows"
    )
    crosses_session: bool = Field(
        True, description="false: null where the 2k bars are not of one session"
    )


def walks(p: SmoothedParams, bars: LabelBars, walk: Walk, threshold: float) -> Floats:
    """Of a random walk, m+ is p_t (1 + noise), and noise, the mean of k sums of 1 to k steps, is
    normal with mean drift (k + 1) / 2 and variance sigma^2 (k + 1)(2k + 1) / (6k) (for small
    steps). So p_t - m- alone says what is known of l; the class with the highest probability is the
    best guess that there is on a random walk."""
    k = p.horizon
    behind = trailing_mean(bars.close, k)
    level = bars.close / behind
    centre = level * (1.0 + walk.drift * (k + 1) / 2.0) - 1.0
    spread = level * walk.sigma * np.sqrt((k + 1) * (2 * k + 1) / (6.0 * k))
    fall = ndtr((-threshold - centre) / spread)
    rise = ndtr((centre - threshold) / spread)
    return np.stack([fall, 1.0 - fall - rise, rise], axis=1)


@label("smoothed", SmoothedParams, classes=3, random_walk=walks, threshold=lambda p: p.threshold)
def smoothed(p: SmoothedParams, bars: LabelBars) -> Asked:
    """l = (m+ - m-) / m-, m- = mean(p[t-k+1 .. t]), m+ = mean(p[t+1 .. t+k])."""
    k, T = p.horizon, len(bars)
    behind = trailing_mean(bars.close, k)
    ahead = np.full(T, np.nan)
    ahead[: max(T - k, 0)] = behind[k:]
    at = np.arange(T)
    first, last = at - k + 1, at + k
    whole = together(first, last, bars.session, p.crosses_session)
    return Asked(np.where(whole, (ahead - behind) / behind, np.nan), first, last)
