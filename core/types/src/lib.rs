//! The words of the product: signals, findings, plans, actions, verdicts, ids, times and error kinds.
