//! The columns of two profiles, each compared by the method that Evidently takes by default for its kind and number of rows.

use serde::{Serialize, Serializer};

use super::distribution::{Distribution, all_values};
use super::statistics::{self, Kind};
use crate::profile::{Counts, MILES, MINUTES, PROBABILITIES, Profile, SECONDS};

/// References of up to this many rows are tested, larger ones measured by distance.
const TESTED_ROWS_MAX: u64 = 1000;
/// Probability below which a test finds drift.
const P_MAX: f64 = 0.05;
/// Distance from which on there is drift.
const DISTANCE_MIN: f64 = 0.1;
/// Numbers of at most so many distinct values are compared like codes.
const CODES_MAX: usize = 5;
/// Codes that are named as having moved.
const MOVED_MAX: usize = 5;
/// Share of the columns with drift from which on the data set counts as drifted.
const COLUMNS_MIN_SHARE: f64 = 0.5;

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Wasserstein distance over the standard deviation of the reference.
    Wasserstein,
    /// Jensen-Shannon distance.
    JensenShannon,
    /// Probability of the Kolmogorov-Smirnov statistic.
    KolmogorovSmirnov,
    /// Probability of Pearson's chi-square.
    ChiSquare,
    /// Probability of the difference of two proportions.
    Proportions,
}

impl Method {
    /// The method's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasserstein => "Wasserstein distance (normed)",
            Self::JensenShannon => "Jensen-Shannon distance",
            Self::KolmogorovSmirnov => "Kolmogorov-Smirnov p",
            Self::ChiSquare => "chi-square p",
            Self::Proportions => "proportions p",
        }
    }

    /// Returns the method that Evidently takes by default.
    pub fn by_default(kind: Kind, reference: &Distribution, current: &Distribution) -> Self {
        let distinct = all_values(reference, current).len();
        let is_code = kind == Kind::Categorical || distinct <= CODES_MAX;
        match (reference.total() <= TESTED_ROWS_MAX, is_code) {
            (true, true) if distinct > 2 => Self::ChiSquare,
            (true, true) => Self::Proportions,
            (true, false) => Self::KolmogorovSmirnov,
            (false, true) => Self::JensenShannon,
            (false, false) => Self::Wasserstein,
        }
    }

    fn figure(self, kind: Kind, reference: &Distribution, current: &Distribution) -> Option<f64> {
        match self {
            Self::Wasserstein => statistics::wasserstein_normed(reference, current),
            Self::JensenShannon => statistics::jensen_shannon(kind, reference, current),
            Self::KolmogorovSmirnov => statistics::kolmogorov_smirnov(reference, current).map(|test| test.p),
            Self::ChiSquare => statistics::chi_square(reference, current).map(|test| test.p),
            Self::Proportions => statistics::proportions(reference, current).map(|test| test.p),
        }
    }

    fn threshold(self) -> f64 {
        match self {
            Self::Wasserstein | Self::JensenShannon => DISTANCE_MIN,
            Self::KolmogorovSmirnov | Self::ChiSquare | Self::Proportions => P_MAX,
        }
    }

    fn is_drift(self, figure: f64) -> bool {
        match self {
            Self::Wasserstein | Self::JensenShannon => figure >= self.threshold(),
            Self::KolmogorovSmirnov => figure <= self.threshold(),
            Self::ChiSquare | Self::Proportions => figure < self.threshold(),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A column of a profile.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    /// Its name.
    name: &'static str,
    /// How its values are read.
    kind: Kind,
    /// Its values; rows without one are left out.
    values: Distribution,
}

impl Column {
    /// Returns the columns of a profile, those without rows too.
    fn from_profile(profile: &Profile) -> Vec<Self> {
        let codes =
            |name, counts| Self { name, kind: Kind::Categorical, values: Distribution::from_codes(counts) };
        let numbers = |name, histogram, grid| Self {
            name,
            kind: Kind::Numeric,
            values: Distribution::from_histogram(histogram, grid),
        };
        // `Zone::index` counts from 0, the zones of the Taxi and Limousine Commission from 1.
        let zones = |name, counts: &Counts| Self {
            name,
            kind: Kind::Categorical,
            values: Distribution::new(counts.iter().map(|(index, rows)| (f64::from(index + 1), rows))),
        };
        let hours = profile.hours.iter().map(|(hour, rows)| (f64::from(hour % 24), rows));
        vec![
            zones("pickup_zone", &profile.pickups),
            zones("dropoff_zone", &profile.dropoffs),
            codes("vendor", &profile.vendors),
            codes("rate_code", &profile.rate_codes),
            codes("passengers", &profile.passengers),
            codes("trip_type", &profile.trip_types),
            codes("hour_of_week", &profile.hours),
            Self { name: "hour", kind: Kind::Numeric, values: Distribution::new(hours) },
            numbers("distance_miles", &profile.miles, MILES),
            numbers("duration_s", &profile.outcomes.seconds, SECONDS),
            codes("payment_type", &profile.outcomes.payments),
            numbers("predicted_min", &profile.predictions.minutes, MINUTES),
            numbers("tip_probability", &profile.predictions.tip_probabilities, PROBABILITIES),
        ]
    }
}

/// One column of two profiles, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDrift {
    /// The column's name.
    pub column: &'static str,
    /// How it was compared.
    pub method: Method,
    /// The distance or the probability.
    pub figure: f64,
    /// The distance from which on, or the probability up to which there is drift.
    pub threshold: f64,
    /// Whether there is drift by the threshold.
    pub is_drift: bool,
    /// Rows of the reference with a value.
    pub reference_rows: u64,
    /// Rows compared with it.
    pub current_rows: u64,
    /// Population stability index.
    pub population_stability_index: f64,
    /// Hellinger distance.
    pub hellinger: f64,
    /// Means of both; none for codes.
    pub means: Option<(f64, f64)>,
    /// Codes whose shares differ most, the greatest difference first; for numbers none.
    pub moved: Vec<MovedCode>,
    /// Codes that the reference lacks, with their rows; for numbers none.
    pub new_codes: Vec<(f64, u64)>,
    /// Codes that only the reference has, with its rows; for numbers none.
    pub missing_codes: Vec<(f64, u64)>,
}

