//! PostgreSQL's programs: where they are, and how they are run.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{BuiltinPostgresError, Result, io_error};

/// Folders that may hold PostgreSQL's programs, the preferred ones first.
pub(super) fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<_> = env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|entry| entry.path()).collect();
    let number = |folder: &PathBuf| folder.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    versions.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    let pg_config = || {
        let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let versions = versions.into_iter().map(|folder| folder.join("bin"));
    in_path.into_iter().chain(versions).chain(std::iter::once_with(pg_config).flatten())
}

/// The first folder with all we need and, for data that exists, of its version.
pub(super) fn choose(folders: impl Iterator<Item = PathBuf>, wanted: Option<&str>, data: &Path) -> Result<PathBuf> {
    let mut installed = Vec::new();
    for folder in folders {
        let Some(version) = version_of(&folder) else {
            continue;
        };
        if wanted.is_none_or(|wanted| wanted == version) {
            return Ok(folder);
        }
        if !installed.contains(&version) {
            installed.push(version);
        }
    }
    match wanted {
        Some(made_by) if !installed.is_empty() => Err(BuiltinPostgresError::OtherVersion {
            data: data.to_owned(),
            made_by: made_by.to_owned(),
            installed: installed.join(", "),
        }),
        _ => Err(BuiltinPostgresError::NoBinaries),
    }
}

/// Major version of the PostgreSQL in this folder: `postgres (PostgreSQL) 15.14 (Debian …)` is 15.
fn version_of(folder: &Path) -> Option<String> {
    if !["initdb", "postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    let major = version.split(|character: char| !character.is_ascii_digit()).next()?;
    (!major.is_empty()).then(|| major.to_owned())
}

/// Runs a program to its end and returns what it said.
pub(super) fn run(program: &'static str, mut command: Command, input: &str) -> Result<String> {
    let path = PathBuf::from(command.get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io_error("run", &path))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why itself.
        stdin.write_all(input.as_bytes()).or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(io_error("write to", &path)(error)),
        })?;
    }
    let output = child.wait_with_output().map_err(io_error("run", &path))?;
    let text = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&text).trim().to_owned();
    if output.status.success() {
        return Ok(output_text);
    }
    Err(BuiltinPostgresError::Program { program, output: last_lines(&format!("{}\n{output_text}", output.status), 15) })
}

pub(super) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let skipped = lines.len().saturating_sub(count);
    lines.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    type TestResult = std::result::Result<(), Box<dyn std::error::Error>>;

    /// Folders with programs that only tell their version.
    fn installations(name: &str, versions: &[&str]) -> io::Result<(PathBuf, Vec<PathBuf>)> {
        let root = env::temp_dir().join(format!("rollcall-binaries-{}-{name}", process::id()));
        let mut folders = Vec::new();
        for version in versions {
            let folder = root.join(version);
            fs::create_dir_all(&folder)?;
            // By another process: while a fork of ours holds a file open for writing, it can't be run.
            let script = format!("echo 'postgres (PostgreSQL) {version} (Debian)'");
            let make = "for name in initdb postgres pg_ctl; do echo \"$0\" >$name; chmod +x $name; done";
            let mut shell = Command::new("/bin/sh");
            let status = shell.args(["-c", make, &format!("#!/bin/sh\n{script}")]).current_dir(&folder).status()?;
            assert!(status.success());
            folders.push(folder);
        }
        Ok((root, folders))
    }

    #[test]
    fn without_binaries_says_what_to_install() {
        let nowhere = [PathBuf::from("/nonexistent"), env::temp_dir()];
        let error =
            choose(nowhere.into_iter(), None, Path::new("data")).map_or_else(|e| e.to_string(), |_| String::new());
        assert!(error.contains("apt-get install postgresql"), "{error}");
        assert!(error.contains("DATABASE_URL"), "{error}");
    }

    #[test]
    fn takes_the_first_binaries_or_those_of_the_data() -> TestResult {
        let (root, folders) = installations("choice", &["17.2", "15.14", "16beta1"])?;
        let choose = |wanted| choose(folders.iter().cloned(), wanted, Path::new("data"));
        assert_eq!(choose(None)?, root.join("17.2"));
        assert_eq!(choose(Some("15"))?, root.join("15.14"));
        assert_eq!(choose(Some("16"))?, root.join("16beta1"));
        let error = choose(Some("14")).map_or_else(|e| e.to_string(), |_| String::new());
        assert!(error.contains("made by PostgreSQL 14") && error.contains("17, 15, 16"), "{error}");
        fs::remove_dir_all(root)?;
        Ok(())
    }
}
