//! What people read of an alarm and of a verdict.

use chrono::NaiveDate;
use monitoring::watch::{Signal, Verdict};

use crate::alarms::{AlarmRecord, Present};

/// Returns the subject line of an alarm.
pub(crate) fn subject(record: &AlarmRecord) -> String {
    let signal = match record.signal {
        Signal::Quality => "data quality",
        Signal::Data => "drift",
        Signal::Performance => "performance",
    };
    format!("tripcast: {signal} on {}: {}", record.day, record.cause)
}

/// Returns the text of an alarm: value, threshold, rows, what moved, and the commands for more.
pub(crate) fn text(record: &AlarmRecord, present: Present<'_>) -> String {
    let judged = &record.verdict;
    let mut lines = vec![format!("{}.", record.cause), String::new()];
    let mut line = |name: &str, value: String| lines.push(format!("{name}: {value}"));
    line("alarm", record.id.clone());
    line(
        "day",
        format!(
            "{} ({} rows{})",
            record.day,
            record.rows,
            if record.near_holiday { ", near a holiday" } else { "" }
        ),
    );
    if let (Some(score), Some(threshold)) = (judged["score"].as_f64(), judged["threshold"]["value"].as_f64())
    {
        let fit = &judged["threshold"];
        line("score", format!("{score:.2}, above the threshold of {threshold:.2}"));
        line(
            "threshold",
            format!(
                "fitted to {} past days, one in {} ordinary days is expected to pass it, {} of them did",
                fit["days"], fit["one_in_days"], fit["rung_in_past"]
            ),
        );
    }
    for moved in judged["moved"].as_array().into_iter().flatten() {
        let percent = |name: &str| 100.0 * moved[name].as_f64().unwrap_or_default();
        line(
            "moved",
            format!(
                "{} from {:.2} % to {:.2} %",
                moved["what"].as_str().unwrap_or_default(),
                percent("usual"),
                percent("share")
            ),
        );
    }
    for finding in judged["findings"].as_array().into_iter().flatten() {
        line("finding", finding["text"].as_str().unwrap_or_default().into());
    }
    line("report", present.command.into());
    line("real or not", format!("{} --alarm {} --real yes|no", present.acknowledge, record.id));
    lines.join("\n")
}

/// Says what a judged day means in one sentence.
pub(crate) fn sentence(signal: Signal, judged: &Verdict, day: NaiveDate) -> String {
    let name = match signal {
        Signal::Quality => "Data quality",
        Signal::Data => "Drift",
        Signal::Performance => "Performance",
    };
    match (judged.rings, &judged.cause, &judged.no_verdict) {
        (Some(true), Some(cause), _) => format!("{name}: an alarm on {day}: {cause}."),
        (Some(_), ..) => format!("{name}: as expected on {day}."),
        (None, _, Some(why)) => format!("{name}: no verdict on {day}, since {why}."),
        (None, ..) => format!("{name}: no verdict on {day}."),
    }
}