/// The share of a code on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MovedCode {
    /// The code.
    pub code: f64,
    /// Share of the reference's rows.
    pub reference: f64,
    /// Share of the rows compared with it.
    pub current: f64,
}

impl MovedCode {
    fn most(reference: &Distribution, current: &Distribution) -> Vec<Self> {
        let share = |of: &Distribution, code| of.rows_of(code) as f64 / of.total() as f64;
        let codes = all_values(reference, current).into_iter();
        let mut moved: Vec<Self> = codes
            .map(|code| Self { code, reference: share(reference, code), current: share(current, code) })
            .filter(|code| code.reference != code.current)
            .collect();
        moved.sort_by(|one, other| other.distance().total_cmp(&one.distance()));
        moved.truncate(MOVED_MAX);
        moved
    }

    fn distance(&self) -> f64 {
        (self.reference - self.current).abs()
    }
}

/// All columns of two profiles, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetDrift {
    /// The columns with rows on both sides.
    pub columns: Vec<ColumnDrift>,
    /// The other columns, with what they lack: there is no figure, which is not to say that there is no drift.
    pub not_compared: Vec<(&'static str, String)>,
    /// Share of the compared columns with drift; none without any.
    pub drifted_share: Option<f64>,
    /// Whether that is at least a half, which Evidently calls drift of the data set.
    pub is_drift: bool,
}

impl DatasetDrift {
    /// Compares the columns of two profiles.
    pub fn between(reference: &Profile, current: &Profile) -> Self {
        let (mut columns, mut not_compared) = (Vec::new(), Vec::new());
        for (reference, current) in
            Column::from_profile(reference).into_iter().zip(Column::from_profile(current))
        {
            match ColumnDrift::between(&reference, &current) {
                Some(drift) => columns.push(drift),
                None => {
                    let lacking = match (reference.values.is_empty(), current.values.is_empty()) {
                        (true, true) => "no values on either side",
                        (true, false) => "no values in the reference",
                        _ => "no values in what is compared with the reference",
                    };
                    not_compared.push((reference.name, lacking.to_string()));
                }
            }
        }
        let drifted = columns.iter().filter(|column| column.is_drift).count() as f64;
        let drifted_share = (!columns.is_empty()).then(|| drifted / columns.len() as f64);
        let is_drift = drifted_share.is_some_and(|share| share >= COLUMNS_MIN_SHARE);
        Self { columns, not_compared, drifted_share, is_drift }
    }
}

impl ColumnDrift {
    /// Compares a column; none without rows on both sides.
    fn between(reference: &Column, current: &Column) -> Option<Self> {
        let (kind, one, other) = (reference.kind, &reference.values, &current.values);
        let method = Method::by_default(kind, one, other);
        let figure = method.figure(kind, one, other)?;
        let only = |of: &Distribution, lacking: &Distribution| match kind {
            Kind::Categorical => of.iter().filter(|(code, _)| lacking.rows_of(*code) == 0).collect(),
            Kind::Numeric => Vec::new(),
        };
        Some(Self {
            column: reference.name,
            method,
            figure,
            threshold: method.threshold(),
            is_drift: method.is_drift(figure),
            reference_rows: one.total(),
            current_rows: other.total(),
            population_stability_index: statistics::population_stability_index(kind, one, other)?,
            hellinger: statistics::hellinger(kind, one, other)?,
            means: if kind == Kind::Numeric { one.mean().zip(other.mean()) } else { None },
            moved: if kind == Kind::Numeric { Vec::new() } else { MovedCode::most(one, other) },
            new_codes: only(other, one),
            missing_codes: only(one, other),
        })
    }
}
