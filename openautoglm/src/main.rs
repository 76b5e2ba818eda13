//! openautoglm
fn main() {}
