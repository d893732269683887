//! Classification of errors at an edge.

/// What callers need to know of an error at an edge.
pub trait Classified: std::error::Error {
    /// Returns a stable name such as `Store.Throttled`, for logs, alarms and reason files.
    fn error_type(&self) -> &'static str;
    /// Returns whether the same call may succeed later.
    fn is_transient(&self) -> bool;
}

/// Joins an error and all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    line
}
