//! The local executor: supervised processes as replicas behind a small balancer.
