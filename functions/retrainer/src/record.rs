//! Fills in the parts of a run's record that are known when it begins and when it ends.

use std::time::Duration;

use chrono::{NaiveDate, SubsecRound, Utc};
use registry::runs::Run;

use crate::Settings;
use crate::room::function_mb;

/// The git revision of a release build; none if it was built outside of git.
const REVISION: Option<&str> = option_env!("TRIPCAST_REVISION");

/// Creates the record of a run as of `now`, named after that day and `request`, that begins at this moment.
pub(crate) fn begun(now: NaiveDate, request: &str, settings: &Settings) -> Run {
    Run {
        run: format!("{now}-{request}"),
        now,
        taxi: settings.taxi.clone(),
        started: Utc::now().trunc_subsecs(3),
        seconds: 0.0,
        memory_peak_bytes: None,
        cost_usd_estimated: None,
        code_version: format!("{}+{}", env!("CARGO_PKG_VERSION"), REVISION.unwrap_or("unknown")),
        seed: settings.learning.params.seed,
        nothing_to_do: None,
        data: Vec::new(),
        left_out: Vec::new(),
        gates: Vec::new(),
        missing: Vec::new(),
        unrecognised: Vec::new(),
        untracked: None,
        share: None,
        steps: Vec::new(),
        targets: Vec::new(),
        failed: Vec::new(),
    }
}

/// Records the time, memory and cost of a run.
pub(crate) fn account(run: &mut Run, took: Duration) {
    run.seconds = took.as_secs_f64();
    run.memory_peak_bytes = memory_peak_bytes();
    run.cost_usd_estimated = cost_usd(took);
}

/// US dollars for a gigabyte of memory for a second: list price of x86_64 and arm64 in us-east-1, 2026-11.
const USD_A_GB_SECOND: f64 = if cfg!(target_arch = "aarch64") { 0.000_013_333_4 } else { 0.000_016_666_7 };

/// Returns the price of `took` on Lambda in US dollars, at its list price; none elsewhere.
fn cost_usd(took: Duration) -> Option<f64> {
    Some(function_mb()? as f64 / 1024.0 * took.as_secs_f64() * USD_A_GB_SECOND)
}

/// Returns the peak memory of this process in bytes; none where the system does not report it.
fn memory_peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_known_and_a_cost_only_on_lambda() {
        assert!(memory_peak_bytes().is_none_or(|bytes| bytes > 1 << 20));
        assert_eq!(cost_usd(Duration::from_secs(60)), None);
    }
}
