//! Long-term storage of samples in compressed chunk files.
