"""Forecasters: what they are asked (labels), what they lower (losses), what they must beat
(baselines), and whether they do (skill)."""
