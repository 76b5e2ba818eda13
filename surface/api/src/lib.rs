//! REST API, identity at the edge, probes, metrics and watches.
