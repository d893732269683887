//! A model as ONNX, for serving without this code: raw columns in, predictions out.
//!
//! The graph does what [`crate::features`] and [`crate::candidates`] do, in operators of ai.onnx 18 and ai.onnx.ml 5:
//! features are computed in f32 as they are here, trees are summed in f64. onnxruntime runs it from 1.21 on.
//!
//! Inputs, all `[N]`: `PULocationID`, `DOLocationID`, `year`, `month`, `day`, `hour`, `minute` int64 (New York local
//! time; a year of 0 for a time that is not known); `trip_distance` (miles), `VendorID`, `RatecodeID`,
//! `passenger_count`, `trip_type` float, NaN for missing. Outputs, all `[N]` f64: `duration`, `lower`, `upper` in
//! minutes, or `probability`.

mod graph;
// The derived code has no docs, and the names are those of the standard.
#[allow(missing_docs)]
mod proto;

use chrono::{Datelike, NaiveDate};
use prost::Message;
use trees::Ensemble;

use crate::artifact::Artifact;
use crate::calendar::DayKind;
use crate::candidates::boosted::TargetTransform;
use crate::candidates::calibration::Calibration;
use crate::candidates::feature_trees::FeatureTrees;
use crate::candidates::interval::{self, Interval};
use crate::candidates::{DurationModel, Estimate, Model, TipEstimate, TipModel};
use crate::features;
use crate::rules::JUDGED_MIN;
use crate::trip::Zone;
use crate::zones;
use graph::{BOOL, Builder, DOUBLE, Edge, FLOAT, INT64};

/// The version that onnxruntime 1.21 reads.
const IR_VERSION: i64 = 10;
const OPSET: i64 = 18;
const OPSET_ML: i64 = 5;

/// A model that cannot be written as ONNX.
#[derive(Debug, thiserror::Error)]
#[error("a {family} model is not written as ONNX: expected trees that were trained here")]
pub struct OnnxError {
    family: &'static str,
}

/// Writes an ONNX file that predicts f32 columns as `artifact` does: within 1e-9 minutes, or 1e-9 of a probability.
///
/// # Errors
/// [`OnnxError`] for linear and imported models.
pub fn to_onnx(artifact: &Artifact) -> Result<Vec<u8>, OnnxError> {
    let refused = || OnnxError { family: artifact.lineage.family.name() };
    let mut graph = Builder::default();
    let rows = Rows::new(&mut graph);
    match &artifact.model {
        Model::Duration(model) => duration(&mut graph, &rows, model).ok_or_else(refused)?,
        Model::Tip(model) => tip(&mut graph, &rows, model).ok_or_else(refused)?,
    }
    let entry = |key: &str, value: String| proto::Entry { key: Some(key.into()), value: Some(value) };
    let model = proto::Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("tripcast".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph.finish(artifact.lineage.target.name())),
        opset_import: vec![
            proto::OperatorSet { domain: None, version: Some(OPSET) },
            proto::OperatorSet { domain: Some("ai.onnx.ml".into()), version: Some(OPSET_ML) },
        ],
        metadata_props: vec![
            entry("target", artifact.lineage.target.name().into()),
            entry("feature_schema", artifact.lineage.feature_schema.clone()),
        ],
    };
    Ok(model.encode_to_vec())
}

/// The features of [`features::NAMES`] as the graph computes them.
struct Rows {
    /// `[N]` each, f32.
    columns: [Edge; features::NAMES.len()],
    /// Miles where they are possible, else NaN, f32.
    miles: Edge,
    /// Rows of pickup and drop-off in a table by zone: 0 for no zone.
    ends: [Edge; 2],
}

