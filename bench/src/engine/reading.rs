//! What the memory gives: a plain read over more than any cache holds.

use std::hint::black_box;
use std::thread;

use super::Part;
use crate::figures::count;
use crate::machine::Stopwatch;

/// Bytes that are read, and of a quick run.
const BYTES: usize = 512 << 20;
const BYTES_QUICK: usize = 8 << 20;
/// How often they are read.
const TIMES: usize = 5;

/// Reads with so many threads at once. The tokens of what comes back are bytes.
pub(super) fn measure(threads: u32, quick: bool) -> Part {
    let bytes = if quick { BYTES_QUICK } else { BYTES };
    let numbers = vec![1_u64; bytes / size_of::<u64>()];
    let share = numbers.len().div_ceil(usize::try_from(threads).unwrap_or(1).max(1));
    let watch = Stopwatch::start();
    for _ in 0..TIMES {
        thread::scope(|scope| {
            for part in numbers.chunks(share) {
                scope.spawn(|| black_box(part.iter().fold(0, |sum: u64, one| sum ^ *one)));
            }
        });
    }
    Part { tokens: count(TIMES * bytes), took: watch.took() }
}
