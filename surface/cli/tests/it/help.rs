use crate::harness::{run, tree};

#[test]
fn every_command_explains_itself() {
    let mut root = tree();
    root.build();
    explain(&root, "");
}

fn explain(command: &clap::Command, path: &str) {
    for sub in command.get_subcommands() {
        if sub.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", sub.get_name()).trim_start().to_owned();
        let mut one = sub.clone().term_width(100);
        let name = format!("help {path}").replace(' ', "-");
        insta::assert_snapshot!(name, one.render_long_help().to_string());
        explain(sub, &path);
    }
}

#[test]
fn help_tells_no_secrets() {
    let mut root = tree();
    root.build();
    let all = root.render_long_help().to_string();
    assert!(!all.contains("OPENAUTOGLM_API_KEY="), "{all}");
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(&["completions", shell], None, "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        assert!(ran.out.contains("kill-switch"), "{shell}");
    }
}
