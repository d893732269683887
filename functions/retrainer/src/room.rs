//! How much memory months and models need, beside what the function has. A function that outgrows its memory is killed without a word; it
//! is better to say before what does not fit, and what would.

use platform::env::{Env, Variable};

/// A variable that Lambda sets.
const VARIABLES: [Variable; 1] =
    [Variable { name: "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", meaning: "memory in MB", default: Some("0") }];

/// Bytes that a retraining needs whatever it reads.
const BASE: u64 = 100 << 20;
/// Bytes for each row of a month that is read and searched for defective segments (measured: 320).
const READ_ROW: u64 = 350;
/// Bytes for each row that is kept: of the months before, and of the holdout month.
const KEPT_ROW: u64 = 100;
/// Bytes for each row that a model is fitted to.
const FIT_ROW: u64 = 450;

/// The memory there is for a retraining: a function's, or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    bytes: Option<u64>,
}

/// Something does not fit into memory.
#[derive(Debug, thiserror::Error)]
#[error("{what} needs some {needed_mb} MB of memory, and the function has {mb}: {instead}")]
pub struct NoRoom {
    what: String,
    needed_mb: u64,
    mb: u64,
    instead: String,
}

/// Returns the memory of this function in MB; none outside of Lambda.
pub(crate) fn function_mb() -> Option<u64> {
    let mb = Env::of_process(&VARIABLES).ok()?.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok()?;
    Some(mb).filter(|mb| *mb > 0)
}

impl Room {
    /// Returns the memory of this function.
    pub fn of_function() -> Self {
        Self::of_mb(function_mb())
    }

    /// Returns a memory of so many MB, or one that is not known.
    pub fn of_mb(mb: Option<u64>) -> Self {
        Self { bytes: mb.map(|mb| mb << 20) }
    }

    /// Checks that a month of `rows` rows in a file of `file_bytes` can be read beside `kept` rows.
    /// Before a file is read its rows are not known, and none are counted.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn to_read(self, rows: u64, file_bytes: u64, kept: u64) -> Result<(), NoRoom> {
        let needed = BASE + file_bytes + rows * READ_ROW + kept * KEPT_ROW;
        self.check(needed, || {
            (
                format!("reading its {rows} rows in {file_bytes} bytes"),
                "raise RetrainerMemory, or retrain as in infra/batch".into(),
            )
        })
    }

    /// Checks that models of `rows` rows can be fitted beside `judged` rows of the holdout month.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn to_learn(self, rows: u64, judged: u64) -> Result<(), NoRoom> {
        let beside = BASE + judged * KEPT_ROW;
        self.check(beside + rows * FIT_ROW, || {
            let fitting = self.bytes.unwrap_or(0).saturating_sub(beside) / FIT_ROW;
            (
                format!("learning from {rows} rows"),
                format!("set TRAINING_ROWS_MAX to at most {fitting}, or raise RetrainerMemory"),
            )
        })
    }

    fn check(self, needed: u64, described: impl Fn() -> (String, String)) -> Result<(), NoRoom> {
        match self.bytes {
            Some(bytes) if needed > bytes => {
                let (what, instead) = described();
                Err(NoRoom { what, needed_mb: needed >> 20, mb: bytes >> 20, instead })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_known_before() {
        let default = Room::of_mb(Some(3_008));
        let (rows_max, yellow_month, hvfhv_month) = (4_000_000, 4_000_000, 20_000_000);
        default.to_learn(rows_max, yellow_month).unwrap();
        default.to_read(yellow_month, 60 << 20, rows_max).unwrap();
        let error = default.to_read(hvfhv_month, 470 << 20, rows_max).unwrap_err().to_string();
        assert!(error.contains("20000000 rows in 492830720 bytes needs some 7627 MB"), "{error}");
        let error = default.to_read(0, 4 << 30, 0).unwrap_err().to_string();
        assert!(error.contains("needs some 4196 MB"), "a file that does not fit is not even read: {error}");
        let error = Room::of_mb(Some(512)).to_learn(1_000_000, 0).unwrap_err().to_string();
        assert!(error.contains("at most 960029, or"), "{error}");
        Room::of_mb(Some(512)).to_learn(960_029, 0).unwrap();
        Room::default().to_read(hvfhv_month, 470 << 20, rows_max).unwrap();
    }
}
