//! The report of a source: a JSON document, and the same as a page.

use monitoring::Profile;
use monitoring::watch::slices::slices;
use monitoring::watch::{DayVerdict, Verdict};
use report::{Plot, Point, Report, Section, Table};
use serde_json::{Value, json};

use crate::alarms::{AlarmRecord, acknowledgements, always_firing};
use crate::note::sentence;
use crate::{JudgedDays, SIGNALS, distributions};

/// Days whose slices are shown.
const REFERENCE_DAYS: usize = 28;
/// Alarms that are shown, the latest first.
const ALARMS: usize = 40;

/// Returns the report as a document for programs.
pub(crate) fn document(judged: &JudgedDays, history: &[AlarmRecord], command: &str) -> Value {
    let recent = judged.verdicts.len().saturating_sub(judged.recent.len());
    json!({
        "day": judged.last().day,
        "source": judged.source,
        "verdict": judged.last(),
        "sentences": sentences(judged),
        "alarms": history,
        "acknowledgements": acknowledgements(history),
        "always_firing": always_firing(history),
        "slices": slices(&total(judged).predictions),
        "days": &judged.verdicts[recent..],
        "unreadable": judged.unreadable,
        "command": command,
    })
}

/// Returns the report as sections for people.
pub(crate) fn page(judged: &JudgedDays, history: &[AlarmRecord], command: &str) -> Report {
    let last = judged.last();
    let mut sections = vec![verdicts(judged, last, history, command)];
    sections.extend(SIGNALS.iter().filter_map(|signal| causes(last, last.of(*signal))));
    sections.push(alarms(history));
    sections.extend(errors(judged));
    sections.push(scores(judged));
    sections.push(distributions::section(judged));
    sections.extend(by_slice(judged));
    let title = format!("Trips and predictions of {} ({})", last.day, judged.source.name());
    Report { title, sections }
}

/// Returns a sentence for each signal.
pub(crate) fn sentences(judged: &JudgedDays) -> Vec<String> {
    let last = judged.last();
    SIGNALS.iter().map(|signal| sentence(*signal, last.of(*signal), last.day)).collect()
}

fn verdicts(judged: &JudgedDays, last: &DayVerdict, history: &[AlarmRecord], command: &str) -> Section {
    let mut paragraphs = sentences(judged);
    let holiday = if last.near_holiday { "; it is a holiday, or beside one" } else { "" };
    let labels = last.errors.map_or("no outcome is known yet".into(), |errors| {
        format!("the outcomes of {:.0} % of the predicted trips are known", 100.0 * errors.labelled)
    });
    paragraphs.push(format!(
        "{} has {} rows, and {labels}{holiday}. {} days were judged.",
        last.day,
        last.rows,
        judged.verdicts.len()
    ));
    paragraphs.extend(expected(last));
    let counted = acknowledgements(history);
    paragraphs.push(format!(
        "{} alarms are on record, {} last. People have called {} real and {} false.",
        counted.alarms, counted.open, counted.real, counted.unreal
    ));
    let always = always_firing(history);
    if !always.is_empty() {
        let ids: Vec<&str> = always.into_iter().collect();
        paragraphs.push(format!(
            "These ring on most days, so that they say more about their threshold than about a day: {}.",
            ids.join(", ")
        ));
    }
    for unreadable in judged.unreadable.iter().take(ALARMS) {
        paragraphs.push(format!("Not counted, since it could not be read: {unreadable}."));
    }
    Section { title: "Verdicts", paragraphs, lines: vec![command.into()], ..Section::default() }
}

/// Says what errors are to be expected before outcomes are known.
fn expected(last: &DayVerdict) -> Option<String> {
    let expected = last.expected?;
    let mut parts: Vec<String> = expected
        .mae_min
        .map(|mae| format!("durations to be {mae:.2} min off on average"))
        .into_iter()
        .collect();
    parts.extend(
        expected.tips.and_then(|tips| Some(format!("tips to be told apart with an AUC of {:.3}", tips.auc?))),
    );
    let all = parts.join(", and ");
    (!all.is_empty()).then(|| {
        format!("Without outcomes, expect {all}. This takes intervals and probabilities at their word: it does not see that trips take longer than they did.")
    })
}

/// Explains a verdict that rings, or has findings.
fn causes(last: &DayVerdict, judged: &Verdict) -> Option<Section> {
    if judged.rings != Some(true) && judged.findings.is_empty() {
        return None;
    }
    let mut paragraphs: Vec<String> = judged.cause.iter().map(|cause| format!("{cause}.")).collect();
    if let Some((score, threshold)) = judged.score.zip(judged.threshold) {
        let fit = match threshold.days {
            0 => "too few days have passed to fit it".into(),
            days => format!("fitted to {days} past days, of which {} passed it", threshold.rung_in_past),
        };
        paragraphs.push(format!(
            "The score of {score:.2} is above the threshold of {:.2}, which one in {} ordinary days is expected to pass; {fit}. There are {} rows.",
            threshold.value, threshold.one_in_days, last.rows
        ));
    }
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut tables = Vec::new();
    if !judged.moved.is_empty() {
        let rows = judged
            .moved
            .iter()
            .map(|moved| vec![moved.what.clone(), percent(moved.usual), percent(moved.share)]);
        tables.push(Table { head: vec!["what moved most", "usually", "on the day"], rows: rows.collect() });
    }
    let lines = judged.findings.iter().map(|finding| finding.text.clone()).collect();
    Some(Section { title: "What was found", paragraphs, lines, tables, ..Section::default() })
}

