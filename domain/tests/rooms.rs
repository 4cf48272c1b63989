//! The rooms of the domain: each imports from those above it only, and no files import each other in a circle.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// From the top down; a room may import what stands before it.
const ROOMS: [&str; 12] = [
    "base",
    "database",
    "authority",
    "account",
    "membership",
    "organization",
    "resource",
    "event",
    "sign_in",
    "departure",
    "upkeep",
    "start",
];

/// A module of the domain, as its path from the root of the crate.
type Module = Vec<String>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false if path.extension().is_some_and(|extension| extension == "rs") => vec![path],
            false => Vec::new(),
        })
        .collect()
}

/// The modules of the files, with their texts.
fn modules() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |path: &Path| -> Module {
        let path = path.strip_prefix(&root).unwrap().with_extension("");
        let mut names: Module = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.pop_if(|name| name == "mod" || name == "lib");
        names
    };
    let texts = sources(&root).into_iter().map(|path| (module(&path), std::fs::read_to_string(&path).unwrap()));
    texts.filter(|(module, _)| !module.is_empty()).collect()
}

/// What the compiler reads of a file when it builds no tests: its names and signs, without comments and texts.
fn tokens(source: &str) -> Vec<String> {
    let mut without_tests = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let item = lines.next().unwrap_or_default();
            if item.ends_with('{') {
                lines.find(|line| *line == "}");
            }
        } else if !line.trim_start().starts_with("//") {
            without_tests.push_str(line);
            without_tests.push('\n');
        }
    }
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = without_tests.as_str();
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => {
                let mut escaped = false;
                let end = rest.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |(at, _)| at + 1)
            }
            // A character rather than a lifetime.
            '\'' if rest.chars().nth(1) == Some('\\') => {
                rest.char_indices().skip(3).find(|(_, c)| *c == '\'').unwrap().0 + 1
            }
            '\'' if rest.chars().nth(2) == Some('\'') => 2 + rest.chars().nth(1).unwrap().len_utf8(),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            c if c == '_' || c.is_alphanumeric() => {
                rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if !token.starts_with(['"', '\'', '/']) && !token.trim().is_empty() {
            tokens.push(token.to_owned());
        }
        rest = after;
    }
    tokens
}

/// The paths that a tree of names stands for, such as `a::{self, b::c}`, and how many tokens it takes.
fn paths(tokens: &[String], before: &[String]) -> (Vec<Module>, usize) {
    let mut path = before.to_vec();
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        match tokens.get(at).map_or("", String::as_str) {
            "{" => {
                at += 1;
                while tokens[at] != "}" {
                    let (inside, taken) = paths(&tokens[at..], &path);
                    found.extend(inside);
                    at += taken;
                    if tokens[at] == "as" {
                        at += 2;
                    }
                    if tokens[at] == "," {
                        at += 1;
                    }
                }
                return (found, at + 1);
            }
            "self" if !path.is_empty() => at += 1,
            name if name.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                path.push(name.to_owned());
                at += 1;
            }
            _ => {}
        }
        if tokens.get(at).is_some_and(|token| token == "::") {
            at += 1;
            // Such as of `collect::<Vec<_>>()`, or of `use super::*`.
            if tokens.get(at).is_some_and(|token| token == "<" || token == "*") {
                return (vec![path], at + 1);
            }
        } else {
            return (vec![path], at.max(1));
        }
    }
}

/// The modules that each module's file imports from.
fn imports(modules: &BTreeMap<Module, String>) -> BTreeMap<&Module, BTreeSet<&Module>> {
    let of_file = |module: &Module, source: &str| {
        let tokens = tokens(source);
        let mut found = BTreeSet::new();
        let mut at = 0;
        while at < tokens.len() {
            let is_name = tokens[at].starts_with(|c: char| c == '_' || c.is_alphabetic());
            let starts =
                is_name && (at == 0 || tokens[at - 1] != "::") && tokens.get(at + 1).is_some_and(|next| next == "::");
            let (names, taken) = if starts { paths(&tokens[at..], &[]) } else { (Vec::new(), 1) };
            at += taken;
            for path in names {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let absolute = match path[0].as_str() {
                    "crate" => path[1..].to_vec(),
                    "super" => [&module[..module.len().saturating_sub(ups)], &path[ups..]].concat(),
                    "self" => [module.as_slice(), &path[1..]].concat(),
                    _ => [module.as_slice(), &path].concat(),
                };
                let imported = (1..=absolute.len()).rev().find_map(|length| modules.get_key_value(&absolute[..length]));
                found.extend(imported.map(|(imported, _)| imported).filter(|imported| *imported != module));
            }
        }
        found
    };
    modules.iter().map(|(module, source)| (module, of_file(module, source))).collect()
}

#[test]
fn a_room_imports_from_those_above_it_only() {
    let modules = modules();
    let depth = |module: &Module| {
        let room = ROOMS.iter().position(|room| *room == module[0]);
        room.unwrap_or_else(|| panic!("{} is no room: name it in ROOMS, and in the docs of the crate", module[0]))
    };
    let mut problems = Vec::new();
    for (module, imported) in imports(&modules) {
        for other in imported.into_iter().filter(|other| depth(other) > depth(module)) {
            problems.push(format!("{} imports from {}", module.join("::"), other.join("::")));
        }
    }
    assert!(problems.is_empty(), "these import from a room below them:\n{}", problems.join("\n"));
    assert_eq!(modules.keys().map(depth).collect::<BTreeSet<_>>().len(), ROOMS.len(), "a room is empty");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let modules = modules();
    let mut imports = imports(&modules);
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > modules.len(), "hardly any import is found");
    // What imports nothing that is left is in no circle.
    loop {
        let before = imports.len();
        let left: BTreeSet<&Module> = imports.keys().copied().collect();
        imports.retain(|_, imported| imported.iter().any(|other| left.contains(other)));
        if imports.len() == before {
            break;
        }
    }
    // Nor is what nothing imports that is left.
    loop {
        let before = imports.len();
        let imported: BTreeSet<&Module> = imports.values().flatten().copied().collect();
        imports.retain(|module, _| imported.contains(module));
        if imports.len() == before {
            break;
        }
    }
    let left: BTreeSet<&Module> = imports.keys().copied().collect();
    let lines: Vec<String> = imports
        .iter()
        .flat_map(|(module, imported)| {
            imported.intersection(&left).map(|other| format!("{} imports from {}", module.join("::"), other.join("::")))
        })
        .collect();
    assert!(lines.is_empty(), "these import each other in a circle:\n{}", lines.join("\n"));
}

#[test]
fn the_docs_of_the_crate_list_the_rooms_in_order() {
    let docs = include_str!("../src/lib.rs");
    let listed: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("//! - [`"))
        .filter_map(|line| line.split('`').next())
        .collect();
    assert_eq!(listed, ROOMS);
}
