//! Days and times on the command line.

use chrono::{DateTime, NaiveDate, Utc};

/// Reads a day, for clap.
pub fn day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "expected a day, such as 2021-03-15".into())
}

/// Reads a time, for clap.
pub fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| "expected RFC 3339, such as 2021-03-15T09:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_stated() {
        assert_eq!(day("2021-03-15").map(|day| day.to_string()), Ok("2021-03-15".into()));
        for text in ["2021-03-15T09:00:00", "2021-02-30", "15.03.2021", ""] {
            assert_eq!(day(text), Err("expected a day, such as 2021-03-15".into()), "{text}");
        }
        assert!(time("2021-03-15T09:00:00Z").is_ok());
        assert!(time("2021-03-15").is_err_and(|error| error.contains("expected RFC 3339")));
    }
}
