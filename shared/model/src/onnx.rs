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

use prost::Message;

use crate::artifact::Artifact;
use crate::candidates::calibration::Calibration;
use crate::candidates::interval::{self, Interval};
use crate::candidates::{DurationModel, Estimate, Model, TipEstimate, TipModel};
use crate::features;
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
    /// `[N, features]`, f64.
    features: Edge,
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
        let codes = ["VendorID", "RatecodeID", "passenger_count", "trip_type"].map(|name| code(graph, name));
        let zero = graph.int(0);
        let known = graph.op("Greater", &[&year, &zero]);
        let timed = |graph: &mut Builder, value: &Edge| {
            let value = graph.cast(value, FLOAT);
            graph.op("Where", &[&known, &value, &nan])
        };
        let weekday = weekday(graph, &year, &month, &day);
        let quarter = quarter(graph, &hour, &minute);
        let [hour, weekday, quarter, month] =
            [&hour, &weekday, &quarter, &month].map(|value| timed(graph, value));
        let place = |at: fn((f32, f32)) -> f32| by_zone(|zone| zones::centroid(zone).map_or(f32::NAN, at));
        let (latitudes, longitudes) = (place(|of| of.0), place(|of| of.1));
        let (latitudes, longitudes) = (graph.floats(&latitudes), graph.floats(&longitudes));
        let ids = graph.floats(&by_zone(|zone| zone.map_or(f32::NAN, |zone| f32::from(zone.id()))));
        let [from_lat, from_lon] =
            [&latitudes, &longitudes].map(|table| graph.op("Gather", &[table, &pickup]));
        let [to_lat, to_lon] = [&latitudes, &longitudes].map(|table| graph.op("Gather", &[table, &dropoff]));
        let [from_id, to_id] = [&pickup, &dropoff].map(|row| graph.op("Gather", &[&ids, row]));
        let straight = straight_miles(graph, [&from_lat, &from_lon], [&to_lat, &to_lon]);
        let [vendor, rate_code, passengers, trip_type] = codes;
        // In the order of features::NAMES, which a test of that module pins by its hash.
        let columns: [Edge; features::NAMES.len()] = [
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
        ];
        let axis = graph.ints(&[1]);
        let columns = columns.map(|column| {
            let column = graph.cast(&column, DOUBLE);
            graph.op("Unsqueeze", &[&column, &axis])
        });
        let features = graph.op_with("Concat", &columns.each_ref(), "axis", 1);
        Self { features, miles, ends: [pickup, dropoff] }
    }
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

/// Computes the weekday, 0 for Monday, by Zeller's congruence (1882).
fn weekday(graph: &mut Builder, year: &Edge, month: &Edge, day: &Edge) -> Edge {
    let [one, three, four, five, seven, twelve, thirteen, hundred, four_hundred] =
        [1, 3, 4, 5, 7, 12, 13, 100, 400].map(|value| graph.int(value));
    let early = graph.op("Less", &[month, &three]);
    let early = graph.cast(&early, INT64);
    let year = graph.op("Sub", &[year, &early]);
    let shift = graph.op("Mul", &[&early, &twelve]);
    let month = graph.op("Add", &[month, &shift]);
    let month = graph.op("Add", &[&month, &one]);
    let month = graph.op("Mul", &[&month, &thirteen]);
    let mut sum = graph.op("Div", &[&month, &five]);
    for part in [day, &year, &five] {
        sum = graph.op("Add", &[&sum, part]);
    }
    for (op, divisor) in [("Add", &four), ("Sub", &hundred), ("Add", &four_hundred)] {
        let part = graph.op("Div", &[&year, divisor]);
        sum = graph.op(op, &[&sum, &part]);
    }
    graph.op("Mod", &[&sum, &seven])
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
    let (least, most) = trees.answers_within()?;
    let sum = graph.sum(trees.ensemble(), &rows.features)?;
    let (least, most) = (graph.double(least), graph.double(most));
    let minutes = graph.op("Clip", &[&sum, &least, &most]);
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
    let scale = graph.sum(interval.scale(), &rows.features)?;
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
        TipEstimate::Boosted(trees) => graph.sum(trees.ensemble(), &rows.features)?,
        TipEstimate::Tree(tree) => {
            let p = graph.sum(tree.ensemble(), &rows.features)?;
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
