//! The monitor reads profiles of days, judges data quality, drift and performance, and reports what it found.
//!
//! [`Monitor::handle`] decodes the event; [`Monitor::watch`] walks: [`profiles`] reads what was counted on each day, with the outcomes
//! that [`labels`] joins to answers, `monitoring::watch` judges the days, [`alarms`] records and publishes what rang, [`retraining`] asks
//! for a better model, and [`report`] and [`figures`] write what people and programs read. It keeps no state of its own: everything follows from the profiles, so that a repeat writes the same
//! reports, and each alarm is published once by its record.
//!
//! Deliberately absent: trips and models. Counts are enough.

pub mod alarms;
pub mod config;
mod distributions;
mod error;
mod figures;
mod labels;
mod note;
pub mod otlp;
mod profiles;
mod report;
pub mod request;
mod retraining;

pub use error::MonitorError;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Days, NaiveDate, SubsecRound, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use lambda_runtime::LambdaEvent;
use model::Month;
use monitoring::days::Source;
use monitoring::watch::alarms::{Alarm, alarms};
use monitoring::watch::{DayVerdict, Signal, Watch};
use platform::lambda::{day_of, today};
use platform::telemetry::{Dimension, Metric, emit, emit_by};
use platform::topic::Topic;
use registry::{Registry, layout};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Condition, ObjectKey, Store, json as documents};

use ::report::Report;
use alarms::Present;
use error::failed;
use otlp::Receiver;
use profiles::{Catalogue, Day};
use retraining::Champions;

/// Every signal.
pub(crate) const SIGNALS: [Signal; 3] = [Signal::Quality, Signal::Data, Signal::Performance];
/// Days whose profiles are read ahead.
const AHEAD: usize = 8;
/// Days whose figures and verdicts are written again in every run.
const RECENT_DAYS: u64 = 62;

/// What a run of the monitor found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watched {
    /// The day in New York on which it ran; it judges the days before it.
    pub now: NaiveDate,
    /// By source; a source without profiles is absent.
    pub sources: BTreeMap<&'static str, WatchedSource>,
}

/// What was found in the rows of a source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WatchedSource {
    /// Days that were judged.
    pub days: usize,
    /// The last one.
    pub last_day: NaiveDate,
    /// A sentence for each signal.
    pub verdicts: Vec<String>,
    /// The alarms that last.
    pub open: Vec<String>,
    /// The alarms that this run published.
    pub published: Vec<String>,
    /// The champion whose replacement this run asked for.
    pub asked_to_replace: Option<String>,
    /// The key of the report; its page lies beside it.
    pub report: String,
    /// Figures of the last day.
    #[serde(skip)]
    pub metrics: Vec<(Metric, f64)>,
}

/// The monitor with its ports; clones share them.
#[derive(Debug, Clone)]
pub struct Monitor {
    data: Arc<dyn Store>,
    models: Arc<dyn Store>,
    topic: Option<Arc<dyn Topic>>,
    days: u32,
    /// The command that reports, but for its day.
    command: String,
    /// The command that keeps a person's verdict, but for the alarm.
    acknowledge: String,
    receiver: Option<Receiver>,
}

/// What is known of a source at one time: for programs, for people and for dashboards.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where the rows come from.
    pub source: Source,
    /// The last day.
    pub day: NaiveDate,
    /// A sentence for each signal.
    pub verdicts: Vec<String>,
    /// Figures of the last day.
    pub metrics: Vec<(Metric, f64)>,
    /// The report as a document.
    pub document: Value,
    /// The report as sections.
    pub page: Report,
}

/// The days of a source, judged.
pub(crate) struct JudgedDays {
    pub(crate) source: Source,
    pub(crate) verdicts: Vec<DayVerdict>,
    /// The last days with what was counted, the latest last.
    pub(crate) recent: Vec<(NaiveDate, Day)>,
    /// Profiles that could not be read.
    pub(crate) unreadable: Vec<String>,
    /// The verdict of the last day.
    last: DayVerdict,
}

impl JudgedDays {
    pub(crate) fn last(&self) -> &DayVerdict {
        &self.last
    }
}

impl Monitor {
    /// Creates a monitor of the profiles in `data` of the last `days`, and of the models in `models`.
    pub fn new(data: Arc<dyn Store>, models: Arc<dyn Store>, days: u32) -> Self {
        Self {
            data,
            models,
            topic: None,
            days,
            command: "tripcast monitor report".into(),
            acknowledge: "tripcast monitor acknowledge".into(),
            receiver: None,
        }
    }

    /// Sets the collector that figures are sent to.
    pub fn sending_to(self, receiver: Option<Receiver>) -> Self {
        Self { receiver, ..self }
    }

