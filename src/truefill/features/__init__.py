"""Market features: calculators by name, normalizers fitted on train only, the feature contract."""
