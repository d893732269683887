//! Reads the months of a plan, pinned to the bytes that were there when it was made, and fingerprints them.

use std::time::{Duration, Instant};

use dataset::{ReadError, ReadOptions, read_all, summary_of};
use model::LabelledTrips;
use model::artifact::sha256_hex;
use model::segments::DefectiveSegment;
use model::{Classified, chain};
use monitoring::gates::{Inspection, MonthFigures};
use platform::lambda::Deadline;
use registry::runs::{Fingerprint, LeftOut};
use store::{Get, ObjectKey, Store, StoreError};

use crate::compute;
use crate::learn::Comparison;
use crate::plan::{MonthFile, Plan};
use crate::room::{NoRoom, Room};

/// The trips of a plan.
#[derive(Debug)]
pub struct Gathered {
    /// Training months, oldest first.
    pub train: Vec<LabelledTrips>,
    /// The holdout month.
    pub judge: HoldoutMonth,
    /// Fingerprints of the files that were used, the holdout month last.
    pub fingerprints: Vec<Fingerprint>,
    /// Training months that were left out: unreadable, or refused by a gate.
    pub left_out: Vec<LeftOut>,
    /// The share of the rows of the training months that was drawn.
    pub share: f64,
    /// Results of the gates for every month that was read, in the same order, the holdout month last.
    pub inspections: Vec<Inspection>,
}

/// How months are read, and how much of them is kept.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// How files are read.
    pub options: ReadOptions,
    /// Rows of all training months that are kept at most.
    pub rows_max: usize,
    /// The memory there is.
    pub room: Room,
}

/// The holdout month. Its trips are released once, in exchange for finished candidates, so that nothing that still
/// learns sees them.
#[derive(Debug)]
pub struct HoldoutMonth {
    trips: LabelledTrips,
}

impl HoldoutMonth {
    /// Reads the holdout month again, which has passed the gates.
    ///
    /// # Errors
    /// [`GatherError`].
    pub(crate) async fn read(
        store: &dyn Store,
        month: &MonthFile,
        reading: &Reading,
    ) -> Result<Self, GatherError> {
        let mut trips = read(store, month, reading, 0).await?.0;
        draw(std::slice::from_mut(&mut trips), 1.0, to_judge_on(reading.rows_max));
        Ok(Self { trips })
    }

    /// Returns the trips and the candidates that were learned without them.
    pub fn open(self, finished: Vec<Comparison>) -> (LabelledTrips, Vec<Comparison>) {
        (self.trips, finished)
    }
}

/// Why a plan could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// The store failed to read.
    #[error("gathering {key}")]
    Store {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// The file is not a readable month of trips.
    #[error("gathering {key}")]
    Read {
        /// The key of the file.
        key: String,
        /// The reason.
        #[source]
        source: ReadError,
    },
    /// A month does not fit into memory.
    #[error("gathering {key}")]
    NoRoom {
        /// The key of the file.
        key: String,
        /// How much it needs.
        #[source]
        source: NoRoom,
    },
    /// There is no time to read this month and to say so.
    #[error("gathering {key}: the time ends, with {read} months read; the longest took {longest:?}")]
    NoTime {
        /// The key of the file.
        key: String,
        /// The months that were read.
        read: usize,
        /// How long the longest of them took.
        longest: Duration,
    },
    /// Models of the months do not fit into memory.
    #[error(transparent)]
    NoRoomToLearn(NoRoom),
    /// No training month could be read and passed the gates.
    #[error("none of the {} months to learn from can be used: {}", left_out.len(), reasons(left_out))]
    NothingLeft {
        /// Every training month.
        left_out: Vec<LeftOut>,
    },
    /// The holdout month did not pass the gates.
    #[error("{key}, the holdout month, is refused: {reason}")]
    Refused {
        /// The key of the file.
        key: String,
        /// Every check that failed.
        reason: String,
    },
}