impl Rows {
    fn new(graph: &mut Builder) -> Self {
        let [pickup, dropoff] = ["PULocationID", "DOLocationID"].map(|name| zone_row(graph, name));
        let [year, month, day, hour, minute] =
            ["year", "month", "day", "hour", "minute"].map(|name| graph.input(name, INT64));
        let (none, hundred, nan) = (graph.float(0.0), graph.float(100.0), graph.float(f32::NAN));
        let stated = graph.input("trip_distance", FLOAT);
        let some = graph.op("Greater", &[&stated, &none]);
        let near = graph.op("LessOrEqual", &[&stated, &hundred]);
        let possible = graph.op("And", &[&some, &near]);
        let miles = graph.op("Where", &[&possible, &stated, &nan]);
        let is_stated = graph.op("Equal", &[&stated, &stated]);
        let is_impossible = graph.op("Not", &[&possible]);
        let impossible = graph.op("And", &[&is_stated, &is_impossible]);
        let impossible = graph.cast(&impossible, FLOAT);
        let [vendor, rate_code, passengers, trip_type] =
            ["VendorID", "RatecodeID", "passenger_count", "trip_type"].map(|name| code(graph, name));
        let zero = graph.int(0);
        let known = graph.op("Greater", &[&year, &zero]);
        let days = days(graph, &year, &month, &day);
        let weekday = weekday(graph, &days);
        let quarter = quarter(graph, &hour, &minute);
        let kinds = kinds_of_days(graph, &days);
        let timed = |graph: &mut Builder, value: &Edge| {
            let value = graph.cast(value, FLOAT);
            graph.op("Where", &[&known, &value, &nan])
        };
        let [hour, weekday, quarter, month] =
            [&hour, &weekday, &quarter, &month].map(|value| timed(graph, value));
        let [holiday, beside_holiday, school_break] = kinds.each_ref().map(|value| timed(graph, value));
        let place = |at: fn((f32, f32)) -> f32| by_zone(|zone| zones::centroid(zone).map_or(f32::NAN, at));
        let (latitudes, longitudes) = (place(|of| of.0), place(|of| of.1));
        let (latitudes, longitudes) = (graph.floats(&latitudes), graph.floats(&longitudes));
        let ids = graph.floats(&by_zone(|zone| zone.map_or(f32::NAN, |zone| f32::from(zone.id()))));
        let [from_lat, from_lon] =
            [&latitudes, &longitudes].map(|table| graph.op("Gather", &[table, &pickup]));
        let [to_lat, to_lon] = [&latitudes, &longitudes].map(|table| graph.op("Gather", &[table, &dropoff]));
        let [from_id, to_id] = [&pickup, &dropoff].map(|row| graph.op("Gather", &[&ids, row]));
        let straight = straight_miles(graph, [&from_lat, &from_lon], [&to_lat, &to_lon]);
        let [detour, share] = detour_and_share(graph, &miles, &straight);
        let half = graph.float(0.5);
        let [middle_lat, middle_lon] = [[&from_lat, &to_lat], [&from_lon, &to_lon]].map(|ends| {
            let sum = graph.op("Add", &ends);
            graph.op("Mul", &[&sum, &half])
        });
        // In the order of features::NAMES, which a test of that module pins by its hash.
        let columns = [
            from_id,
            to_id,
            miles.clone(),
            hour,
            weekday,
            quarter,
            vendor,
            rate_code,
            passengers,
            trip_type,
            straight,
            from_lat,
            from_lon,
            to_lat,
            to_lon,
            month,
            detour,
            share,
            middle_lat,
            middle_lon,
            holiday,
            beside_holiday,
            school_break,
            impossible,
        ];
        Self { columns, miles, ends: [pickup, dropoff] }
    }

    /// Computes the sum of trees, which read codes that they do not know as missing.
    fn masked_sum(&self, graph: &mut Builder, trees: &FeatureTrees) -> Option<Edge> {
        let nan = graph.float(f32::NAN);
        let mut columns = self.columns.clone();
        for (at, known) in trees.known().values() {
            let mut table = vec![f32::NAN; 256];
            known.iter().for_each(|code| table[usize::from(*code)] = f32::from(*code));
            let (table, zero) = (graph.floats(&table), graph.float(0.0));
            let is_stated = graph.op("Equal", &[&columns[at], &columns[at]]);
            let row = graph.op("Where", &[&is_stated, &columns[at], &zero]);
            let row = graph.cast(&row, INT64);
            let value = graph.op("Gather", &[&table, &row]);
            let is_known = graph.op("Equal", &[&value, &columns[at]]);
            columns[at] = graph.op("Where", &[&is_known, &value, &nan]);
        }
        sum(graph, trees.ensemble(), columns)
    }
}

