//! Who may do what, within which limits: roles, policies, limits, breakers, approvals, kill switch and the autonomy ladder.
