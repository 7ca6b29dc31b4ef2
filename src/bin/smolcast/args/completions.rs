//! `--completions`: a script that completes the flags in a shell.

use argh::ArgsInfo;
use argh_complete::Generator;
use argh_complete::{bash::Bash, fish::Fish, nushell::Nushell, zsh::Zsh};

use super::{Args, NAME};

/// The script for a shell.
pub(super) fn script(shell: &str) -> Result<String, String> {
    let generate = match shell {
        "bash" => Bash::generate,
        "zsh" => Zsh::generate,
        "fish" => Fish::generate,
        "nushell" => Nushell::generate,
        _ => return Err("bash, zsh, fish or nushell".to_owned()),
    };
    Ok(generate(NAME, &Args::get_args_info()))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::process::Command;

    use super::super::env::flags;
    use super::*;

    #[test]
    fn every_script_has_every_flag() {
        for (shell, dashes) in [("bash", "--"), ("zsh", "--"), ("fish", "-l "), ("nushell", "--")] {
            let script = script(shell).expect("a script");
            for flag in flags() {
                let name = flag.long.replace("--", dashes);
                let is_end = |letter: char| !letter.is_ascii_lowercase() && letter != '-';
                let found = script.split(&name).skip(1).any(|rest| rest.starts_with(is_end));
                assert!(found, "{shell} has no {name}");
            }
        }
        assert_eq!(script("tcsh"), Err("bash, zsh, fish or nushell".to_owned()));
    }

    /// Completions of the last of these words by a new bash, or `None` if there is no bash.
    fn completed_by_bash(words: &str) -> Option<Vec<String>> {
        let command = format!(
            "eval \"$1\"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             $(complete -p smolcast | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let script = script("bash").expect("a script");
        match Command::new("bash").args(["--norc", "-ec", &command, "bash", &script]).output() {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
            Ok(output) => {
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
                let text = String::from_utf8(output.stdout).expect("it speaks UTF-8");
                Some(text.lines().map(str::to_owned).collect())
            }
        }
    }

    #[test]
    fn bash_completes_flags_by_the_script() {
        let Some(found) = completed_by_bash("smolcast --history") else {
            eprintln!("SKIPPED: there is no bash");
            return;
        };
        assert_eq!(found, ["--history", "--history-dir", "--history-sync"]);
        let all = completed_by_bash("smolcast --port 80 --").expect("it was there a moment ago");
        assert_eq!(all.len(), flags().len(), "{all:?}");
        let value = completed_by_bash("smolcast --unix ''").expect("it was there a moment ago");
        assert_eq!(value, [""], "a value is left to bash, which completes paths");
    }
}
