//! Automatic persisted queries: a client refers to a document by its hash, and sends the whole document if the hash
//! isn't known.
//!
//! This is Apollo's protocol, which its clients and those of others use: `extensions: { persistedQuery: { version: 1,
//! sha256Hash: "…" } }`. Each process keeps the documents that it was sent, in bounded memory. A document that it has
//! evicted, or that was sent to another process, is simply sent again.

use std::fmt::Write;
use std::sync::Arc;

use async_graphql::{Extensions, Value};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use rollcall_domain::base::limits;
use sha2::Digest;

/// The typical size of a document, from which the capacity of the cache is estimated.
const USUAL_DOCUMENT: u64 = 2_000;
/// The number of the cache's shards, which are locked separately. Each has its share of the memory, and the largest
/// document must fit into one.
const PARTS: usize = 8;

/// The documents that clients can refer to by their hashes.
#[derive(Debug)]
pub struct PersistedDocuments(Cache<Sha256, Arc<str>, Bytes>);

impl PersistedDocuments {
    /// An empty cache.
    ///
    /// # Errors
    /// If the options contradict each other, which would be a bug.
    pub fn new() -> anyhow::Result<Self> {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((limits::PERSISTED_DOCUMENTS / USUAL_DOCUMENT) as usize)
            .weight_capacity(limits::PERSISTED_DOCUMENTS)
            .shards(PARTS)
            .build()?;
        Ok(Self(Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default())))
    }

    /// The document with this hash.
    pub fn get(&self, hash: &Sha256) -> Option<String> {
        self.0.get(hash).map(|document| document.to_string())
    }

    /// Stores a document under its hash. Others may be evicted.
    pub fn insert(&self, hash: Sha256, document: &str) {
        self.0.insert(hash, document.into());
    }
}

/// The size of a document in the cache.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Sha256, Arc<str>> for Bytes {
    fn weight(&self, _: &Sha256, document: &Arc<str>) -> u64 {
        (document.len() + size_of::<Sha256>() + size_of::<Arc<str>>()) as u64
    }
}

/// The hash of a document, as hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sha256(String);

impl Sha256 {
    /// The hash of a document.
    pub fn of(document: &str) -> Self {
        let mut digits = String::with_capacity(64);
        for byte in sha2::Sha256::digest(document.as_bytes()) {
            // Writing to a String never fails.
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits)
    }

    /// The hash by which a request refers to its document.
    ///
    /// # Errors
    /// If the extension is malformed. The error says what it should look like.
    pub fn named_by(extensions: &Extensions) -> Result<Option<Self>, &'static str> {
        let extension = match extensions.get("persistedQuery") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(extension)) => extension,
            Some(_) => return Err(FORM),
        };
        match extension.get("version") {
            Some(Value::Number(version)) if version.as_f64() == Some(1.0) => {}
            _ => return Err(FORM),
        }
        match extension.get("sha256Hash") {
            Some(Value::String(hash)) if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(Some(Self(hash.to_ascii_lowercase())))
            }
            _ => Err(FORM),
        }
    }
}

const FORM: &str = "`extensions.persistedQuery` must be { version: 1, sha256Hash }, the hash as 64 hexadecimal digits.";
