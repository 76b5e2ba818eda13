//! Checks a plan against the limits, together with what was lately let through.