/// Computes the sum of trees over columns of features.
fn sum(graph: &mut Builder, trees: &Ensemble, columns: [Edge; features::NAMES.len()]) -> Option<Edge> {
    let axis = graph.ints(&[1]);
    let columns = columns.map(|column| {
        let column = graph.cast(&column, DOUBLE);
        graph.op("Unsqueeze", &[&column, &axis])
    });
    let features = graph.op_with("Concat", &columns.each_ref(), "axis", 1);
    graph.sum(trees, &features)
}

/// Builds a table of 266 rows: no zone first, then every zone.
fn by_zone<T>(of: impl Fn(Option<Zone>) -> T) -> Vec<T> {
    (0..=Zone::COUNT as u16).map(|id| of(Zone::new(id))).collect()
}

/// Returns the row of such a table for a column of zones.
fn zone_row(graph: &mut Builder, name: &str) -> Edge {
    let (zero, last) = (graph.int(0), graph.int(Zone::COUNT as i64));
    let id = graph.input(name, INT64);
    let above = graph.op("Greater", &[&id, &last]);
    let clipped = graph.op("Clip", &[&id, &zero, &last]);
    graph.op("Where", &[&above, &zero, &clipped])
}

fn code(graph: &mut Builder, name: &str) -> Edge {
    let (least, most, nan) = (graph.float(0.0), graph.float(255.0), graph.float(f32::NAN));
    let value = graph.input(name, FLOAT);
    let low = graph.op("GreaterOrEqual", &[&value, &least]);
    let high = graph.op("LessOrEqual", &[&value, &most]);
    let valid = graph.op("And", &[&low, &high]);
    graph.op("Where", &[&valid, &value, &nan])
}

/// Computes the number of a day of the Gregorian calendar, from 0 for the first of March of the year 0: years begin in March, so that
/// leap days are their last.
fn days(graph: &mut Builder, year: &Edge, month: &Edge, day: &Edge) -> Edge {
    let [one, two, three, four, five, twelve, hundred, of_five_months, of_a_year, four_hundred] =
        [1, 2, 3, 4, 5, 12, 100, 153, 365, 400].map(|value| graph.int(value));
    let early = graph.op("Less", &[month, &three]);
    let early = graph.cast(&early, INT64);
    let year = graph.op("Sub", &[year, &early]);
    let shift = graph.op("Mul", &[&early, &twelve]);
    let month = graph.op("Add", &[month, &shift]);
    let month = graph.op("Sub", &[&month, &three]);
    let before = graph.op("Mul", &[&month, &of_five_months]);
    let before = graph.op("Add", &[&before, &two]);
    let mut sum = graph.op("Div", &[&before, &five]);
    let of_years = graph.op("Mul", &[&year, &of_a_year]);
    for (op, part) in [("Add", day), ("Sub", &one), ("Add", &of_years)] {
        sum = graph.op(op, &[&sum, part]);
    }
    for (op, divisor) in [("Add", &four), ("Sub", &hundred), ("Add", &four_hundred)] {
        let part = graph.op("Div", &[&year, divisor]);
        sum = graph.op(op, &[&sum, &part]);
    }
    sum
}

/// Computes the weekday of a day's number, 0 for Monday: day 0 was a Wednesday.
fn weekday(graph: &mut Builder, days: &Edge) -> Edge {
    let (two, seven) = (graph.int(2), graph.int(7));
    let shifted = graph.op("Add", &[days, &two]);
    graph.op("Mod", &[&shifted, &seven])
}

