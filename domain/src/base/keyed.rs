//! Shared values by key. Each exists only as long as somebody holds it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A map with one shared value for each key that is in use.
#[derive(Debug)]
pub struct Keyed<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Keyed<K, V> {
    /// The value of a key: the one that somebody holds, or a new one.
    pub fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = values.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        values.retain(|_, value| value.strong_count() > 0);
        let value = Arc::new(make());
        values.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::Keyed;

    #[test]
    fn a_value_lasts_for_as_long_as_it_is_held() {
        let values = Keyed::default();
        let first = values.get("a", || 1);
        assert_eq!((*first, *values.get("a", || 2), *values.get("b", || 3)), (1, 1, 3));
        drop(first);
        assert_eq!(*values.get("a", || 4), 4);
    }
}
