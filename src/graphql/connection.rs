//! Relay connections over the domain's pages.

use async_graphql::{Context, SimpleObject};
use rollcall_domain::base::page::{Page, PageRequest};

/// Where a page lies in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// Whether there is more behind the page; ask with `first` and `after: endCursor`.
    pub has_next_page: bool,
    /// Whether there is more before the page; ask with `last` and `before: startCursor`.
    pub has_previous_page: bool,
    /// The first item's cursor.
    pub start_cursor: Option<String>,
    /// The last item's cursor.
    pub end_cursor: Option<String>,
}

impl PageInfo {
    /// Where a page lies.
    pub fn of<T>(page: &Page<T>) -> Self {
        Self {
            has_next_page: page.has_next,
            has_previous_page: page.has_previous,
            start_cursor: page.items.first().map(|(cursor, _)| cursor.clone()),
            end_cursor: page.items.last().map(|(cursor, _)| cursor.clone()),
        }
    }
}

/// A request for a page from the start.
pub fn forward(first: Option<i32>, after: Option<String>) -> PageRequest {
    PageRequest { first, after, ..PageRequest::default() }
}

/// Whether the selection asks how many items there are in all: that takes a statement of its own.
pub fn wants_total(context: &Context<'_>) -> bool {
    context.look_ahead().field("totalCount").exists()
}

/// Defines a connection and its edge over a node type.
macro_rules! connection {
    ($connection:ident, $edge:ident, $node:ty, $what:literal $(, $total:ident)?) => {
        #[doc = concat!("A page of ", $what, ".")]
        #[derive(async_graphql::SimpleObject)]
        pub struct $connection {
            #[doc = concat!("The ", $what, " with their cursors.")]
            edges: Vec<$edge>,
            #[doc = concat!("The ", $what, " alone.")]
            nodes: Vec<$node>,
            /// Where the page lies.
            page_info: $crate::graphql::connection::PageInfo,
            $(
                #[doc = concat!("How many ", $what, " the list has in all.")]
                $total: i64,
            )?
        }

        #[doc = concat!("One of the ", $what, " in a page.")]
        #[derive(async_graphql::SimpleObject)]
        pub struct $edge {
            /// Its place in the list; for `after` and `before`.
            cursor: String,
            /// The item itself.
            node: $node,
        }

        impl $connection {
            /// The connection of a page.
            pub fn new(page: rollcall_domain::base::page::Page<$node> $(, $total: i64)?) -> Self {
                let page_info = $crate::graphql::connection::PageInfo::of(&page);
                let nodes = page.items.iter().map(|(_, node)| node.clone()).collect();
                let edges = page.items.into_iter().map(|(cursor, node)| $edge { cursor, node }).collect();
                Self { edges, nodes, page_info $(, $total)? }
            }
        }
    };
}
pub(crate) use connection;
