//! Reads the profiles of days, with the outcomes that came later. The profiles of the messages of a day are merged once, when no more of
//! them come, so that a year of days is a year of objects.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use model::Month;
use monitoring::Profile;
use monitoring::days::{DayProfile, STREAM_DAYS_APART_MAX, Source};
use registry::layout;
use store::{Condition, ObjectKey, Store, StoreError, json};

use crate::labels::{self, LabelledDay};

/// Objects that are read at once.
const AT_ONCE: usize = 64;
/// Days after which the profiles of minutes have expired; both deployments say so.
const MINUTES_KEPT_DAYS: u64 = 90;

/// The keys of the profiles of each day, and which days are to be merged once they are read.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    days: BTreeMap<NaiveDate, Vec<ObjectKey>>,
    finished: BTreeSet<NaiveDate>,
    /// Outcomes that came later than their messages.
    labelled: Vec<LabelledDay>,
}

/// What was counted on a day.
#[derive(Debug, Clone, Default)]
pub(crate) struct Day {
    /// The counts.
    pub(crate) profile: Profile,
    /// The bundles that predicted the rows.
    pub(crate) bundles: BTreeSet<String>,
    /// Profiles that could not be read, with the reason.
    pub(crate) unreadable: Vec<String>,
}

impl Catalogue {
    /// Lists the profiles of `source` from day to day, both included.
    pub(crate) async fn list(
        store: &dyn Store,
        source: Source,
        from: NaiveDate,
        to: NaiveDate,
        now: DateTime<Utc>,
    ) -> Result<Self, StoreError> {
        let mut all = Self::default();
        let prefix = match source {
            Source::Batch => layout::profiles(source.name()),
            Source::Stream => layout::profiles("days/stream"),
        };
        for meta in store.list(&prefix).await? {
            let day = layout::day_of_profile(&meta.key).filter(|day| (from..=to).contains(day));
            day.into_iter().for_each(|day| all.days.entry(day).or_default().push(meta.key.clone()));
        }
        if source == Source::Stream {
            all.list_minutes(store, from, to).await?;
            all.labelled = labels::joined(store, from, to, now).await?;
        }
        all.fill(source, to);
        Ok(all)
    }

    /// Lists the profiles of minutes of days that are not merged.
    async fn list_minutes(
        &mut self,
        store: &dyn Store,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<(), StoreError> {
        let kept = to.checked_sub_days(Days::new(MINUTES_KEPT_DAYS)).unwrap_or(from);
        let days = from.max(kept).iter_days().take_while(|day| *day <= to);
        let unmerged: Vec<NaiveDate> = days.filter(|day| !self.days.contains_key(day)).collect();
        let listed = unmerged.into_iter().map(|day| {
            async move {
                let listed = store.list(&layout::profiles_of_day("stream", day)).await?;
                Ok::<_, StoreError>((day, listed.into_iter().map(|meta| meta.key).collect::<Vec<_>>()))
            }
            .boxed()
        });
        let listed: Vec<_> = stream::iter(listed).buffer_unordered(AT_ONCE).try_collect().await?;
        for (day, keys) in listed.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            // `to` is yesterday: messages of a day come until the second one after it.
            if to.signed_duration_since(day).num_days() > STREAM_DAYS_APART_MAX {
                self.finished.insert(day);
            }
            self.days.insert(day, keys);
        }
        Ok(())
    }

    /// Adds days without any profile: no rows are a finding. Messages come every day up to `to`, files by the month.
    fn fill(&mut self, source: Source, to: NaiveDate) {
        let Some((first, last)) = self.days.keys().next().copied().zip(self.days.keys().next_back().copied())
        else {
            return;
        };
        let months: BTreeSet<Month> = self.days.keys().map(|day| Month::from_date(*day)).collect();
        let last = if source == Source::Stream { to } else { last };
        for day in first.iter_days().take_while(|day| *day <= last) {
            if source == Source::Stream || months.contains(&Month::from_date(day)) {
                self.days.entry(day).or_default();
            }
        }
    }

    /// Returns the days in their order.
    pub(crate) fn days(&self) -> Vec<NaiveDate> {
        self.days.keys().copied().collect()
    }

    /// Reads a day, and stores the merged profile if the day is finished.
    pub(crate) async fn read(&self, store: &dyn Store, day: NaiveDate) -> Result<Day, StoreError> {
        let keys = self.days.get(&day).cloned().unwrap_or_default();
        let reads = keys.into_iter().map(|key| {
            async move {
                let read = json::read::<DayProfile>(store, &key).await;
                (key, read)
            }
            .boxed()
        });
        let mut reads = stream::iter(reads).buffered(AT_ONCE);
        let mut all = Day::default();
        while let Some((key, read)) = reads.next().await {
            match read {
                // Listed and gone since: it was replaced or has expired.
                Ok(None) => (),
                Ok(Some((stored, _))) => {
                    all.profile.merge(&stored.profile);
                    all.bundles.extend(stored.bundle.iter().flat_map(|ids| ids.split(',')).map(String::from));
                }
                Err(StoreError::Document { source, .. }) => all.unreadable.push(format!("{key}: {source}")),
                Err(error) => return Err(error),
            }
        }
        if self.finished.contains(&day) && all.unreadable.is_empty() {
            let bundle =
                (!all.bundles.is_empty()).then(|| all.bundles.iter().cloned().collect::<Vec<_>>().join(","));
            let merged = DayProfile { day, bundle, profile: all.profile.clone() };
            let written =
                json::write_line(store, &layout::profile_of_day(day)?, &merged, Condition::IfAbsent).await;
            match written {
                // Another monitor has merged the same profiles.
                Ok(_) | Err(StoreError::Precondition { .. }) => (),
                Err(error) => return Err(error),
            }
        }
        self.labelled
            .iter()
            .filter_map(|labelled| labelled.days.get(&day))
            .for_each(|profile| all.profile.merge(profile));
        Ok(all)
    }

    /// Returns what could not be joined of the labels of all days.
    pub(crate) fn labels_left(&self) -> Vec<String> {
        self.labelled.iter().flat_map(|labelled| labelled.left.clone()).collect()
    }
}
