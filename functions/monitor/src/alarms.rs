//! Records of alarms: each is created once, published once, and brought up to date until it has ended.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use model::{ModelVersion, chain};
use monitoring::days::Source;
use monitoring::watch::Signal;
use monitoring::watch::alarms::{Alarm, COOLDOWN_DAYS};
use platform::topic::{PublishError, Topic};
use registry::layout;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Condition, ETag, Store, StoreError, json};

use crate::note;

/// Alarms that began earlier, counted back from the last day, are neither published nor recorded: a deployment that is given a history does
/// not send its past.
const RECENT_DAYS: i64 = 35;
/// Time after which another monitor publishes what the one that made the record has not.
const PUBLISHING: TimeDelta = TimeDelta::minutes(5);
/// Attempts to write a record that others change.
const SAVES_MAX: usize = 5;
/// Days that ring, of the last four weeks, from which on an alarm says more about its threshold than about its day.
const ALWAYS_FIRING_DAYS: usize = 14;
/// Days that drift rings until it is confirmed, and asks for a retraining.
const CONFIRMED_DAYS: usize = 3;

/// The record of an alarm, `alarms/<id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// `<source>-<signal>-<day>`.
    pub id: String,
    /// Where its rows come from.
    pub source: Source,
    /// What rang.
    pub signal: Signal,
    /// The first day, and the last one that rang.
    pub day: NaiveDate,
    /// The last day that rang.
    pub last_day: NaiveDate,
    /// Days that rang.
    pub days: usize,
    /// Rows of the first day.
    pub rows: u64,
    /// Whether the first day is a holiday or beside one.
    pub near_holiday: bool,
    /// What the first day's verdict named.
    pub cause: String,
    /// The whole verdict of the first day: score, threshold and what moved.
    pub verdict: Value,
    /// When the record was made.
    pub created: DateTime<Utc>,
    /// When it was published; none if it was not, or there is no topic.
    pub published: Option<DateTime<Utc>>,
    /// When a monitor began to publish it; none once that failed.
    pub publishing: Option<DateTime<Utc>>,
    /// Whether it rang on most days of four weeks.
    pub always_firing: bool,
    /// The first day on which it was over; none while it lasts.
    pub ended: Option<NaiveDate>,
    /// Whether its days do not ring any more since they were judged anew, as after a corrected file.
    pub withdrawn: bool,
    /// The request for a retraining, if it made one, or found it made.
    pub retraining: Option<Retraining>,
    /// The verdict of a person.
    pub acknowledged: Option<Acknowledged>,
}

/// A request for a retraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retraining {
    /// The champion that is to be replaced.
    pub champion: ModelVersion,
    /// The alarm that asked first.
    pub asked_by: String,
    /// The run that came of it, once there is one.
    pub run: Option<String>,
    /// How it ended, once it has.
    pub outcome: Option<String>,
}

/// A person's verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Whether the alarm was about something real.
    pub real: bool,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// What a monitor knows of its time and of its last days.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) now: DateTime<Utc>,
    /// The day of the event: those before it are judged.
    pub(crate) day: NaiveDate,
    /// The last day that was judged.
    pub(crate) last: NaiveDate,
    /// The command that reproduces a report.
    pub(crate) command: &'a str,
    /// The command that keeps a person's verdict.
    pub(crate) acknowledge: &'a str,
}

impl AlarmRecord {
    fn new(alarm: &Alarm, source: Source, present: Present<'_>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: format!("{}-{}", source.name(), alarm.id),
            source,
            signal: alarm.signal,
            day: alarm.day,
            last_day: alarm.last_day,
            days: alarm.days,
            rows: alarm.rows,
            near_holiday: alarm.near_holiday,
            cause: alarm.cause.clone(),
            verdict: serde_json::to_value(&alarm.verdict)?,
            created: present.now,
            published: None,
            publishing: Some(present.now),
            always_firing: false,
            ended: None,
            withdrawn: false,
            retraining: None,
            acknowledged: None,
        })
    }

    /// Brings the record up to date with what was judged since.
    fn follow(&mut self, alarm: &Alarm, last: NaiveDate) {
        self.last_day = alarm.last_day;
        self.days = alarm.days;
        self.withdrawn = false;
        self.always_firing |= alarm.days >= ALWAYS_FIRING_DAYS;
        let is_over = (last - alarm.last_day) > TimeDelta::days(COOLDOWN_DAYS);
        self.ended = if is_over { alarm.last_day.succ_opt() } else { None };
    }

    /// Returns whether an alarm is about the same days of the same signal: judged anew, an episode may begin on another day.
    fn is_about(&self, source: Source, alarm: &Alarm) -> bool {
        let near = TimeDelta::days(COOLDOWN_DAYS);
        let overlaps = self.day - alarm.last_day <= near && alarm.day - self.last_day <= near;
        self.source == source && self.signal == alarm.signal && overlaps
    }

    /// Adds what another monitor has done with the record meanwhile.
    fn merge(&mut self, other: Self) {
        self.published = self.published.or(other.published);
        self.acknowledged = other.acknowledged.or(self.acknowledged.take());
        let has_outcome =
            |one: &Option<Retraining>| one.as_ref().is_some_and(|asked| asked.outcome.is_some());
        if self.retraining.is_none() || has_outcome(&other.retraining) {
            self.retraining = other.retraining;
        }
    }

    /// Returns whether it is a reason to retrain: worse predictions, or drift that has lasted.
    pub(crate) fn is_reason_to_retrain(&self) -> bool {
        match self.signal {
            Signal::Performance => true,
            Signal::Data => self.days >= CONFIRMED_DAYS,
            Signal::Quality => false,
        }
    }
}