/// Reads holiday, beside_holiday and school_break of a day's number from a table of the years 2000 to 2099.
fn kinds_of_days(graph: &mut Builder, days: &Edge) -> [Edge; 3] {
    const FIRST: i64 = 730_425;
    let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default();
    // Before the first and after the last day, no day is special.
    let mut kinds = vec![DayKind::default()];
    kinds.extend(first.iter_days().take_while(|day| day.year() < 2100).map(DayKind::from_date));
    kinds.push(DayKind::default());
    let (zero, last, before) = (graph.int(0), graph.int(kinds.len() as i64 - 1), graph.int(FIRST - 1));
    let row = graph.op("Sub", &[days, &before]);
    let row = graph.op("Clip", &[&row, &zero, &last]);
    features::DAY_KINDS.map(|of| {
        let table: Vec<i64> = kinds.iter().map(|kind| of(*kind).into()).collect();
        let table = graph.ints(&table);
        graph.op("Gather", &[&table, &row])
    })
}

/// Computes the detour ratio and the share of the straight line, operation by operation.
fn detour_and_share(graph: &mut Builder, miles: &Edge, straight: &Edge) -> [Edge; 2] {
    let [least, one, nan] = [features::STRAIGHT_MILES_MIN, 1.0, f32::NAN].map(|value| graph.float(value));
    let is_far = graph.op("Greater", &[straight, &least]);
    let compared = graph.op("Where", &[&is_far, straight, &least]);
    let ratio = graph.op("Div", &[miles, &compared]);
    let both = graph.op("Add", &[miles, straight]);
    let is_known = graph.op("Equal", &[&both, &both]);
    ["Greater", "Less"].map(|side| {
        let is_beyond = graph.op(side, &[&ratio, &one]);
        let limited = graph.op("Where", &[&is_beyond, &ratio, &one]);
        graph.op("Where", &[&is_known, &limited, &nan])
    })
}

fn quarter(graph: &mut Builder, hour: &Edge, minute: &Edge) -> Edge {
    let (sixty, fifteen) = (graph.int(60), graph.int(15));
    let minutes = graph.op("Mul", &[hour, &sixty]);
    let minutes = graph.op("Add", &[&minutes, minute]);
    graph.op("Div", &[&minutes, &fifteen])
}

/// Computes [`zones::straight_miles`], operation by operation.
fn straight_miles(graph: &mut Builder, from: [&Edge; 2], to: [&Edge; 2]) -> Edge {
    let (shrinks, a_degree) = (graph.float(zones::LONGITUDE_SHRINKS), graph.float(zones::MILES_A_DEGREE));
    let north = graph.op("Sub", &[to[0], from[0]]);
    let east = graph.op("Sub", &[to[1], from[1]]);
    let east = graph.op("Mul", &[&east, &shrinks]);
    let [north, east] = [&north, &east].map(|side| graph.op("Mul", &[side, side]));
    let sum = graph.op("Add", &[&north, &east]);
    let root = graph.op("Sqrt", &[&sum]);
    graph.op("Mul", &[&root, &a_degree])
}

fn duration(graph: &mut Builder, rows: &Rows, model: &DurationModel) -> Option<()> {
    let Estimate::Boosted(trees) = &model.estimate else { return None };
    let TargetTransform::SquareRoot { factor } = trees.transform() else { return None };
    let sum = rows.masked_sum(graph, trees.feature_trees())?;
    let (zero, factor) = (graph.double(0.0), graph.double(factor));
    let (least, most) = (graph.double(JUDGED_MIN.0), graph.double(JUDGED_MIN.1));
    let root = graph.op("Max", &[&sum, &zero]);
    let square = graph.op("Mul", &[&root, &root]);
    let minutes = graph.op("Mul", &[&square, &factor]);
    let minutes = graph.op("Clip", &[&minutes, &least, &most]);
    let (lower, upper) = interval_of(graph, rows, &minutes, &model.interval)?;
    graph.output("duration", &minutes);
    graph.output("lower", &lower);
    graph.output("upper", &upper);
    Some(())
}

