//! Keyset pagination. A cursor is the sort key of an item, so that a page costs the same wherever it is in the list.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::error::{Error, Result};
use crate::base::limits;

/// The part of a list that a request asks for, as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PageRequest {
    /// The number of items from the start, or after `after`.
    pub first: Option<i32>,
    /// The cursor of the item that precedes the page.
    pub after: Option<String>,
    /// The number of items from the end, or before `before`.
    pub last: Option<i32>,
    /// The cursor of the item that follows the page.
    pub before: Option<String>,
}

/// A page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// The items with their cursors, in the order of the list.
    pub items: Vec<(String, T)>,
    /// Whether there are more items after this page.
    pub has_next: bool,
    /// Whether there are more items before this page.
    pub has_previous: bool,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: Vec::new(), has_next: false, has_previous: false }
    }
}

impl<T> Page<T> {
    /// The same page, with items made from references to these.
    pub fn map_ref<U>(&self, f: impl Fn(&T) -> U) -> Page<U> {
        Page {
            items: self.items.iter().map(|(cursor, item)| (cursor.clone(), f(item))).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }

    /// The same page, with items made from these.
    pub fn map<U>(self, f: impl Fn(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(|(cursor, item)| (cursor, f(item))).collect(),
            has_next: self.has_next,
            has_previous: self.has_previous,
        }
    }
}

/// A parsed request, with what a query needs to fetch the page.
#[derive(Debug)]
pub(crate) struct Slice<K> {
    limit: i64,
    /// Whether the page is read from the end.
    pub backward: bool,
    /// Only items after this key.
    pub after: Option<K>,
    /// Only items before this key.
    pub before: Option<K>,
}

impl PageRequest {
    /// Checks that the limit and the cursors are valid for a list with these keys. This happens before the page is
    /// queried together with the pages of others.
    pub fn check<K: DeserializeOwned>(&self) -> Result<()> {
        self.slice::<K>().map(|_| ())
    }

    pub(crate) fn slice<K: DeserializeOwned>(&self) -> Result<Slice<K>> {
        self.slice_up_to(limits::MAX_PAGE)
    }

    /// Like [`PageRequest::slice`], for a list with longer pages.
    pub(crate) fn slice_up_to<K: DeserializeOwned>(&self, most: i64) -> Result<Slice<K>> {
        let backward = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(Error::BadRequest("name `first` or `last`, not both".to_owned())),
            (None, Some(_)) => true,
            // `before` alone asks for the items just before it.
            (None, None) => given(self.before.as_ref()).is_some() && given(self.after.as_ref()).is_none(),
            (Some(_), None) => false,
        };
        let name = if backward { "last" } else { "first" };
        let limit = self.first.or(self.last).map_or(limits::DEFAULT_PAGE, i64::from);
        if !(0..=most).contains(&limit) {
            return Err(Error::BadRequest(format!("`{name}` must be 0 to {most}")));
        }
        Ok(Slice {
            limit,
            backward,
            after: cursor("after", self.after.as_ref())?,
            before: cursor("before", self.before.as_ref())?,
        })
    }
}

/// An empty cursor counts as none, since some clients send it for the first page.
fn given(cursor: Option<&String>) -> Option<&str> {
    cursor.map(String::as_str).filter(|cursor| !cursor.is_empty())
}

fn cursor<K: DeserializeOwned>(name: &str, cursor: Option<&String>) -> Result<Option<K>> {
    let Some(cursor) = given(cursor) else { return Ok(None) };
    URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|json| serde_json::from_slice(&json).ok()).map(Some).ok_or_else(|| {
        Error::BadRequest(format!("`{name}` is not a cursor of this list; take endCursor or startCursor of a page"))
    })
}

/// The cursor of an item with this sort key.
pub(crate) fn cursor_of(key: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(key).map_err(|_| Error::Bug("sort keys are plain"))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

impl<K: Serialize> Slice<K> {
    /// The number of rows to fetch: one more than the page has, to see whether there are more.
    pub(crate) fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Begins to collect the rows that a page needs from candidates.
    pub(crate) fn filling<T>(&self) -> Result<Filling<T>> {
        let wanted = usize::try_from(self.fetch()).map_err(|_| Error::Bug("a page is small"))?;
        Ok(Filling { found: Vec::new(), wanted, most: Some(self.fetch()) })
    }

    /// Merges the rows of several ranges of one list, each of which was fetched separately, into reading direction. A
    /// row that moved from one range to another in the meantime is included only once.
    pub(crate) fn merge<T, O: Ord>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> O) -> Vec<T> {
        rows.sort_by_key(&key);
        rows.dedup_by_key(|row| key(row));
        if self.backward {
            rows.reverse();
        }
        rows
    }

    /// Makes a page from fetched rows, which are in reading direction.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Result<Page<T>> {
        let limit = usize::try_from(self.limit).map_err(|_| Error::Bug("a page is small"))?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        if self.backward {
            rows.reverse();
        }
        let items = rows.into_iter().map(|row| Ok((cursor_of(&key(&row))?, row))).collect::<Result<_>>()?;
        let (has_next, has_previous) =
            if self.backward { (self.before.is_some(), more) } else { (more, self.after.is_some()) };
        Ok(Page { items, has_next, has_previous })
    }
}