/// An alarm of this run, with its record.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) record: AlarmRecord,
    etag: ETag,
    read: AlarmRecord,
    /// Whether this run made the record.
    is_new: bool,
}

/// Why an alarm was not recorded or published.
#[derive(Debug, thiserror::Error)]
pub enum AlarmError {
    /// The store failed.
    #[error("recording the alarm {id}")]
    Store {
        /// The id.
        id: String,
        /// The reason.
        #[source]
        source: StoreError,
    },
    /// The topic failed.
    #[error("publishing the alarm {id}")]
    Publish {
        /// The id.
        id: String,
        /// The reason.
        #[source]
        source: PublishError,
    },
}

/// Brings the records of a source up to date, and makes those of alarms that began lately. Returns all that last or were made.
pub(crate) async fn record(
    store: &dyn Store,
    source: Source,
    alarms: &[Alarm],
    present: Present<'_>,
) -> Result<Vec<Recorded>, AlarmError> {
    let failed = |id: &str| {
        let id = id.to_string();
        move |source| AlarmError::Store { id, source }
    };
    let known = records(store, source).await.map_err(failed("of all"))?;
    let mut all = Vec::new();
    for (read, etag) in &known {
        // An event that is replayed late knows less than the record does.
        if read.last_day >= present.day || read.ended.is_some_and(|ended| ended >= present.day) {
            continue;
        }
        let mut record = read.clone();
        let recent = present.last - read.day <= TimeDelta::days(RECENT_DAYS);
        match alarms.iter().find(|alarm| read.is_about(source, alarm)) {
            Some(alarm) => record.follow(alarm, present.last),
            None if read.ended.is_none() => {
                record.ended = Some(present.last);
                record.withdrawn = true;
            }
            None => (),
        }
        if recent || record != *read || record.ended.is_none() {
            all.push(Recorded { record, etag: etag.clone(), read: read.clone(), is_new: false });
        }
    }
    for alarm in alarms.iter().filter(|alarm| present.last - alarm.day <= TimeDelta::days(RECENT_DAYS)) {
        if !known.iter().any(|(read, _)| read.is_about(source, alarm)) {
            let id = format!("{}-{}", source.name(), alarm.id);
            all.extend(made(store, source, alarm, present).await.map_err(failed(&id))?);
        }
    }
    Ok(all)
}