fn alarms(history: &[AlarmRecord]) -> Section {
    let text = |value: Option<String>, none: &str| value.unwrap_or_else(|| none.into());
    let row = |record: &AlarmRecord| {
        let real = record.acknowledged.as_ref().map(|verdict| if verdict.real { "yes" } else { "no" });
        let retraining = record.retraining.as_ref().map(|asked| text(asked.outcome.clone(), "asked for"));
        vec![
            record.id.clone(),
            record.cause.clone(),
            record.days.to_string(),
            text(record.ended.map(|day| day.to_string()), "lasts"),
            text(retraining, "-"),
            text(real.map(String::from), "not acknowledged"),
        ]
    };
    let rows: Vec<Vec<String>> = history.iter().rev().take(ALARMS).map(row).collect();
    let paragraphs = match rows.is_empty() {
        true => vec!["There are none.".to_string()],
        false => {
            vec!["Say what one was with: tripcast monitor acknowledge --alarm ID --real yes|no".to_string()]
        }
    };
    let head = vec!["alarm", "cause", "days", "ended", "retraining", "real"];
    let tables = if rows.is_empty() { Vec::new() } else { vec![Table { head, rows }] };
    Section { title: "Alarms", paragraphs, tables, ..Section::default() }
}

/// Days of the report with their distance from the last one, in days.
fn recent(judged: &JudgedDays) -> impl Iterator<Item = (f64, &DayVerdict)> {
    let last = judged.last().day;
    let skipped = judged.verdicts.len().saturating_sub(judged.recent.len());
    judged.verdicts[skipped..].iter().map(move |verdict| (-(last - verdict.day).num_days() as f64, verdict))
}

fn errors(judged: &JudgedDays) -> Option<Section> {
    let known: Vec<_> =
        recent(judged).filter_map(|(at, verdict)| Some((at, verdict.day, verdict.errors?))).collect();
    if known.is_empty() {
        return None;
    }
    let points = |of: &dyn Fn(&monitoring::watch::performance::Errors) -> f64| {
        known.iter().map(|(at, _, errors)| Point { x: *at, y: of(errors), error: 0.0 }).collect()
    };
    let days = "days before the last one";
    let plots = vec![
        Plot::points("Root mean squared error", days, "minutes", points(&|errors| errors.rmse_min)),
        Plot::points("Share inside the interval", days, "share", points(&|errors| 1.0 - errors.missed))
            .with_level(0.9),
    ];
    let rows = known.iter().rev().map(|(_, day, errors)| {
        vec![
            day.to_string(),
            errors.n.to_string(),
            format!("{:.2}", errors.rmse_min),
            format!("{:.2}", errors.mae_min),
            format!("{:+.2}", errors.bias_min),
            format!("{:.3}", 1.0 - errors.missed),
            format!("{:.0} %", 100.0 * errors.labelled),
        ]
    });
    let head = vec!["day", "trips", "RMSE, min", "MAE, min", "bias, min", "coverage", "outcomes known"];
    let tables = vec![Table { head, rows: rows.collect() }];
    Some(Section { title: "Errors over time", plots, tables, ..Section::default() })
}

fn scores(judged: &JudgedDays) -> Section {
    let of = |verdict: &DayVerdict| verdict.data.score.zip(verdict.data.threshold);
    let beyond = recent(judged).filter_map(|(at, verdict)| {
        let (score, threshold) = of(verdict)?;
        Some(Point { x: at, y: score / threshold.value, error: 0.0 })
    });
    let points: Vec<Point> = beyond.collect();
    if points.is_empty() {
        let why = judged.last().data.no_verdict.clone().unwrap_or_default();
        return Section {
            title: "Drift over time",
            paragraphs: vec![format!("There is no score yet: {why}.")],
            ..Section::default()
        };
    }
    let plot = Plot::points("Drift score over its threshold", "days before the last one", "1 rings", points)
        .with_level(1.0);
    let rows = recent(judged).filter_map(|(_, verdict)| {
        let (score, threshold) = of(verdict)?;
        let rang = if verdict.data.rings == Some(true) { "yes" } else { "no" };
        Some(vec![
            verdict.day.to_string(),
            format!("{score:.2}"),
            format!("{:.2}", threshold.value),
            rang.into(),
        ])
    });
    let tables = vec![Table { head: vec!["day", "score", "threshold", "rang"], rows: rows.collect() }];
    Section { title: "Drift over time", plots: vec![plot], tables, ..Section::default() }
}

/// Adds the counts of the last four weeks.
fn total(judged: &JudgedDays) -> Profile {
    let mut total = Profile::default();
    judged.recent.iter().rev().take(REFERENCE_DAYS).for_each(|(_, day)| total.merge(&day.profile));
    total
}

fn by_slice(judged: &JudgedDays) -> Option<Section> {
    let slices = slices(&total(judged).predictions);
    if slices.is_empty() {
        return None;
    }
    let rows = slices.iter().map(|slice| {
        vec![
            format!("{} {}", slice.by.replace('_', " "), slice.value),
            slice.n.to_string(),
            format!("{:.2}", slice.rmse_min),
            format!("{:.2}", slice.mae_min),
            format!("{:+.2}", slice.bias_min),
            format!("{:.3}", slice.coverage),
            if slice.differs { "yes" } else { "no" }.into(),
        ]
    });
    let head = vec!["slice", "trips", "RMSE, min", "MAE, min", "bias, min", "coverage", "differs"];
    let paragraphs = vec![
        "The last four weeks. Of the slices whose coverage differs from that of all trips, one in twenty is expected to be named by chance.".to_string(),
    ];
    Some(Section {
        title: "Errors by slice",
        paragraphs,
        tables: vec![Table { head, rows: rows.collect() }],
        ..Section::default()
    })
}
