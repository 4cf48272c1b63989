//! Relay connections for the domain's pages.
//!
//! async-graphql takes a field's arguments, and their descriptions, from the parameters of its method. Each list
//! therefore spells out the pagination arguments, and the functions here make a [`PageRequest`] of them. A test
//! ensures that the descriptions are the same everywhere.

use async_graphql::{Context, SimpleObject};
use rollcall_domain::base::page::{Page, PageRequest};

use super::error::top_level;

/// The position of a page in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// Whether there are more items after this page. Query them with `first` and `after: endCursor`.
    pub has_next_page: bool,
    /// Whether there are more items before this page. Query them with `last` and `before: startCursor`.
    pub has_previous_page: bool,
    /// The cursor of the first item on the page.
    pub start_cursor: Option<String>,
    /// The cursor of the last item on the page.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// The position of a page of the domain.
    pub fn of<T>(page: &Page<T>) -> Self {
        Self {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: page.items.first().map(|(cursor, _)| cursor.clone()),
            end_cursor: page.items.last().map(|(cursor, _)| cursor.clone()),
        }
    }
}

/// A request for a page counted from the start of the list.
pub fn forward(first: Option<i32>, after: Option<String>) -> PageRequest {
    PageRequest { first, after, ..PageRequest::default() }
}

/// A request for a page counted from the start or from the end of the list.
pub fn either_way(first: Option<i32>, after: Option<String>, last: Option<i32>, before: Option<String>) -> PageRequest {
    PageRequest { first, after, last, before }
}

/// Whether the query selects `totalCount`, which needs a statement of its own.
pub fn wants_total(context: &Context<'_>) -> bool {
    context.look_ahead().field("totalCount").exists()
}

/// The number of items in the whole list. The statement runs only if the query selects `totalCount`; otherwise the
/// result is 0.
///
/// # Errors
/// The statement's errors.
pub async fn total(
    context: &Context<'_>,
    count: impl Future<Output = rollcall_domain::Result<i64>>,
) -> async_graphql::Result<i64> {
    match wants_total(context) {
        true => count.await.map_err(top_level),
        false => Ok(0),
    }
}

/// Defines the connection and the edge of a node type.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty, $what:literal $(, $total:ident)?) => {
        pub struct $connection {
            edges: Vec<$edge>,
            page_info: $crate::graphql::connection::PageInfo,
            $($total: i64,)?
        }

        #[doc = concat!("A page of ", $what, ".")]
        #[async_graphql::Object]
        impl $connection {
            #[doc = concat!("The ", $what, " with their cursors.")]
            async fn edges(&self) -> &[$edge] {
                &self.edges
            }

            #[doc = concat!("The ", $what, " without their cursors.")]
            async fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            /// The position of this page in the list.
            async fn page_info(&self) -> &$crate::graphql::connection::PageInfo {
                &self.page_info
            }

            $(
                #[doc = concat!("The number of ", $what, " in the whole list.")]
                async fn $total(&self) -> i64 {
                    self.$total
                }
            )?
        }

        #[doc = concat!("One of the ", $what, " in a page.")]
        #[derive(async_graphql::SimpleObject)]
        pub struct $edge {
            /// The item's position in the list, for use as `after` or `before`.
            cursor: String,
            /// The item itself.
            node: $node,
        }

        impl $connection {
            /// Makes a connection of a page.
            pub fn new(page: rollcall_domain::base::page::Page<$node> $(, $total: i64)?) -> Self {
                let page_info = $crate::graphql::connection::PageInfo::of(&page);
                let edges = page.items.into_iter().map(|(cursor, node)| $edge { cursor, node }).collect();
                Self { edges, page_info $(, $total)? }
            }
        }
    };
}
pub(crate) use connection;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use async_graphql::parser::parse_schema;
    use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

    #[test]
    fn the_arguments_of_pages_are_described_alike() {
        let mut described = BTreeSet::new();
        for definition in parse_schema(crate::graphql::sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(definition) = definition else { continue };
            let TypeKind::Object(object) = definition.node.kind else { continue };
            for field in object.fields {
                let arguments = field.node.arguments;
                let is_argument = |name| arguments.iter().any(|argument| argument.node.name.node == name);
                let (pages, both_ways) = (is_argument("first"), is_argument("last"));
                for argument in arguments.iter().filter(|_| pages) {
                    let argument = &argument.node;
                    if let name @ ("first" | "after" | "last" | "before") = argument.name.node.as_str() {
                        let description = argument.description.as_ref().map(|text| text.node.clone());
                        described.insert((
                            both_ways,
                            name.to_owned(),
                            argument.ty.node.to_string(),
                            description.unwrap_or_default(),
                        ));
                    }
                }
            }
        }
        let described =
            described.iter().map(|(both_ways, name, ty, text)| (*both_ways, name.as_str(), ty.as_str(), text.as_str()));
        let expected = [
            (false, "after", "String", "The cursor before the page."),
            // Of the feed over all organizations.
            (false, "first", "Int", "How many, at most 1,000; 20 where left out."),
            (false, "first", "Int", "How many, at most 100; 20 where left out."),
            (true, "after", "String", "The cursor before the page."),
            (true, "before", "String", "The cursor behind the page."),
            (true, "first", "Int", "How many from the start, at most 100; 20 where left out."),
            (true, "last", "Int", "How many from the end, at most 100."),
        ];
        assert_eq!(described.collect::<Vec<_>>(), expected);
    }
}