    /// Sets the stores that the command names which reproduces a report.
    pub fn named(self, data: &str, models: &str) -> Self {
        Self {
            command: format!("tripcast monitor report --data {data} --models {models}"),
            acknowledge: format!("tripcast monitor acknowledge --data {data}"),
            ..self
        }
    }

    /// Sets the topic that alarms are published to.
    pub fn publishing_to(self, topic: Arc<dyn Topic>) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// Handles one Lambda event.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Watched, MonitorError> {
        let started = Instant::now();
        let day = request::day_of_event(&event.payload)?;
        let watched = self.watch(day.unwrap_or_else(today), Utc::now().trunc_subsecs(3)).await?;
        for (source, found) in &watched.sources {
            let source = [(Dimension::Source, *source)];
            emit_by("monitor", &source, &found.metrics, &json!({"day": found.last_day}));
        }
        self.send(&watched).await;
        let took = (Metric::MonitorMilliseconds, started.elapsed().as_secs_f64() * 1e3);
        emit("monitor", &[took], &json!({"now": watched.now}));
        Ok(watched)
    }

    /// Sends the figures to the collector, if there is one; that it does not take them changes nothing else.
    async fn send(&self, watched: &Watched) {
        let Some(receiver) = self.receiver.clone() else { return };
        let sources = watched.sources.iter();
        let figures: Vec<_> = sources.map(|(source, found)| (*source, found.metrics.clone())).collect();
        // The exporter blocks, and has a thread of its own.
        let sent = tokio::task::spawn_blocking(move || receiver.send(&figures)).await;
        let error = match sent {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(error) => error.to_string(),
        };
        tracing::warn!(error_message = error, "figures were not sent to the collector");
    }

    /// Judges the days before `day`, and records, publishes and reports what was found at the time `now`.
    ///
    /// # Errors
    /// [`MonitorError`]. Alarms that were not published are published by the next run.
    pub async fn watch(&self, day: NaiveDate, now: DateTime<Utc>) -> Result<Watched, MonitorError> {
        let (mut sources, mut failure) = (BTreeMap::new(), None);
        for source in Source::ALL {
            // A source that fails does not keep the other from its report.
            match self.watch_source(source, day, now).await {
                Ok(found) => sources.extend(found.map(|found| (source.name(), found))),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        failure.map_or(Ok(()), Err)?;
        Ok(Watched { now: day, sources })
    }

    async fn watch_source(
        &self,
        source: Source,
        day: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Option<WatchedSource>, MonitorError> {
        let Some(judged) = self.judge(source, day, now).await? else { return Ok(None) };
        self.conclude(&judged, day, now).await.map(Some)
    }

    /// Reports the days before `day` and changes nothing but that it may merge profiles of messages and join labels; empty without profiles.
    ///
    /// # Errors
    /// [`MonitorError`].
    pub async fn snapshots(&self, day: NaiveDate) -> Result<Vec<Snapshot>, MonitorError> {
        let mut all = Vec::new();
        for source in Source::ALL {
            let Some(judged) = self.judge(source, day, Utc::now()).await? else { continue };
            all.push(self.snapshot(&judged).await?);
        }
        Ok(all)
    }

    async fn snapshot(&self, judged: &JudgedDays) -> Result<Snapshot, MonitorError> {
        let history =
            alarms::history(&*self.data, judged.source).await.map_err(failed("records of alarms"))?;
        let last = judged.last();
        let command = self.command_of(last.day);
        Ok(Snapshot {
            source: judged.source,
            day: last.day,
            verdicts: report::sentences(judged),
            metrics: figures::metrics(judged, &history),
            document: report::document(judged, &history, &command),
            page: report::page(judged, &history, &command),
        })
    }

    fn command_of(&self, last: NaiveDate) -> String {
        format!("{} --day {}", self.command, last.succ_opt().unwrap_or(last))
    }

    /// Judges the days of a source before `day`; none without profiles.
    async fn judge(
        &self,
        source: Source,
        day: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Option<JudgedDays>, MonitorError> {
        let reading = failed("profiles");
        let from = day.checked_sub_days(Days::new(self.days.into())).unwrap_or(day);
        // The present day has not ended, whichever day is stated.
        let to = day.min(day_of(now)).pred_opt().unwrap_or(day);
        let catalogue = Catalogue::list(&*self.data, source, from, to, now).await.map_err(&reading)?;
        let days = catalogue.days();
        if days.is_empty() {
            return Ok(None);
        }
        let kept = days.len().saturating_sub(RECENT_DAYS as usize);
        let catalogue = &catalogue;
        let reads =
            days.into_iter().map(|day| async move { (day, catalogue.read(&*self.data, day).await) }.boxed());
        let mut reads = stream::iter(reads).buffered(AHEAD);
        let (mut watch, mut verdicts) = (Watch::default(), Vec::new());
        let (mut recent, mut unreadable) = (Vec::new(), catalogue.labels_left());
        while let Some((day, read)) = reads.next().await {
            let mut read = read.map_err(&reading)?;
            unreadable.append(&mut read.unreadable);
            verdicts.push(watch.next(day, &read.profile));
            if verdicts.len() > kept {
                recent.push((day, read));
            }
        }
        let Some(last) = verdicts.last().cloned() else { return Ok(None) };
        Ok(Some(JudgedDays { source, verdicts, recent, unreadable, last }))
    }

    /// Records and publishes what rang, asks for a retraining, and writes the report and the figures.
    async fn conclude(
        &self,
        judged: &JudgedDays,
        day: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<WatchedSource, MonitorError> {
        let data = &*self.data;
        let last = judged.last().day;
        let command = self.command_of(last);
        let present = Present { now, day, last, command: &command, acknowledge: &self.acknowledge };
        let rang: Vec<Alarm> = SIGNALS.iter().flat_map(|signal| alarms(&judged.verdicts, *signal)).collect();
        let mut recorded = alarms::record(data, judged.source, &rang, present).await?;
        let champions = Champions::read(&Registry::new(Arc::clone(&self.models))).await?;
        let (mut published, mut asked_to_replace, mut unpublished) = (Vec::new(), None, None);
        for alarm in &mut recorded {
            let day = judged.recent.iter().find(|(day, _)| *day == alarm.record.last_day).map(|(_, day)| day);
            let asked = champions.ask(data, &mut alarm.record, day).await;
            asked_to_replace = asked.map_err(failed("a request for a retraining"))?.or(asked_to_replace);
            retraining::follow(&self.models, &mut alarm.record, &champions).await.map_err(failed("runs"))?;
            if let Some(topic) = &self.topic {
                // The rest is done before a note that cannot be sent fails the run.
                match alarm.publish(&**topic, present).await {
                    Ok(true) => published.push(alarm.record.id.clone()),
                    Ok(false) => (),
                    Err(error) => drop(unpublished.get_or_insert(error)),
                }
            }
            alarm.save(data).await?;
        }
        let snapshot = self.snapshot(judged).await?;
        let report = self.write(&snapshot).await?;
        self.write_figures(judged).await?;
        unpublished.map_or(Ok(()), Err)?;
        let open = recorded.iter().map(|alarm| &alarm.record).filter(|record| record.ended.is_none());
        Ok(WatchedSource {
            days: judged.verdicts.len(),
            last_day: last,
            verdicts: snapshot.verdicts,
            open: open.map(|record| record.id.clone()).collect(),
            published,
            asked_to_replace,
            report,
            metrics: snapshot.metrics,
        })
    }

    /// Writes the report of a day, in the place of an earlier one, and returns the key of its document.
    async fn write(&self, snapshot: &Snapshot) -> Result<String, MonitorError> {
        let writing = failed("the report");
        let key = |form| layout::report(snapshot.source.name(), snapshot.day, form).map_err(&writing);
        let (document, page) = (key("json")?, key("html")?);
        documents::write(&*self.data, &document, &snapshot.document, Condition::Always)
            .await
            .map_err(&writing)?;
        let html = Bytes::from(snapshot.page.html());
        self.data.put(&page, html, Condition::Always).await.map_err(&writing)?;
        Ok(document.to_string())
    }

    /// Writes the figures of the months of the last days.
    async fn write_figures(&self, judged: &JudgedDays) -> Result<(), MonitorError> {
        for (key, bytes) in figures_by_month(judged)? {
            self.data.put(&key, bytes, Condition::Always).await.map_err(failed("figures"))?;
        }
        Ok(())
    }
}

/// Encodes the figures of the months of the last days.
fn figures_by_month(judged: &JudgedDays) -> Result<Vec<(ObjectKey, Bytes)>, MonitorError> {
    let last = judged.last();
    let from = Month::from_date(last.day.checked_sub_days(Days::new(RECENT_DAYS)).unwrap_or(last.day));
    let mut months: BTreeMap<Month, Vec<&DayVerdict>> = BTreeMap::new();
    for verdict in judged.verdicts.iter().filter(|verdict| Month::from_date(verdict.day) >= from) {
        months.entry(Month::from_date(verdict.day)).or_default().push(verdict);
    }
    let file = |(month, verdicts): (Month, Vec<&DayVerdict>)| {
        let rows = figures::figures(judged.source, &verdicts);
        let key = layout::metrics(judged.source.name(), month).map_err(failed("figures"))?;
        Ok((key, Bytes::from(dataset::figures::to_parquet(&rows)?)))
    };
    months.into_iter().map(file).collect()
}

#[cfg(test)]
mod tests;
