//! Reads and writes JSON documents.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Condition, ETag, Get, ObjectKey, Store, StoreError};

/// Reads the document at `key` with its ETag; returns `None` if there is no object.
///
/// # Errors
/// Those of the store; [`StoreError::Document`] for bytes that are not a JSON document of type `T`.
pub async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    key: &ObjectKey,
) -> Result<Option<(T, ETag)>, StoreError> {
    let object = match store.get(key, Get::default()).await {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    Ok(Some((parse(key, &object.bytes)?, object.etag)))
}

/// Parses the document that was read at `key`.
///
/// # Errors
/// [`StoreError::Document`] for bytes that are not a JSON document of type `T`.
pub fn parse<T: DeserializeOwned>(key: &ObjectKey, bytes: &[u8]) -> Result<T, StoreError> {
    let refused = |source| StoreError::Document { operation: "reading", key: key.to_string(), source };
    serde_json::from_slice(bytes).map_err(refused)
}

/// Serializes `document`, which is to be written at `key`, as indented JSON.
///
/// # Errors
/// [`StoreError::Document`] for a value that JSON cannot represent.
pub fn bytes<T: Serialize>(key: &ObjectKey, document: &T) -> Result<Bytes, StoreError> {
    let refused = |source| StoreError::Document { operation: "writing", key: key.to_string(), source };
    serde_json::to_vec_pretty(document).map(Bytes::from).map_err(refused)
}

/// Serializes `document` as one line of a JSON Lines file, which is to be written at `key`.
///
/// # Errors
/// [`StoreError::Document`] for a value that JSON cannot represent.
pub fn line<T: Serialize>(key: &ObjectKey, document: &T) -> Result<Vec<u8>, StoreError> {
    let refused = |source| StoreError::Document { operation: "writing", key: key.to_string(), source };
    let mut line = serde_json::to_vec(document).map_err(refused)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes `document` to `key`, if the condition holds.
///
/// # Errors
/// Those of the store; [`StoreError::Document`] for a value that JSON cannot represent.
pub async fn write<T: Serialize + Sync>(
    store: &dyn Store,
    key: &ObjectKey,
    document: &T,
    condition: Condition,
) -> Result<ETag, StoreError> {
    store.put(key, bytes(key, document)?, condition).await
}

/// Writes `document` to `key` in one line, if the condition holds: a document of many numbers is a sixth of what it is with indents.
///
/// # Errors
/// Those of [`write`].
pub async fn write_line<T: Serialize + Sync>(
    store: &dyn Store,
    key: &ObjectKey,
    document: &T,
    condition: Condition,
) -> Result<ETag, StoreError> {
    store.put(key, Bytes::from(line(key, document)?), condition).await
}

/// What [`leaves`] makes of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrays {
    /// A leaf.
    Whole,
    /// A branch; positions from 0 are its names.
    ByPosition,
}

/// The values of a document that have none below them, by their path: names joined by dots.
pub fn leaves(document: &Value, arrays: Arrays) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let mut branches = vec![(String::new(), document)];
    while let Some((path, value)) = branches.pop() {
        let below = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        match (value, arrays) {
            (Value::Object(fields), _) => {
                branches.extend(fields.iter().map(|(name, value)| (below(name), value)));
            }
            (Value::Array(values), Arrays::ByPosition) => {
                let numbered = values.iter().enumerate();
                branches.extend(numbered.map(|(at, value)| (below(&at.to_string()), value)));
            }
            (leaf, _) => drop(leaves.insert(path, leaf.clone())),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_found_by_its_path() {
        let document = serde_json::json!({"a": {"b": 1, "c": [2, {"d": null}]}, "e": "x"});
        let paths = |arrays| leaves(&document, arrays).into_keys().collect::<Vec<_>>();
        assert_eq!(paths(Arrays::Whole), ["a.b", "a.c", "e"]);
        assert_eq!(paths(Arrays::ByPosition), ["a.b", "a.c.0", "a.c.1.d", "e"]);
    }
}
