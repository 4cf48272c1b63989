//! Who writes members and departures: the files whose functions demand the right to do so (docs/architecture.md, *Who
//! may write*).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every source of the domain, SQL as well.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The files that hold one of these texts, however they are broken into lines.
fn files_with(texts: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let spaceless = |text: &str| text.replace(char::is_whitespace, "");
    let texts: Vec<String> = texts.iter().map(|text| spaceless(text)).collect();
    let found = sources(&root).into_iter().filter(|path| {
        let source = spaceless(&std::fs::read_to_string(path).unwrap());
        texts.iter().any(|text| source.contains(text.as_str()))
    });
    found.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect()
}

fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

#[test]
fn members_are_written_in_one_file() {
    let writes = [
        "insert_into(members::table",
        "update(members::table",
        "delete(members::table",
        "INSERT INTO members",
        "UPDATE members",
        "DELETE FROM members",
    ];
    let exceptions = ["account/new_account.rs", "departure/organization_deletion.rs"];
    let expected = &set(&["membership/member_writes.rs"]) | &set(&exceptions);
    assert_eq!(files_with(&writes), expected);
}

#[test]
fn departures_begin_in_one_place() {
    assert_eq!(
        files_with(&["insert_into(departures::table", "INSERT INTO departures"]),
        set(&["departure/departing.rs"])
    );
}
