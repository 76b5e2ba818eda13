//! The tamper-evident log: tiled Merkle tree, signed checkpoints, inclusion proofs and their verification. Pure code.
