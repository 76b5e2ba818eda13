//! Has the program look for its libraries beside itself, so that both can be moved together.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "llama")]
    println!("cargo::rustc-link-arg-bins=-Wl,-rpath,$ORIGIN");
}
