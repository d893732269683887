//! A store in an S3 bucket.

use std::error::Error;
use std::time::SystemTime;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::{Condition, ETag, Get, Object, ObjectKey, ObjectMeta, Store, StoreError, Upload};

/// Objects in a bucket whose keys start with a prefix.
#[derive(Debug, Clone)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
}

impl S3Store {
    /// Makes a store of the objects of `bucket` below `prefix`; the keys of the store do not include the prefix.
    pub fn new(config: &SdkConfig, bucket: String, prefix: String) -> Self {
        Self { client: Client::new(config), bucket, prefix }
    }

    fn full(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }
}

#[async_trait]
impl Store for S3Store {
    async fn get(&self, key: &ObjectKey, what: Get) -> Result<Object, StoreError> {
        let operation = "reading";
        let range = what.range;
        let asked =
            range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let sent = self.client.get_object().bucket(&self.bucket).key(self.full(key)).set_range(asked);
        let sent =
            sent.set_if_match(what.if_match.map(quoted)).set_if_none_match(what.if_none_match.map(quoted));
        let found =
            sent.set_version_id(what.version).send().await.map_err(|error| failure(operation, key, error))?;
        let etag = etag(found.e_tag);
        // An implementation of S3 without ranges (of versions, say) sends the whole object and no content range.
        let not_cut = range.filter(|_| found.content_range.is_none());
        let body = found.body.collect().await;
        let bytes = body.map_err(|error| unavailable(operation, key, error))?.into_bytes();
        let bytes = match not_cut {
            None => bytes,
            Some(range) => {
                let [from, to] = [range.start, range.end].map(|at| bytes.len().min(at as usize));
                bytes.slice(from..to.max(from))
            }
        };
        Ok(Object { bytes, etag })
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, StoreError> {
        let sent = self.client.head_object().bucket(&self.bucket).key(self.full(key)).send();
        let found = sent.await.map_err(|error| failure("looking at", key, error))?;
        let bytes = u64::try_from(found.content_length.unwrap_or_default()).unwrap_or_default();
        let modified = found.last_modified.and_then(|at| SystemTime::try_from(at).ok());
        Ok(ObjectMeta { key: key.clone(), bytes, etag: etag(found.e_tag), modified })
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes, condition: Condition) -> Result<ETag, StoreError> {
        let swapping = matches!(condition, Condition::IfMatch(_));
        let sent =
            self.client.put_object().bucket(&self.bucket).key(self.full(key)).body(ByteStream::from(bytes));
        let sent = match condition {
            Condition::Always => sent,
            Condition::IfAbsent => sent.if_none_match("*"),
            Condition::IfMatch(etag) => sent.if_match(quoted(etag)),
        };
        let put = sent.send().await.map_err(|error| match failure("writing", key, error) {
            // S3 answers NoSuchKey if there is no object to compare with; the precondition does not hold then.
            StoreError::NotFound { operation, key } if swapping => {
                StoreError::Precondition { operation, key }
            }
            other => other,
        })?;
        Ok(etag(put.e_tag))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let listing = ObjectKey(prefix.to_string());
        let sent =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(format!("{}{prefix}", self.prefix));
        let mut pages = sent.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            for object in
                page.map_err(|error| failure("listing", &listing, error))?.contents.unwrap_or_default()
            {
                let key = object.key.unwrap_or_default();
                let key = ObjectKey::new(key.strip_prefix(&self.prefix).unwrap_or(&key))?;
                let bytes = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
                let modified = object.last_modified.and_then(|at| SystemTime::try_from(at).ok());
                found.push(ObjectMeta { key, bytes, etag: etag(object.e_tag), modified });
            }
        }
        Ok(found)
    }

    async fn upload(&self, key: &ObjectKey) -> Result<Box<dyn Upload>, StoreError> {
        let sent = self.client.create_multipart_upload().bucket(&self.bucket).key(self.full(key)).send();
        let begun = sent.await.map_err(|error| failure("beginning", key, error))?;
        let upload_id = begun.upload_id.unwrap_or_default();
        Ok(Box::new(S3Upload { store: self.clone(), key: key.clone(), upload_id, parts: Vec::new() }))
    }
}

struct S3Upload {
    store: S3Store,
    key: ObjectKey,
    upload_id: String,
    parts: Vec<CompletedPart>,
}

