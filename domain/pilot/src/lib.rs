//! The life of a plan: propose, guard, execute, verify, undo, record. Declares the executor port.
