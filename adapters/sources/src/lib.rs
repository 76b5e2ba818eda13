//! Sources of signals: the host, the product itself and Prometheus text endpoints.