#[async_trait]
impl Upload for S3Upload {
    async fn part(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let number = self.parts.len() as i32 + 1;
        let sent = self.store.client.upload_part().bucket(&self.store.bucket).key(self.store.full(&self.key));
        let sent = sent.upload_id(&self.upload_id).part_number(number).body(ByteStream::from(bytes));
        let put = sent.send().await.map_err(|error| failure("writing a part of", &self.key, error))?;
        self.parts.push(CompletedPart::builder().part_number(number).set_e_tag(put.e_tag).build());
        Ok(())
    }

    async fn complete(self: Box<Self>) -> Result<ETag, StoreError> {
        let sent = self.store.client.complete_multipart_upload().bucket(&self.store.bucket);
        let sent = sent.key(self.store.full(&self.key)).upload_id(&self.upload_id);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts)).build();
        let done = sent.multipart_upload(parts).send().await;
        Ok(etag(done.map_err(|error| failure("completing", &self.key, error))?.e_tag))
    }

    async fn abort(self: Box<Self>) -> Result<(), StoreError> {
        let sent = self.store.client.abort_multipart_upload().bucket(&self.store.bucket);
        let sent = sent.key(self.store.full(&self.key)).upload_id(&self.upload_id).send();
        sent.await.map(drop).map_err(|error| failure("giving up", &self.key, error))
    }
}

fn quoted(etag: ETag) -> String {
    format!("\"{}\"", etag.0)
}

fn etag(found: Option<String>) -> ETag {
    ETag(found.unwrap_or_default().trim_matches('"').to_string())
}

// The SDK models few of these errors, so the HTTP status and the error code distinguish them.
fn failure<E>(operation: &'static str, key: &ObjectKey, error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(String::from);
    let key = key.to_string();
    match (status, code.as_deref()) {
        (Some(304), _) => StoreError::NotModified { operation, key },
        // S3 answers 409 ConditionalRequestConflict to the slower of two concurrent conditional writes.
        (Some(412), _) | (_, Some("PreconditionFailed" | "ConditionalRequestConflict")) => {
            StoreError::Precondition { operation, key }
        }
        (_, Some("NoSuchBucket")) => StoreError::Unavailable { operation, key, source: Box::new(error) },
        (Some(404), _) => StoreError::NotFound { operation, key },
        (Some(429 | 503), _) | (_, Some("SlowDown" | "Throttling" | "RequestLimitExceeded")) => {
            StoreError::Throttled { operation, key, source: Box::new(error) }
        }
        (Some(401 | 403), _) => StoreError::Denied { operation, key, source: Box::new(error) },
        _ => StoreError::Unavailable { operation, key, source: Box::new(error) },
    }
}

fn unavailable(
    operation: &'static str,
    key: &ObjectKey,
    error: impl Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Unavailable { operation, key: key.to_string(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_sdk_s3::error::ErrorMetadata;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    /// Returns the name of the error that an answer with a status and a code is.
    fn name_of(status: u16, code: Option<&str>) -> String {
        let mut error = ErrorMetadata::builder();
        if let Some(code) = code {
            error = error.code(code);
        }
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        let error = failure(
            "writing",
            &ObjectKey::new("key").unwrap(),
            SdkError::service_error(error.build(), response),
        );
        let name = format!("{error:?}");
        name.split([' ', '{']).next().unwrap().to_string()
    }

    /// The statuses and codes of <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
    #[test]
    fn each_answer_of_s3_has_its_error() {
        for (status, code, name) in [
            (304, None, "NotModified"),
            (412, None, "Precondition"),
            (412, Some("PreconditionFailed"), "Precondition"),
            (409, Some("ConditionalRequestConflict"), "Precondition"),
            (409, Some("OperationAborted"), "Unavailable"),
            (404, None, "NotFound"),
            (404, Some("NoSuchKey"), "NotFound"),
            (404, Some("NoSuchBucket"), "Unavailable"),
            (429, None, "Throttled"),
            (503, Some("SlowDown"), "Throttled"),
            (400, Some("RequestLimitExceeded"), "Throttled"),
            (403, Some("AccessDenied"), "Denied"),
            (401, None, "Denied"),
            (500, Some("InternalError"), "Unavailable"),
        ] {
            assert_eq!(name_of(status, code), name, "{status} {code:?}");
        }
    }
}