fn interval_of(
    graph: &mut Builder,
    rows: &Rows,
    minutes: &Edge,
    interval: &Interval,
) -> Option<(Edge, Edge)> {
    let scale = rows.masked_sum(graph, interval.scale())?;
    let least = graph.double(interval.scale_min());
    let scale = graph.op("Max", &[&scale, &least]);
    let boroughs = graph.ints(&by_zone(|zone| interval::row_of(zone, None) as i64));
    let airports = graph.ints(&by_zone(|zone| i64::from(zones::is_airport(zone))));
    let [pickup, dropoff] = &rows.ends;
    let row = graph.op("Gather", &[&boroughs, pickup]);
    let to = graph.op("Gather", &[&airports, dropoff]);
    let to = graph.cast(&to, BOOL);
    let airport = graph.int(interval::row_of(Zone::new(1), None) as i64);
    let row = graph.op("Where", &[&to, &airport, &row]);
    // The band counts the band ends below a distance; trips without a distance have a band of their own.
    let mut band = graph.int(0);
    for end in crate::trip::DISTANCE_BAND_ENDS.map(|end| end as f32) {
        let end = graph.float(end);
        let beyond = graph.op("Greater", &[&rows.miles, &end]);
        let beyond = graph.cast(&beyond, INT64);
        band = graph.op("Add", &[&band, &beyond]);
    }
    let (missing, own) = (graph.op("IsNaN", &[&rows.miles]), graph.int(interval::NOT_STATED as i64));
    let band = graph.op("Where", &[&missing, &own, &band]);
    let at = graph.op("Add", &[&row, &band]);
    let [below, above] = interval.multipliers().map(|table| graph.doubles(&table));
    let mut end = |table: &Edge, op: &str| {
        let multiplier = graph.op("Gather", &[table, &at]);
        let far = graph.op("Mul", &[&multiplier, &scale]);
        graph.op(op, &[minutes, &far])
    };
    let (lower, upper) = (end(&below, "Sub"), end(&above, "Add"));
    let zero = graph.double(0.0);
    Some((graph.op("Max", &[&lower, &zero]), upper))
}

fn tip(graph: &mut Builder, rows: &Rows, model: &TipModel) -> Option<()> {
    let log_odds = match &model.estimate {
        TipEstimate::Boosted(trees) => rows.masked_sum(graph, trees.feature_trees())?,
        TipEstimate::Tree(tree) => {
            let p = sum(graph, tree.ensemble(), rows.columns.clone())?;
            if model.calibration == Calibration::NONE {
                graph.output("probability", &p);
                return Some(());
            }
            let (edge, other_edge, one) = (Calibration::EDGE, 1.0 - Calibration::EDGE, graph.double(1.0));
            let (edge, other_edge) = (graph.double(edge), graph.double(other_edge));
            let p = graph.op("Clip", &[&p, &edge, &other_edge]);
            let other = graph.op("Sub", &[&one, &p]);
            let odds = graph.op("Div", &[&p, &other]);
            graph.op("Log", &[&odds])
        }
        TipEstimate::Imported(_) => return None,
    };
    let (slope, shift) = model.calibration.slope_and_shift();
    let (slope, shift) = (graph.double(slope), graph.double(shift));
    let most = libm::log((1.0 - Calibration::EDGE) / Calibration::EDGE);
    let (least, most) = (graph.double(-most), graph.double(most));
    let log_odds = match model.calibration == Calibration::NONE {
        true => log_odds,
        false => graph.op("Clip", &[&log_odds, &least, &most]),
    };
    let stretched = graph.op("Mul", &[&log_odds, &slope]);
    let shifted = graph.op("Add", &[&stretched, &shift]);
    let probability = graph.op("Sigmoid", &[&shifted]);
    graph.output("probability", &probability);
    Some(())
}
