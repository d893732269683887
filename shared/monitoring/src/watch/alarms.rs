//! Joins days that ring to episodes: a fault that lasts is one alarm.

use chrono::{NaiveDate, TimeDelta};
use serde::Serialize;

use super::{DayVerdict, Signal};

/// Days without ringing after which the next one is another alarm.
pub const COOLDOWN_DAYS: i64 = 7;

/// An alarm: the first day of a signal's episode, and how long it lasted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarm {
    /// `<signal>-<day>`.
    pub id: String,
    /// The signal.
    pub signal: Signal,
    /// The first day.
    pub day: NaiveDate,
    /// The last day that rang.
    pub last_day: NaiveDate,
    /// Days that rang.
    pub days: usize,
    /// Whether the first day is a holiday or beside one.
    pub near_holiday: bool,
    /// The cause that the first day named.
    pub cause: String,
    /// What the first day's verdict was.
    pub verdict: super::Verdict,
    /// Rows of the first day.
    pub rows: u64,
}

/// Returns the alarms of `signal` in the order of their days.
pub fn alarms(verdicts: &[DayVerdict], signal: Signal) -> Vec<Alarm> {
    let mut all: Vec<Alarm> = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| verdict.of(signal).rings == Some(true)) {
        match all.last_mut() {
            Some(last) if verdict.day - last.last_day <= TimeDelta::days(COOLDOWN_DAYS) => {
                last.last_day = verdict.day;
                last.days += 1;
            }
            _ => all.push(Alarm::new(verdict, signal)),
        }
    }
    all
}

impl Alarm {
    fn new(verdict: &DayVerdict, signal: Signal) -> Self {
        let judged = verdict.of(signal).clone();
        let name = match signal {
            Signal::Quality => "quality",
            Signal::Data => "data",
            Signal::Performance => "performance",
        };
        Self {
            id: format!("{name}-{}", verdict.day),
            signal,
            day: verdict.day,
            last_day: verdict.day,
            days: 1,
            near_holiday: verdict.near_holiday,
            cause: judged.cause.clone().unwrap_or_default(),
            verdict: judged,
            rows: verdict.rows,
        }
    }
}
