//! Puts the libraries that the llama engine loads when it runs beside the program.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "llama")]
    llama::place();
}

#[cfg(feature = "llama")]
mod llama {
    use std::env;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Links what was built into the folder of the program, and has the program look there.
    pub(crate) fn place() {
        // The program is found by its place, and may be moved with what is beside it.
        println!("cargo::rustc-link-arg-bins=-Wl,-rpath,$ORIGIN");
        println!("cargo::rerun-if-env-changed=DEP_LLAMA_BACKENDS_DIR");
        let (Some(kernels), Some(out)) =
            (env::var_os("DEP_LLAMA_BACKENDS_DIR"), env::var_os("OUT_DIR"))
        else {
            return;
        };
        let kernels = PathBuf::from(kernels);
        // …/release/build/oag-engine-…/out
        let Some(beside) = Path::new(&out).ancestors().nth(3) else { return };
        let libraries = kernels.parent().map(|parent| parent.join("lib"));
        for folder in [Some(kernels), libraries].into_iter().flatten() {
            let Ok(files) = fs::read_dir(&folder) else { continue };
            for file in files.flatten().filter(|file| is_library(&file.path())) {
                let there = beside.join(file.file_name());
                let _ = fs::remove_file(&there);
                let done = fs::hard_link(file.path(), &there)
                    .or_else(|_| fs::copy(file.path(), &there).map(|_| ()));
                if let Err(error) = done {
                    println!("cargo::warning={} is not placed: {error}", there.display());
                }
            }
        }
    }

    fn is_library(file: &Path) -> bool {
        file.file_name().is_some_and(|name| name.to_string_lossy().contains(".so"))
    }
}