/// Makes the record of an alarm; none if another monitor was faster, which then does the rest.
async fn made(
    store: &dyn Store,
    source: Source,
    alarm: &Alarm,
    present: Present<'_>,
) -> Result<Option<Recorded>, StoreError> {
    let key = layout::alarm(&format!("{}-{}", source.name(), alarm.id))?;
    let refused = |source| StoreError::Document { operation: "writing", key: key.to_string(), source };
    let mut record = AlarmRecord::new(alarm, source, present).map_err(refused)?;
    record.follow(alarm, present.last);
    match json::write(store, &key, &record, Condition::IfAbsent).await {
        Ok(etag) => Ok(Some(Recorded { read: record.clone(), record, etag, is_new: true })),
        Err(StoreError::Precondition { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Recorded {
    /// Publishes the alarm, unless that was done, or another monitor began to do it lately. Returns whether it was published now.
    pub(crate) async fn publish(
        &mut self,
        topic: &dyn Topic,
        present: Present<'_>,
    ) -> Result<bool, AlarmError> {
        let is_at_it = self.record.publishing.is_some_and(|began| present.now - began < PUBLISHING);
        if self.record.published.is_some() || self.record.withdrawn || !self.is_new && is_at_it {
            return Ok(false);
        }
        match topic.publish(&note::subject(&self.record), &note::text(&self.record, present)).await {
            Ok(()) => {
                self.record.published = Some(present.now);
                Ok(true)
            }
            Err(source) => {
                // Lambda's next attempt publishes it.
                self.record.publishing = None;
                Err(AlarmError::Publish { id: self.record.id.clone(), source })
            }
        }
    }

    /// Writes the record if it has changed, with what another monitor may have added meanwhile.
    pub(crate) async fn save(&mut self, store: &dyn Store) -> Result<(), AlarmError> {
        let id = self.record.id.clone();
        let failed = |source| AlarmError::Store { id: id.clone(), source };
        let key = layout::alarm(&id).map_err(failed)?;
        for _ in 0..SAVES_MAX {
            if self.record == self.read {
                return Ok(());
            }
            match json::write(store, &key, &self.record, Condition::IfMatch(self.etag.clone())).await {
                Ok(etag) => {
                    self.etag = etag;
                    self.read = self.record.clone();
                }
                Err(StoreError::Precondition { .. }) => {
                    let Some((read, etag)) = json::read::<AlarmRecord>(store, &key).await.map_err(failed)?
                    else {
                        return Ok(());
                    };
                    self.record.merge(read.clone());
                    (self.read, self.etag) = (read, etag);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        tracing::info!(alarm = id, "other monitors keep changing the record");
        Ok(())
    }
}

/// How many alarms there are, and the verdicts of people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Acknowledgements {
    /// All that were recorded.
    pub alarms: usize,
    /// Those that were real.
    pub real: usize,
    /// Those that were not.
    pub unreal: usize,
    /// Those that last.
    pub open: usize,
}

/// Reads all records of a source, in the order of their days. One that cannot be read is named in the log.
async fn records(store: &dyn Store, source: Source) -> Result<Vec<(AlarmRecord, ETag)>, StoreError> {
    let mut all = Vec::new();
    for meta in store.list(&format!("{}{}-", layout::ALARMS, source.name())).await? {
        match json::read::<AlarmRecord>(store, &meta.key).await {
            Ok(read) => all.extend(read),
            Err(error @ StoreError::Document { .. }) => {
                tracing::warn!(key = %meta.key, error_message = chain(&error), "an alarm's record cannot be read");
            }
            Err(error) => return Err(error),
        }
    }
    all.sort_by_key(|(record, _)| (record.day, record.signal));
    Ok(all)
}

/// Reads all records of a source, in the order of their days.
pub(crate) async fn history(store: &dyn Store, source: Source) -> Result<Vec<AlarmRecord>, StoreError> {
    Ok(records(store, source).await?.into_iter().map(|(record, _)| record).collect())
}

/// Counts the verdicts of people.
pub(crate) fn acknowledgements(history: &[AlarmRecord]) -> Acknowledgements {
    let acknowledged = |real| {
        let is_it = |record: &&AlarmRecord| record.acknowledged.as_ref().is_some_and(|one| one.real == real);
        history.iter().filter(is_it).count()
    };
    Acknowledgements {
        alarms: history.len(),
        real: acknowledged(true),
        unreal: acknowledged(false),
        open: history.iter().filter(|record| record.ended.is_none()).count(),
    }
}

/// Keeps a person's verdict of an alarm.
///
/// # Errors
/// [`AlarmError`]; [`StoreError::NotFound`] inside it if there is no such alarm.
pub async fn acknowledge(
    store: &dyn Store,
    id: &str,
    real: bool,
    at: DateTime<Utc>,
) -> Result<AlarmRecord, AlarmError> {
    let failed = |source| AlarmError::Store { id: id.into(), source };
    let key = layout::alarm(id).map_err(failed)?;
    let missing = || StoreError::NotFound { operation: "reading", key: key.to_string() };
    let read = json::read::<AlarmRecord>(store, &key).await.map_err(failed)?;
    let (mut record, etag) = read.ok_or_else(missing).map_err(failed)?;
    record.acknowledged = Some(Acknowledged { real, at });
    json::write(store, &key, &record, Condition::IfMatch(etag)).await.map_err(failed)?;
    Ok(record)
}

/// Returns the ids of the alarms that rang always.
pub(crate) fn always_firing(history: &[AlarmRecord]) -> BTreeSet<&str> {
    history
        .iter()
        .filter(|record| record.always_firing && record.ended.is_none())
        .map(|record| record.id.as_str())
        .collect()
}
