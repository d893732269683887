//! The events of the monitor.

use chrono::{DateTime, NaiveDate};
use platform::event::EventError;
use platform::lambda::day_of;
use serde_json::Value;

/// Decodes an event, and returns the day in New York on which it came; none means now. A schedule, EventBridge's "Object Created" for the
/// summary of a predicted file, and `{"now": "2021-06-01"}`, whose day may be left out, are known.
///
/// # Errors
/// [`EventError`] for any other event.
pub fn day_of_event(event: &Value) -> Result<Option<NaiveDate>, EventError> {
    let unknown =
        || EventError::new("a scheduled event, a created summary or {\"now\": \"yyyy-mm-dd\"}", event);
    let fields = event.as_object().ok_or_else(unknown)?;
    if fields.contains_key("detail-type") {
        let time = event["time"].as_str().and_then(|time| DateTime::parse_from_rfc3339(time).ok());
        return Ok(Some(day_of(time.ok_or_else(unknown)?.to_utc())));
    }
    if fields.keys().any(|name| name != "now") {
        return Err(unknown());
    }
    match &event["now"] {
        Value::Null => Ok(None),
        Value::String(day) => day.parse().map(Some).map_err(|_| unknown()),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample(name: &str) -> Value {
        let path = format!("{}/../../infra/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_day_is_stated_or_that_of_the_event_in_new_york() {
        let day = |text: &str| Ok(text.parse().ok());
        assert_eq!(day_of_event(&sample("monitor-now")), day("2021-06-01"));
        assert_eq!(day_of_event(&sample("monitor-summary")), day("2021-06-01"));
        assert_eq!(
            day_of_event(&json!({"detail-type": "x", "time": "2021-06-01T02:00:00Z"})),
            day("2021-05-31")
        );
        assert_eq!(day_of_event(&json!({})), Ok(None));
        for bad in [
            json!({"now": "soon"}),
            json!({"now": 1}),
            json!({"day": "2021-06-01"}),
            json!([]),
            json!({"detail-type": "x"}),
        ] {
            assert!(day_of_event(&bad).is_err(), "{bad}");
        }
    }
}
