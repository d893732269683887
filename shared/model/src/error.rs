//! What every error at an edge says of itself.

/// What callers ask of an error at an edge.
pub trait Classified: std::error::Error {
    /// A stable name such as `Store.Throttled`, for logs, alarms and reason files.
    fn error_type(&self) -> &'static str;
    /// Whether the same call may succeed later.
    fn is_transient(&self) -> bool;
}

/// An error with all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    line
}
