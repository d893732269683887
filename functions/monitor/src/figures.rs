//! Figures: rows for SQL of what was judged on a day, and metrics of the last day.

use dataset::figures::Figure;
use monitoring::days::Source;
use monitoring::watch::{DayVerdict, Signal};
use platform::telemetry::Metric;

use crate::JudgedDays;
use crate::alarms::{AlarmRecord, always_firing};

/// Returns the figures of days.
pub(crate) fn figures(source: Source, verdicts: &[&DayVerdict]) -> Vec<Figure> {
    verdicts.iter().flat_map(|verdict| of_day(source, verdict)).collect()
}

fn of_day(source: Source, verdict: &DayVerdict) -> Vec<Figure> {
    let mut all = Vec::new();
    let figure = |signal, rows, name: &str, value| Figure {
        day: verdict.day,
        source: source.name(),
        signal,
        name: name.into(),
        value,
        rows,
    };
    for (signal, name) in
        [(Signal::Quality, "quality"), (Signal::Data, "data"), (Signal::Performance, "performance")]
    {
        let judged = verdict.of(signal);
        let rings = judged.rings.map(|rings| f64::from(u8::from(rings)));
        all.push(figure(name, verdict.rows, "rings", rings));
        all.push(figure(name, verdict.rows, "score", judged.score));
        all.push(figure(name, verdict.rows, "threshold", judged.threshold.map(|threshold| threshold.value)));
        all.extend(judged.scores.iter().map(|(of, score)| figure(name, verdict.rows, of, Some(*score))));
        let findings = judged.findings.iter();
        all.extend(findings.map(|finding| figure(name, verdict.rows, finding.rule, Some(finding.share))));
    }
    if let Some(errors) = verdict.errors {
        for (name, value) in [
            ("rmse_min", errors.rmse_min),
            ("mae_min", errors.mae_min),
            ("bias_min", errors.bias_min),
            ("coverage", 1.0 - errors.missed),
            ("longer_share", errors.longer),
            ("error_over_half_interval", errors.ratio),
            ("labelled_share", errors.labelled),
        ] {
            all.push(figure("performance", errors.n, name, Some(value)));
        }
    }
    if let Some(expected) = verdict.expected {
        let tips = expected.tips;
        for (name, value) in [
            ("expected_mae_min", expected.mae_min),
            ("expected_tip_auc", tips.and_then(|tips| tips.auc)),
            ("expected_tip_brier", tips.map(|tips| tips.brier)),
        ] {
            all.push(figure("performance", verdict.rows, name, value));
        }
    }
    all
}

/// Returns the metrics of the last day, and for how many days outcomes are missing. What could not be computed is absent.
pub(crate) fn metrics(judged: &JudgedDays, history: &[AlarmRecord]) -> Vec<(Metric, f64)> {
    let last = judged.last();
    let rings = |signal| f64::from(u8::from(last.of(signal).rings == Some(true)));
    let mut metrics = vec![
        (Metric::DaysJudged, judged.verdicts.len() as f64),
        (Metric::QualityAlarms, rings(Signal::Quality)),
        (Metric::DriftAlarms, rings(Signal::Data)),
        (Metric::PerformanceAlarms, rings(Signal::Performance)),
        (Metric::OpenAlarms, history.iter().filter(|record| record.ended.is_none()).count() as f64),
        (Metric::AlwaysFiringAlarms, always_firing(history).len() as f64),
    ];
    let scores = [(Metric::DriftScore, &last.data), (Metric::PerformanceScore, &last.performance)];
    metrics.extend(scores.into_iter().filter_map(|(metric, judged)| Some((metric, judged.score?))));
    let labelled = judged.verdicts.iter().rev().find(|verdict| verdict.errors.is_some());
    let delay = labelled.map(|verdict| (last.day - verdict.day).num_days() as f64);
    metrics.extend(delay.map(|days| (Metric::LabelDelayDays, days)));
    if let Some(errors) = last.errors {
        metrics.extend([
            (Metric::RmseMinutes, errors.rmse_min),
            (Metric::MaeMinutes, errors.mae_min),
            (Metric::BiasMinutes, errors.bias_min),
            (Metric::IntervalCoverage, 1.0 - errors.missed),
            (Metric::LabelledShare, errors.labelled),
        ]);
    }
    metrics.retain(|(_, value)| value.is_finite());
    metrics
}
