//! Clock, ids, supervisor of tasks, shutdown, configuration and telemetry.
