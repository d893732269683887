//! Reads a dropped file in ranges, all of the version that was present when reading began.

use std::ops::Range;

use bytes::Bytes;
use platform::event::ObjectCreated;
use store::{ETag, Get, ObjectKey, Store, StoreError};

use crate::Ended;
use crate::keys::Dropped;

/// Ranges with a smaller gap are read in one request: the bytes between them cost less than a round trip.
const GAP_BYTES_MAX: u64 = 256 << 10;

pub(crate) struct PinnedObject<'a> {
    store: &'a dyn Store,
    key: ObjectKey,
    version: Option<String>,
    bytes: u64,
    etag: ETag,
}

impl<'a> PinnedObject<'a> {
    /// Opens the file, which must still have the ETag of the event.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Precondition`] if it was replaced.
    pub(crate) async fn open(
        store: &'a dyn Store,
        object: &ObjectCreated,
        dropped: &Dropped,
    ) -> Result<PinnedObject<'a>, StoreError> {
        let meta = store.head(dropped.key()).await?;
        if object.etag.as_ref().is_some_and(|etag| *etag != meta.etag.0) {
            return Err(StoreError::Precondition { operation: "opening", key: object.key.clone() });
        }
        let version = object.version.clone();
        Ok(Self { store, key: dropped.key().clone(), version, bytes: meta.bytes, etag: meta.etag })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn etag(&self) -> &ETag {
        &self.etag
    }

    /// Returns the bytes of each range, reading close ranges in one request.
    pub(crate) async fn fetch(&self, ranges: Vec<Range<u64>>) -> Result<Vec<(Range<u64>, Bytes)>, Ended> {
        let mut fetched = Vec::with_capacity(ranges.len());
        for (span, ranges) in spans(ranges) {
            let what = Get {
                range: Some(span.clone()),
                if_match: Some(self.etag.clone()),
                version: self.version.clone(),
                ..Get::default()
            };
            let object = match self.store.get(&self.key, what).await {
                Err(StoreError::NotFound { .. } | StoreError::Precondition { .. }) => {
                    return Err(Ended::Gone);
                }
                other => other?,
            };
            let slice = |range: &Range<u64>| {
                let (start, end) = ((range.start - span.start) as usize, (range.end - span.start) as usize);
                (end <= object.bytes.len()).then(|| object.bytes.slice(start..end))
            };
            for range in ranges {
                let bytes = slice(&range).ok_or_else(|| StoreError::Unavailable {
                    operation: "reading a range of",
                    key: self.key.to_string(),
                    source: format!("{} bytes came of {span:?}", object.bytes.len()).into(),
                })?;
                fetched.push((range, bytes));
            }
        }
        Ok(fetched)
    }
}

/// Groups ranges into spans, and returns each span with the ranges that it covers.
fn spans(mut ranges: Vec<Range<u64>>) -> Vec<(Range<u64>, Vec<Range<u64>>)> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut spans: Vec<(Range<u64>, Vec<Range<u64>>)> = Vec::new();
    for range in ranges {
        match spans.last_mut().filter(|(span, _)| range.start <= span.end + GAP_BYTES_MAX) {
            Some((span, covered)) => {
                span.end = span.end.max(range.end);
                covered.push(range);
            }
            None => spans.push((range.clone(), vec![range])),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_read_at_once() {
        let far = GAP_BYTES_MAX * 10;
        let found = spans(vec![far..far + 5, 100..200, 0..50, far + 9..far + 10]);
        assert_eq!(
            found,
            [(0..200, vec![0..50, 100..200]), (far..far + 10, vec![far..far + 5, far + 9..far + 10])]
        );
    }
}