/// The rows of a page that is filled from candidates of which few aren't wanted. The first statement reads as many as
/// the page needs, so that most pages take no other.
#[derive(Debug)]
pub(crate) struct Filling<T> {
    found: Vec<T>,
    wanted: usize,
    most: Option<i64>,
}

impl<T> Filling<T> {
    /// How many candidates to read next, after those that were read before. `None` once there is nothing more to read.
    pub(crate) fn most(&self) -> Option<i64> {
        self.most
    }

    /// Takes candidates that were read: as many as [`Self::most`] said, or fewer at the end of the list.
    pub(crate) fn take(&mut self, candidates: Vec<T>, is_wanted: impl Fn(&T) -> bool) {
        let is_end = i64::try_from(candidates.len()).is_ok_and(|read| Some(read) < self.most);
        self.found.extend(candidates.into_iter().filter(is_wanted));
        self.most = (!is_end && self.found.len() < self.wanted).then_some(limits::LOOKED_AT);
    }

    /// The rows for [`Slice::page`].
    pub(crate) fn rows(mut self) -> Vec<T> {
        self.found.truncate(self.wanted);
        self.found
    }
}

/// Restricts a boxed query to the slice, and orders it, by an id column.
macro_rules! by_id {
    ($query:expr, $slice:expr, $column:expr) => {{
        let mut query = $query;
        if let Some(after) = $slice.after {
            query = query.filter($column.gt(after));
        }
        if let Some(before) = $slice.before {
            query = query.filter($column.lt(before));
        }
        query = if $slice.backward { query.order($column.desc()) } else { query.order($column.asc()) };
        query.limit($slice.fetch())
    }};
}
pub(crate) use by_id;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rows that a query would return.
    fn fetch(list: &[i64], slice: &Slice<i64>) -> Vec<i64> {
        let mut rows: Vec<i64> = list
            .iter()
            .copied()
            .filter(|n| slice.after.is_none_or(|after| *n > after) && slice.before.is_none_or(|before| *n < before))
            .collect();
        if slice.backward {
            rows.reverse();
        }
        rows.truncate(usize::try_from(slice.fetch()).unwrap());
        rows
    }

    proptest! {
        #[test]
        fn pages_in_either_direction_give_the_whole_list(length in 0..300_i64, size in 1..=100_i32, backward in any::<bool>()) {
            let list: Vec<i64> = (0..length).collect();
            let mut found = Vec::new();
            let mut cursor = None;
            loop {
                let request = if backward {
                    PageRequest { last: Some(size), before: cursor.clone(), ..PageRequest::default() }
                } else {
                    PageRequest { first: Some(size), after: cursor.clone(), ..PageRequest::default() }
                };
                let slice = request.slice::<i64>().unwrap();
                let page = slice.page(fetch(&list, &slice), |n| *n).unwrap();
                let items: Vec<i64> = page.items.iter().map(|(_, n)| *n).collect();
                if backward {
                    found.splice(0..0, items);
                    cursor = page.items.first().map(|(cursor, _)| cursor.clone());
                    if !page.has_previous { break }
                } else {
                    found.extend(items);
                    cursor = page.items.last().map(|(cursor, _)| cursor.clone());
                    if !page.has_next { break }
                }
            }
            prop_assert_eq!(found, list);
        }

        #[test]
        fn no_cursor_makes_the_parser_panic(text in ".*") {
            let _ = PageRequest { after: Some(text), ..PageRequest::default() }.slice::<(String, i64)>();
        }
    }

    #[test]
    fn pages_are_limited() {
        for wrong in [-1, 101, i32::MAX] {
            assert!(PageRequest { first: Some(wrong), ..PageRequest::default() }.slice::<i64>().is_err());
        }
        assert!(PageRequest { first: Some(1), last: Some(1), ..PageRequest::default() }.slice::<i64>().is_err());
    }
}
