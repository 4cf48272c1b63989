//! Every rule that is built has a test that cites it, a row in docs/rules.md, and its tests in docs/rules-tests.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rules of what isn't built yet, wholly or but for a part that no test could show. The list only shrinks.
#[rustfmt::skip]
const NOT_BUILT: &[&str] = &["R78", "R83"];

fn rules() -> Vec<String> {
    (1..=92).map(|number| format!("R{number}")).chain((1..=10).map(|number| format!("D{number}"))).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rules that a comment cites, such as `R29` and `D3`.
fn cited(comment: &str) -> impl Iterator<Item = String> {
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric());
    let is_rule = |word: &&str| {
        let number = word.strip_prefix(['R', 'D']).unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    words.filter(is_rule).map(str::to_owned)
}

/// Every test of a source: its name, and the rules that the comment right before it cites.
fn tests(source: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    let (mut comment, mut is_test, mut rules) = (String::new(), false, BTreeSet::new());
    for line in source.lines().map(str::trim) {
        if line.starts_with("// ") {
            comment += line;
            continue;
        }
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            rules = cited(&comment).collect();
        } else if is_test && (line.starts_with("fn ") || line.starts_with("async fn ")) {
            let name = line.trim_start_matches("async ").trim_start_matches("fn ");
            let name = name.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            found.push((name.to_owned(), std::mem::take(&mut rules)));
            is_test = false;
        }
        comment.clear();
    }
    found
}

// The tests of tests/it and of the domain, by their files.
fn all_tests() -> BTreeMap<PathBuf, Vec<(String, BTreeSet<String>)>> {
    let mut files = Vec::new();
    sources(&root().join("tests/it"), &mut files);
    sources(&root().join("domain/src"), &mut files);
    files.into_iter().map(|file| (file.clone(), tests(&std::fs::read_to_string(&file).unwrap()))).collect()
}

#[test]
fn every_rule_that_is_built_has_a_test() {
    let tests = all_tests();
    let cited: BTreeSet<&String> = tests.values().flatten().flat_map(|(_, rules)| rules).collect();
    let mut problems = Vec::new();
    for rule in rules() {
        match (cited.contains(&rule), NOT_BUILT.contains(&rule.as_str())) {
            (false, false) => problems.push(format!("{rule}: no test cites it in a comment right before")),
            (true, true) => problems.push(format!("{rule} is tested, and so it is built")),
            _ => {}
        }
    }
    let known: BTreeSet<String> = rules().into_iter().collect();
    problems.extend(cited.iter().filter(|rule| !known.contains(**rule)).map(|rule| format!("there is no rule {rule}")));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_rule_that_is_built_has_a_row() {
    let docs = std::fs::read_to_string(root().join("docs/rules.md")).unwrap();
    let rows: Vec<String> = docs
        .lines()
        .filter(|line| line.starts_with("| R") || line.starts_with("| D"))
        .map(|line| line.trim_matches('|').split(" | ").next().unwrap_or_default().trim().to_owned())
        .collect();
    let built: Vec<String> = rules().into_iter().filter(|rule| !NOT_BUILT.contains(&rule.as_str())).collect();
    assert_eq!(rows, built);
}

/// `make rules` writes it.
#[test]
fn the_list_of_tests_is_up_to_date() {
    let tests = all_tests();
    let mut list = String::from(
        "# Which tests show which rule\n\nWritten by `make rules` from the comments before the tests. [What the rules say](rules.md).\n",
    );
    for rule in rules().into_iter().filter(|rule| !NOT_BUILT.contains(&rule.as_str())) {
        list += &format!("\n## {rule}\n\n");
        for (file, tests) in &tests {
            let path = file.strip_prefix(root()).unwrap();
            let module = file.file_stem().unwrap().to_string_lossy();
            for (test, _) in tests.iter().filter(|(_, rules)| rules.contains(&rule)) {
                list += &format!("- [{module}::{test}](../{})\n", path.display());
            }
        }
    }
    let place = root().join("docs/rules-tests.md");
    if std::env::var_os("ROLLCALL_TEST_WRITE").is_some() {
        std::fs::write(&place, &list).unwrap();
    }
    assert!(
        std::fs::read_to_string(&place).unwrap_or_default() == list,
        "docs/rules-tests.md is out of date: make rules"
    );
}
