//! Times of trips: New York local time, without a zone, as the TLC writes it.
//!
//! A time that states its zone or offset is an instant, and is converted by the time-zone database. When clocks go back in November, two
//! instants an hour apart become the same local time; when they go forward in March, no instant becomes a local time of the hour that
//! is left out. A local time is never converted to an instant, so that neither makes a trip invalid; a trip across the change has a
//! duration that is an hour off, as in the TLC's files.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use jiff::Timestamp;
use jiff::tz::{self, TimeZone};

static NEW_YORK: TimeZone = tz::get!("America/New_York");

/// Parses a time as New York local time: with a `T` or a blank, with or without seconds and their fraction. With an offset or `Z` at its
/// end it is an instant, which is converted; a zone's name in brackets behind the offset is ignored.
pub fn local_time(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim();
    if let Some(usual) = usual_time(text) {
        return Some(usual);
    }
    let text = text.split_once('[').map_or(text, |(time, _)| time);
    // Between day and hour only: UTC has a T, too.
    let text = match text.split_once(['T', 't']) {
        Some((day, hour)) if day.len() == "2021-02-03".len() => format!("{day} {hour}"),
        _ => text.to_string(),
    };
    let wall = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    if let Some(time) = wall.iter().find_map(|format| NaiveDateTime::parse_from_str(&text, format).ok()) {
        return Some(time);
    }
    let zoned = match text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("UTC")) {
        Some(utc) => format!("{}+0000", utc.trim_end()),
        None => text,
    };
    let formats =
        ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M %#z"];
    let instant = formats.iter().find_map(|format| DateTime::parse_from_str(&zoned, format).ok())?;
    new_york(instant.naive_utc())
}

/// Parses `2021-02-03T08:15:00`, which nearly all clients write, many times faster than by formats; `None` for any other form.
fn usual_time(text: &str) -> Option<NaiveDateTime> {
    let bytes: &[u8; 19] = text.as_bytes().try_into().ok()?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _] = bytes else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits
            .iter()
            .try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let day =
        NaiveDate::from_ymd_opt(number(&bytes[..4])? as i32, number(&bytes[5..7])?, number(&bytes[8..10])?)?;
    // A leap second is for the formats.
    day.and_hms_opt(number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..])?)
}

/// Converts an instant, stated as UTC, to New York local time, to the microsecond; `None` outside of the years -9999 to 9999.
pub fn new_york(utc: NaiveDateTime) -> Option<NaiveDateTime> {
    let micros = utc.and_utc().timestamp_micros();
    let offset = NEW_YORK.to_offset(Timestamp::from_microsecond(micros).ok()?);
    utc.checked_add_signed(chrono::TimeDelta::seconds(offset.seconds().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_are_read_as_they_are_and_instants_converted() {
        for (text, expected) in [
            ("2021-02-03T08:15:00", Some("2021-02-03 08:15:00")),
            (" 2021-02-03 08:15 ", Some("2021-02-03 08:15:00")),
            ("2021-02-03T13:15:00Z", Some("2021-02-03 08:15:00")),
            ("2021-02-03 13:15:00.250+00:00", Some("2021-02-03 08:15:00.250")),
            ("2021-02-03 13:15:00+00", Some("2021-02-03 08:15:00")),
            ("2021-02-03 13:15:00 UTC", Some("2021-02-03 08:15:00")),
            ("2021-02-03T14:15:00+0100", Some("2021-02-03 08:15:00")),
            ("2021-02-03T08:15:00-05:00[America/New_York]", Some("2021-02-03 08:15:00")),
            ("2021-07-03T12:15Z", Some("2021-07-03 08:15:00")),
            ("2021-02-30T08:15:00", None),
            ("2021-02-03t24:00:00", None),
            ("2021-02-03 08:15:6", Some("2021-02-03 08:15:06")),
            ("2021-02-03 08:15:60", Some("2021-02-03 08:15:60")),
            ("2021-2-03 08:15:00", Some("2021-02-03 08:15:00")),
            ("2021-02-03 08:15:0٣", None),
            ("1612358100000", None),
            ("soon", None),
            ("", None),
        ] {
            let found = local_time(text).map(|at| at.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    /// The rules of daylight saving time in the United States: second Sunday of March, first Sunday of November.
    #[test]
    fn clocks_go_forward_and_back() {
        let local = |text| local_time(text).unwrap().to_string();
        assert_eq!(local("2021-03-14T06:59:59Z"), "2021-03-14 01:59:59");
        assert_eq!(local("2021-03-14T07:00:00Z"), "2021-03-14 03:00:00");
        assert_eq!(local("2021-11-07T05:30:00Z"), "2021-11-07 01:30:00");
        assert_eq!(local("2021-11-07T06:30:00Z"), "2021-11-07 01:30:00", "the same hour twice");
        assert_eq!(new_york(NaiveDateTime::MAX), None);
    }
}