impl Classified for GatherError {
    fn error_type(&self) -> &'static str {
        match self {
            Self::Store { source, .. } => source.error_type(),
            Self::Read { source, .. } => source.error_type(),
            Self::NoRoom { .. } | Self::NoRoomToLearn(_) => "Retraining.Memory",
            Self::NoTime { .. } => "Retraining.Time",
            Self::NothingLeft { .. } => "Retraining.NothingToLearnFrom",
            Self::Refused { .. } => "Retraining.MonthRefused",
        }
    }
    fn is_transient(&self) -> bool {
        match self {
            Self::Store { source, .. } => source.is_transient(),
            Self::Read { source, .. } => source.is_transient(),
            _ => false,
        }
    }
}

fn reasons(left_out: &[LeftOut]) -> String {
    left_out.iter().map(|one| format!("{}: {}", one.key, one.reason)).collect::<Vec<_>>().join("; ")
}

/// Reads the months of `plan`, and checks each with the gates against those before it. A training month
/// that cannot be read or is refused is left out and named, so that one bad file does not stop retraining for a year.
/// The holdout month is needed to judge, so there it is an error.
///
/// Of all training months together at most [`Reading::rows_max`] rows are kept, and of the holdout month at most as many, or [`JUDGED_ROWS_MIN`]: the same
/// share of each, and no more than one month is there beside them. What does not fit into memory ends it before it is read or learned from,
/// and so does a month that could not be read by the deadline.
///
/// # Errors
/// [`GatherError`].
pub async fn gather(
    store: &dyn Store,
    plan: &Plan,
    reading: &Reading,
    deadline: Deadline,
) -> Result<Gathered, GatherError> {
    let (mut train, mut fingerprints, mut left_out, mut share) = (Vec::new(), Vec::new(), Vec::new(), 1.0);
    let mut inspections = Vec::new();
    let mut clock = Clock { deadline, longest: Duration::ZERO, read: 0, since: None };
    for source in &plan.train {
        clock.next(&source.key)?;
        let used = match read(store, source, reading, rows_of(&train)).await {
            Ok((trips, fingerprint)) => {
                let inspection = Inspection::new(MonthFigures::from_trips(&trips), &inspections);
                let refusal = inspection.refusal();
                if refusal.is_none() {
                    fingerprints.push(fingerprint);
                    train.push(trips);
                    share = draw(&mut train, share, reading.rows_max);
                }
                inspections.push(inspection);
                refusal.map_or(Ok(()), Err)
            }
            // Other months of the taxi would be as large.
            Err(error @ GatherError::NoRoom { .. }) => return Err(error),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => Err(chain(&error)),
        };
        if let Err(reason) = used {
            tracing::warn!(key = %source.key, reason, "a training month is left out");
            left_out.push(LeftOut { key: source.key.to_string(), reason });
        }
    }
    if train.is_empty() {
        return Err(GatherError::NothingLeft { left_out });
    }
    if share < 1.0 {
        let remark = format!("one of {} rows was drawn to learn from", 1.0 / share);
        fingerprints.iter_mut().for_each(|file: &mut Fingerprint| file.remarks.push(remark.clone()));
    }
    clock.next(&plan.judge.key)?;
    let (mut trips, mut fingerprint) = read(store, &plan.judge, reading, rows_of(&train)).await?;
    let inspection = Inspection::new(MonthFigures::from_trips(&trips), &inspections);
    if let Some(reason) = inspection.refusal() {
        return Err(GatherError::Refused { key: plan.judge.key.to_string(), reason });
    }
    inspections.push(inspection);
    let judged = draw(std::slice::from_mut(&mut trips), 1.0, to_judge_on(reading.rows_max));
    if judged < 1.0 {
        fingerprint.remarks.push(format!("one of {} rows was drawn to judge on", 1.0 / judged));
    }
    fingerprints.push(fingerprint);
    let room = reading.room.to_learn(rows_of(&train), trips.trips.len() as u64);
    room.map_err(GatherError::NoRoomToLearn)?;
    Ok(Gathered { train, judge: HoldoutMonth { trips }, fingerprints, left_out, share, inspections })
}

