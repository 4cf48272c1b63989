//! The order in which a document's fragments are counted.

use std::collections::HashSet;

use async_graphql::ServerError;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

use super::refusal::refusal;

/// Sorts the fragments so that each comes after those that it spreads.
///
/// # Errors
/// If a fragment spreads itself.
pub fn in_order(document: &ExecutableDocument) -> Result<Vec<&str>, ServerError> {
    enum Step<'d> {
        Enter(&'d str),
        Leave(&'d str),
    }
    let mut order = Vec::with_capacity(document.fragments.len());
    let mut open = HashSet::new();
    let mut done = HashSet::new();
    for start in document.fragments.keys() {
        let mut steps = vec![Step::Enter(start.as_str())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(name) => {
                    let Some(fragment) = document.fragments.get(name).filter(|_| !done.contains(name)) else {
                        continue;
                    };
                    if !open.insert(name) {
                        return Err(refusal(format!("the fragment {name:?} spreads itself"), Some(fragment.pos)));
                    }
                    steps.push(Step::Leave(name));
                    let mut spreads = HashSet::new();
                    collect_spreads(&fragment.node.selection_set.node, &mut spreads);
                    steps.extend(spreads.into_iter().map(Step::Enter));
                }
                Step::Leave(name) => {
                    open.remove(name);
                    done.insert(name);
                    order.push(name);
                }
            }
        }
    }
    Ok(order)
}

fn collect_spreads<'d>(set: &'d SelectionSet, spreads: &mut HashSet<&'d str>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => collect_spreads(&field.node.selection_set.node, spreads),
            Selection::InlineFragment(fragment) => collect_spreads(&fragment.node.selection_set.node, spreads),
            Selection::FragmentSpread(spread) => {
                spreads.insert(spread.node.fragment_name.node.as_str());
            }
        }
    }
}
