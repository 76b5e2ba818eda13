//! Streaming baselines, anomaly scores and load forecasts. Pure code: no I/O, no async, no clock.