/// Time kept to write the record of a retraining that ends while it reads.
const RESERVE: Duration = Duration::from_secs(3);

/// How long months take to read.
struct Clock {
    deadline: Deadline,
    longest: Duration,
    read: usize,
    /// When the present month was begun.
    since: Option<Instant>,
}

impl Clock {
    /// Ends the month before and begins this one, if there is time for one that takes as long as the longest.
    fn next(&mut self, key: &ObjectKey) -> Result<(), GatherError> {
        if let Some(since) = self.since.replace(Instant::now()) {
            self.longest = self.longest.max(since.elapsed());
            self.read += 1;
        }
        let Self { longest, read, .. } = *self;
        if self.deadline.left() < longest + RESERVE {
            return Err(GatherError::NoTime { key: key.to_string(), read, longest });
        }
        Ok(())
    }
}

/// The smallest share that is drawn.
const SHARE_MIN: f64 = 1.0 / 1_048_576.0;
/// Rows of the holdout month that are kept in any case: comparisons of models are as sharp as that.
const JUDGED_ROWS_MIN: usize = 200_000;

/// Returns how many rows of the holdout month are kept at most.
fn to_judge_on(rows_max: usize) -> usize {
    rows_max.max(JUDGED_ROWS_MIN)
}

/// Draws the same share of all files, beginning with the present one, and then half of it until there are at most `rows_max` rows. Returns the
/// share.
fn draw(files: &mut [LabelledTrips], mut share: f64, rows_max: usize) -> f64 {
    // Those before the last one are drawn already.
    files.iter_mut().for_each(|file| file.draw(share));
    while rows_of(files) > rows_max as u64 && share > SHARE_MIN {
        share /= 2.0;
        files.iter_mut().for_each(|file| file.draw(share));
    }
    share
}

/// Returns how many rows are kept of some files.
pub(crate) fn rows_of(files: &[LabelledTrips]) -> u64 {
    files.iter().map(|file| file.trips.len() as u64).sum()
}

/// Reads a month of the plan, pinned to its ETag, beside `kept` rows of others.
///
/// # Errors
/// [`GatherError`].
pub(crate) async fn read(
    store: &dyn Store,
    source: &MonthFile,
    reading: &Reading,
    kept: u64,
) -> Result<(LabelledTrips, Fingerprint), GatherError> {
    let key = source.key.to_string();
    let pinned = Get { if_match: Some(source.etag.clone()), ..Get::default() };
    let room = |rows, bytes| {
        let fits = reading.room.to_read(rows, bytes, kept);
        fits.map_err(|source| GatherError::NoRoom { key: key.clone(), source })
    };
    room(0, source.bytes)?;
    let object = store.get(&source.key, pinned).await;
    let object = object.map_err(|source| GatherError::Store { key: key.clone(), source })?;
    let (month, options) = (source.month, reading.options);
    // An unreadable file has its own error below.
    let rows = summary_of(&object.bytes, options).map_or(0, |summary| summary.rows);
    room(rows, object.bytes.len() as u64)?;
    let read = compute(move || {
        let (mut trips, report) = read_all(&object.bytes, Some(month), options)?;
        trips.sha256 = sha256_hex(&object.bytes);
        let segments = trips.find_defects();
        Ok((trips, report, segments))
    });
    let (trips, report, segments) =
        read.await.map_err(|source| GatherError::Read { key: key.clone(), source })?;
    segments.iter().for_each(|segment| tracing::warn!(%key, "{}", segment.described()));
    let fingerprint = Fingerprint {
        month: source.month,
        key,
        etag: source.etag.0.clone(),
        sha256: trips.sha256.clone(),
        rows: trips.n_rows(),
        remarks: report
            .remarks()
            .into_iter()
            .chain(segments.iter().map(DefectiveSegment::described))
            .collect(),
    };
    Ok((trips, fingerprint))
}
