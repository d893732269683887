//! Formats a replay for a terminal.

use super::served::{PeriodFigures, Served, ServedFigures};
use super::{Decided, Report};

/// Returns a line for each decision with its reason, then the metrics of what was served.
pub fn table(report: &Report) -> Vec<String> {
    let mut lines = vec![format!("{:10} {:8} {:>6} {:>6}  decision", "day", "judged", "window", "s")];
    lines.extend(report.decisions.iter().map(decision));
    lines.push(String::new());
    lines.push(format!(
        "{:16} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9}",
        "served", "rows", "loss", "frozen", "better", "coverage", "width"
    ));
    lines.extend(report.served.months.iter().map(|(month, figures)| line(month, figures)));
    lines.push(line("pooled", &report.served.pooled));
    lines.push(String::new());
    lines.push("by slice, at least 2,000 rows".into());
    let counted = report.served.slices.iter().filter(|(_, figures)| figures.rows >= 2000);
    lines.extend(counted.map(|(slice, figures)| line(slice, figures)));
    lines.push(String::new());
    lines.extend(promotions(&report.served));
    let all = report.served.coverage_of_all.zip(report.served.constant_width_min);
    lines.extend(all.map(|((share, rows), width)| {
        format!(
            "all {rows} trips, however long: {share:.4} covered; a constant width would be {width:.2} min"
        )
    }));
    for (window, served) in &report.alone {
        let share = report.served.pooled.loss / served.pooled.loss - 1.0;
        lines.push(format!(
            "windows of {window} alone: {:.4}; the choice among all is {:+.2} %",
            served.pooled.loss,
            100.0 * share
        ));
    }
    lines.push(format!("{:.0} s", report.seconds));
    lines
}

fn decision(decided: &Decided) -> String {
    let reason = match (&decided.nothing_to_do, &decided.retrained) {
        (Some(reason), _) => reason.clone(),
        (None, Some(retrained)) => retrained.decision.reason.clone(),
        (None, None) => String::new(),
    };
    let window = decided.window.map_or("-".into(), |window| window.to_string());
    format!("{:10} {:8} {window:>6} {:>6.1}  {reason}", decided.day, decided.judged_on, decided.seconds)
}

fn line(name: &str, figures: &ServedFigures) -> String {
    let better = 100.0 * (1.0 - figures.loss / figures.loss_frozen);
    let last = match (figures.coverage, figures.width_min, figures.ece, figures.base_rate) {
        (Some(coverage), Some(width), ..) => format!("{coverage:>9.4} {width:>9.2}"),
        (.., Some(ece), Some(base_rate)) => format!("ece {ece:.4}, tipped {base_rate:.3}"),
        _ => String::new(),
    };
    format!(
        "{name:16} {:>9} {:>9.4} {:>9.4} {better:>6.2} % {last}",
        figures.rows, figures.loss, figures.loss_frozen
    )
}

fn promotions(served: &Served) -> Vec<String> {
    let worse = |period: &&PeriodFigures| {
        period.loss_of_previous.is_some_and(|previous| period.figures.loss > 1.01 * previous)
    };
    let promoted = served.periods.iter().filter(|period| period.promoted).count();
    let regretted: Vec<&PeriodFigures> = served.periods.iter().filter(worse).collect();
    let mut lines = vec![format!(
        "{promoted} champions; {} left the next month more than 1 % worse than the one before would have",
        regretted.len()
    )];
    lines.extend(regretted.iter().map(|period| {
        let previous = period.loss_of_previous.unwrap_or_default();
        format!("  {} {}: {:.4}, not {previous:.4}", period.from, period.version, period.figures.loss)
    }));
    lines
}
